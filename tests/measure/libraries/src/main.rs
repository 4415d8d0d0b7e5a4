//! Proxies as the documentation of each library has them, with one thread: `libraries NAME PORT TARGET`.

use std::convert::Infallible;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::serve::ListenerExt;
use axum_reverse_proxy::{HostBehaviour, ProxyPolicy, ReverseProxy};
use hyper_0_14::server::conn::AddrStream;
use hyper_0_14::service::{make_service_fn, service_fn};
use hyper_0_14::{Body, Response, Server, StatusCode};
use tokio::net::TcpListener;

type Done = Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, port, target] = arguments.as_slice() else { return Err("NAME PORT TARGET".into()) };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
    let target = format!("http://127.0.0.1:{target}");
    match name.as_str() {
        "hyper-reverse-proxy" => of_hyper(address, target).await,
        "axum-reverse-proxy" => of_axum(address, &target).await,
        _ => Err("no such library".into()),
    }
}

async fn of_hyper(address: SocketAddr, target: String) -> Done {
    let service = make_service_fn(|connection: &AddrStream| {
        let (client, target) = (connection.remote_addr().ip(), target.clone());
        async move {
            Ok::<_, Infallible>(service_fn(move |request| {
                let target = target.clone();
                async move {
                    let answer = hyper_reverse_proxy::call(client, &target, request).await.unwrap_or_else(|_| {
                        let mut answer = Response::new(Body::empty());
                        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                        answer
                    });
                    Ok::<_, Infallible>(answer)
                }
            }))
        }
    });
    Ok(Server::try_bind(&address)?.tcp_nodelay(true).serve(service).await?)
}

async fn of_axum(address: SocketAddr, target: &str) -> Done {
    // A notebook compares the host with where a websocket comes from.
    let policy = ProxyPolicy::new().with_host_behaviour(HostBehaviour::Preserve);
    let proxy: Router = ReverseProxy::new("/", target).with_policy(policy).into();
    let listener = TcpListener::bind(address).await?.tap_io(|socket| drop(socket.set_nodelay(true)));
    Ok(axum::serve(listener, proxy.into_make_service_with_connect_info::<SocketAddr>()).await?)
}
