//! A client of one Jupyter kernel over its websocket, as JupyterLab is. Speaks the JSON form of the messages.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::session::{Body, Session};
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Kernel {
    pub id: String,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: String,
}

impl Kernel {
    /// Starts a Python kernel in a ready server and connects. The prefix is like `/user/alice/`.
    pub async fn start(origin: &str, prefix: &str, token: &str) -> Result<Kernel> {
        let mut session = Session::new(origin)?.with_token(token);
        let path = format!("{prefix}api/kernels");
        // The first request to a fresh lab makes it ask the hub who this is; until then it may answer 503.
        let answer = until("kernel", PATIENCE, async || {
            let answer = session.send(Method::POST, &path, Body::Json(json!({"name": "python3"}))).await?;
            Ok(Some(answer.expect(&[201])?))
        })
        .await?;
        let id = answer.json()?["id"].as_str().context("the id of the kernel")?.to_owned();
        Kernel::connect(origin, prefix, token, &id).await
    }

    /// Connects to a kernel that runs already.
    pub async fn connect(origin: &str, prefix: &str, token: &str, id: &str) -> Result<Kernel> {
        let session = uuid::Uuid::new_v4().simple().to_string();
        let address = origin.replacen("http", "ws", 1);
        let mut request =
            format!("{address}{prefix}api/kernels/{id}/channels?session_id={session}").into_client_request()?;
        request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("token {token}"))?);
        let (socket, _) = connect_async(request).await.context("the websocket of the kernel")?;
        Ok(Kernel { id: id.to_owned(), socket, session })
    }

    /// Runs code to its end and gives what it printed or its value.
    pub async fn run(&mut self, code: &str) -> Result<String> {
        let message = self.begin(code).await?;
        let mut output = String::new();
        while let Some(text) = self.next_output(&message).await? {
            output.push_str(&text);
        }
        Ok(output)
    }

    /// Sends code to run and gives the message's id, to ask for its output with.
    pub async fn begin(&mut self, code: &str) -> Result<String> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let message = json!({
            "header": {"msg_id": id, "username": "test", "session": self.session, "msg_type": "execute_request",
                       "version": "5.3", "date": "2026-01-01T00:00:00Z"},
            "parent_header": {}, "metadata": {}, "buffers": [], "channel": "shell",
            "content": {"code": code, "silent": false, "store_history": true, "user_expressions": {},
                        "allow_stdin": false, "stop_on_error": true},
        });
        self.socket.send(Message::text(message.to_string())).await?;
        Ok(id)
    }

    /// The next piece of output of a run, or None when the run is over. A dropped websocket is an error.
    pub async fn next_output(&mut self, message: &str) -> Result<Option<String>> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.socket.next()).await.context("the kernel says nothing")?;
            let text = match frame.context("the websocket ended")?.context("the websocket broke")? {
                Message::Text(text) => text,
                Message::Close(frame) => bail!("the websocket was closed: {frame:?}"),
                _ => continue,
            };
            let said: Value = serde_json::from_str(&text)?;
            if said["parent_header"]["msg_id"] != message {
                continue;
            }
            let content = &said["content"];
            let output = match said["msg_type"].as_str() {
                Some("stream") => &content["text"],
                Some("execute_result" | "display_data") => &content["data"]["text/plain"],
                Some("error") => bail!("the cell failed: {} {}", content["ename"], content["evalue"]),
                Some("status") if content["execution_state"] == "idle" => return Ok(None),
                _ => continue,
            };
            return Ok(Some(output.as_str().context("output as text")?.to_owned()));
        }
    }
}
