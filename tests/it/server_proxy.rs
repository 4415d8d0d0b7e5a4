//! A web application of somebody's own behind `jupyter-server-proxy` in the lab: plain requests and websockets pass the
//! hub's proxy and the lab's, and only for whom the lab is open.

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, StatusCode, header};
use tests::jupyterhub::PASSWORD;
use tests::specola::Options;
use tests::{Kernel, Session, Specola, need, place};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

/// An application that ends with its kernel: it tells the path it was asked for, and echoes over a websocket.
const APPLICATION: &str = r#"
import asyncio, threading, tornado.httpserver, tornado.netutil, tornado.web, tornado.websocket

class Path(tornado.web.RequestHandler):
    def get(self, path):
        self.write("asked for " + path)

class Echo(tornado.websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message("echo of " + message)

sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")

def serve():
    asyncio.set_event_loop(asyncio.new_event_loop())
    application = tornado.web.Application([("/echo", Echo), ("/(.*)", Path)])
    tornado.httpserver.HTTPServer(application).add_sockets(sockets)
    asyncio.get_event_loop().run_forever()

threading.Thread(target=serve, daemon=True).start()
print(sockets[0].getsockname()[1])
"#;

#[tokio::test]
async fn an_application_behind_jupyter_server_proxy_is_reached_with_its_websockets() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let specola = Specola::start(Options::default().real_lab(&python)).await?;
    let origin = specola.origin();
    let mut alice = Session::logged_in(&origin, "alice", PASSWORD).await?;
    let token = alice.new_token("alice").await?;
    alice.start_server("alice").await?;
    let mut kernel = Kernel::start(&origin, "/user/alice/", &token).await?;
    let port: u16 = kernel.run(APPLICATION).await?.trim().parse().context("the port of the application")?;

    let (_, page) = alice.follow(&format!("/user/alice/proxy/{port}/some/page")).await?;
    assert_eq!((page.status, page.text().as_str()), (StatusCode::OK, "asked for some/page"));
    assert_eq!(echo(&origin, port, &token).await?, "echo of hello");

    // Neither way is open to another person, by cookie or by token.
    let mut bob = Session::logged_in(&origin, "bob", PASSWORD).await?;
    let (_, page) = bob.follow(&format!("/user/alice/proxy/{port}/some/page")).await?;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "{}", page.text());
    let stranger = bob.new_token("bob").await?;
    for token in [stranger.as_str(), "nonsense"] {
        match echo(&origin, port, token).await.map_err(|error| error.downcast::<Error>()) {
            Err(Ok(Error::Http(answer))) => assert_eq!(answer.status(), StatusCode::FORBIDDEN),
            other => panic!("a websocket for a stranger: {other:?}"),
        }
    }
    alice.stop_server("alice").await
}

async fn echo(origin: &str, port: u16, token: &str) -> Result<String> {
    let address = origin.replacen("http", "ws", 1);
    let mut request = format!("{address}/user/alice/proxy/{port}/echo").into_client_request()?;
    request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("token {token}"))?);
    let (mut socket, _) = connect_async(request).await?;
    socket.send(Message::text("hello")).await?;
    let answer = socket.next().await.context("an answer")??;
    Ok(answer.into_text()?.to_string())
}
