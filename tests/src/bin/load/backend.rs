use std::convert::Infallible;

use anyhow::Result;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Answers 200 with as many bytes as the last part of the path says, and with a few if it says nothing.
#[derive(clap::Args)]
pub struct Backend {
    port: u16,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

impl Backend {
    pub async fn run(self) -> Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let service = service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
            let connection = hyper::server::conn::http1::Builder::new()
                .max_buf_size(128 * 1024)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            // A client that goes away is no concern of the server.
            tokio::spawn(async { connection.await.ok() });
        }
    }
}

async fn answer(mut request: Request<Incoming>) -> Answer {
    if let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) {
        let accept = derive_accept_key(key.as_bytes());
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async { echo(upgrade.await?).await });
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
    let asked = request.uri().path().rsplit('/').next().and_then(|last| last.parse::<u64>().ok());
    match asked {
        Some(length) => {
            let body = super::transfer::pieces(length).boxed();
            Response::builder().header(CONTENT_LENGTH, length).body(body).unwrap_or_default()
        }
        None => Response::new(Full::from("so much is in a small answer of a lab").boxed()),
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
