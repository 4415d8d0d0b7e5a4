use std::convert::Infallible;
use std::net::Ipv4Addr;

use anyhow::Result;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Answers 200 with as many bytes as the last part of the path says, and with a few if it says nothing. `events` is a
/// stream of events, and `end` ends all websockets.
#[derive(clap::Args)]
pub struct Backend {
    port: u16,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

impl Backend {
    pub async fn run(self) -> Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, self.port).into())?;
        // All that come back at once are let in.
        let listener = socket.listen(4096)?;
        let sockets = watch::Sender::new(());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let sockets = sockets.clone();
            let service = service_fn(move |request| {
                let sockets = sockets.clone();
                async move { Ok::<_, Infallible>(answer(request, sockets).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .max_buf_size(128 * 1024)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            // A client that goes away is no concern of the server.
            tokio::spawn(async { connection.await.ok() });
        }
    }
}

async fn answer(mut request: Request<Incoming>, sockets: watch::Sender<()>) -> Answer {
    if let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) {
        let accept = derive_accept_key(key.as_bytes());
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut ended = sockets.subscribe();
            tokio::select! {
                done = async { echo(upgrade.await?).await } => done,
                _ = ended.changed() => Ok(()),
            }
        });
        let answer = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_ACCEPT, accept);
        return answer.body(Full::default().boxed()).unwrap_or_default();
    }
    if request.method() == Method::PUT {
        let body = request.body_mut();
        while let Some(Ok(_)) = body.frame().await {}
    }
    let last = request.uri().path().rsplit('/').next().unwrap_or_default();
    match last.parse::<u64>() {
        Ok(length) => {
            let body = super::transfer::pieces(length).boxed();
            Response::builder().header(CONTENT_LENGTH, length).body(body).unwrap_or_default()
        }
        Err(_) if last == "events" => {
            let body = super::events::body().boxed();
            Response::builder().header(CONTENT_TYPE, "text/event-stream").body(body).unwrap_or_default()
        }
        Err(_) => {
            if last == "end" {
                sockets.send_replace(());
            }
            Response::new(Full::from("so much is in a small answer of a lab").boxed())
        }
    }
}

async fn echo(upgraded: hyper::upgrade::Upgraded) -> Result<()> {
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(super::sockets::small())).await;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
