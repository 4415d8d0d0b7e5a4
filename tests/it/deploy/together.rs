//! The image `lab-collaborative`: two people in one lab, each under their own name, write into one document at once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::json;
use tests::docker::Engine;
use tests::{Body, Session, Specola, need, until};

use super::images::containers;
use super::{build, docker, lab};

const PATIENCE: Duration = Duration::from_secs(60);

/// What two JupyterLabs do behind one document: both join its room, each writes a line, and each waits for the other's.
const WRITE_TOGETHER: &str = r#"
import asyncio, json, sys, urllib.request
from pycrdt import Doc, Text, create_sync_message, create_update_message, handle_sync_message
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect
lab, tokens = sys.argv[1], sys.argv[2:]
SYNC = 0

async def write(token, own, others):
    head = {"Authorization": "token " + token, "Content-Type": "application/json"}
    def session():
        body = json.dumps({"format": "text", "type": "file"}).encode()
        asked = urllib.request.Request(lab + "api/collaboration/session/notes.txt", data=body, headers=head, method="PUT")
        return json.load(urllib.request.urlopen(asked))
    found = await asyncio.to_thread(session)
    room = f"api/collaboration/room/text:file:{found['fileId']}?sessionId={found['sessionId']}"
    socket = await websocket_connect(HTTPRequest(lab.replace("http", "ws", 1) + room, headers=head))
    document = Doc()
    text = document.get("source", type=Text)
    document.observe(lambda event: socket.write_message(create_update_message(event.update), binary=True))
    await socket.write_message(create_sync_message(document), binary=True)
    written = False
    while not (written and others in str(text)):
        message = await socket.read_message()
        assert message is not None, f"{own}: the room was closed: {socket.close_code} {socket.close_reason}"
        if isinstance(message, bytes) and message[0] == SYNC:
            answer = handle_sync_message(message[1:], document)
            if answer is not None:
                await socket.write_message(answer, binary=True)
        if not written and "begun" in str(text):
            text += own + "\n"
            written = True
    # The other may still wait for what was written here.
    return str(text), socket

async def main():
    done = await asyncio.gather(write(tokens[0], "of anna", "of bela"), write(tokens[1], "of bela", "of anna"))
    print(json.dumps([sorted(text.split("\n")) for text, _ in done]))

asyncio.run(asyncio.wait_for(main(), 60))
"#;

async fn username(session: &mut Session) -> Result<String> {
    let (url, page) = session.follow("/user/together/lab").await?;
    ensure!(page.status == 200, "{url}: {} {}", page.status, page.text());
    let me = session.get("/user/together/api/me").await?.expect(&[200])?.json()?;
    Ok(me["identity"]["username"].as_str().context("a name")?.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_write_into_one_document_at_once_each_as_themselves() -> Result<()> {
    let plain = need!(lab(), "the image lab", "SPECOLA_REQUIRE_DOCKER");
    let image = build("lab-collaborative", &[])?;
    let engine = Engine::new(&image);
    let choices = json!([{"name": "plain", "image": plain, "default": true}, {"name": "together", "image": image}]);
    // As those who run the hub say it, not as anybody would choose.
    let room = json!([{"name": "together", "options": {"img": "together"}, "notebook_dir": "/tmp"}]);
    let options = containers(&engine, &plain)?
        .variable("SPECOLA_OPTIONS__IMAGES", &choices.to_string())
        .variable("SPECOLA_COLLABORATION", &room.to_string());
    let specola = Specola::start(options).await?;
    let (mut anna, mut bela) = (specola.logged_in("anna").await?, specola.logged_in("bela").await?);
    anna.get("/hub/spawn/together").await?.expect(&[302, 303])?;
    anna.server_ready("together").await.with_context(|| specola.log())?;
    let container = docker(&["ps", "--quiet", "--filter", &format!("name={}", engine.container("together"))])?;
    assert_eq!(docker(&["inspect", "--format", "{{.Config.Image}}", &container])?, image);
    assert_eq!((username(&mut anna).await?.as_str(), username(&mut bela).await?.as_str()), ("anna", "bela"));
    let page = anna.get("/user/together/lab").await?.expect(&[200])?.text();
    ensure!(page.contains("@jupyter/collaboration-extension"), "the page knows how to");

    let (for_anna, for_bela) = (anna.new_token("anna").await?, bela.new_token("bela").await?);
    let (mut script, begun) =
        (anna.with_token(&for_anna), json!({"type": "file", "format": "text", "content": "begun\n"}));
    script.send(Method::PUT, "/user/together/api/contents/notes.txt", Body::Json(begun)).await?.expect(&[201])?;
    let lab = format!("{}/user/together/", specola.origin());
    let client = ["run", "--rm", "--network", "host", "--entrypoint", "python", &image, "-c", WRITE_TOGETHER, &lab];
    let said = docker(&[client.as_slice(), &[&for_anna, &for_bela]].concat())?;
    let both = json!(["", "begun", "of anna", "of bela"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&said)?, json!([both, both]));
    // What both see is what is kept, in the folder that was said.
    let kept = until("the document on disk", PATIENCE, async || {
        let text = docker(&["exec", &container, "cat", "/tmp/notes.txt"])?;
        Ok((text.contains("of anna") && text.contains("of bela")).then_some(text))
    });
    assert_eq!(kept.await?.lines().count(), 3);
    bela.stop_server("together").await
}
