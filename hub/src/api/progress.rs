//! `…/progress`: the progress of a start as server-sent events, read from rows, so that any hub can stream it.

use std::collections::VecDeque;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use hub_core::id::{Generation, SpawnerId};
use hub_core::life::Phase;
use hub_store::{Event, Server};
use serde_json::{Value, json};

use super::view;
use crate::app::App;
use crate::http::guard::{OnServer, rights};
use crate::http::{Answer, Problem};
use crate::intent;
use crate::keeper::progress::told_under;
use crate::keeper::signals::Followed;

/// A silent stream says this often that it lives, as JupyterHub's.
const KEEP_ALIVE: Duration = Duration::from_secs(8);
/// Another hub may bring the server on: rows are read this often.
const LOOK: Duration = Duration::from_millis(500);

/// `GET …/server[s/{server}]/progress`
pub async fn stream(app: web::Data<App>, on: OnServer<rights::ReadServers>) -> Answer {
    if on.server().is_none() && !on.name.is_empty() {
        return Err(Problem::not_found());
    }
    let tells =
        |server: &&Server| view::is_ready(server) || view::pending(server) == Some("spawn") || server.failure.is_some();
    let not_starting = || Problem::bad(format!("{} is not starting...", on.user().name));
    let server = on.server().filter(tells).ok_or_else(not_starting)?;
    let follower = Follower {
        changes: app.keeper.signals().follow([server.id].into()),
        app,
        server: server.id,
        generation: None,
        after: 0,
        ready: VecDeque::from([Bytes::from_static(b"\n\n")]),
        over: false,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        follower.next().await.map(|bytes| (Ok::<Bytes, actix_web::Error>(bytes), follower))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("Cache-Control", "no-cache"))
        .streaming(Box::pin(events)))
}

/// One reader's place in the events of a server.
struct Follower {
    app: web::Data<App>,
    changes: Followed,
    server: SpawnerId,
    /// The start that is followed, once it is known.
    generation: Option<Generation>,
    /// The last event sent.
    after: i64,
    ready: VecDeque<Bytes>,
    over: bool,
}

/// An event as it is sent, with what its writer added.
fn told(row: &Event) -> Value {
    let mut value = json!({ "progress": row.progress, "message": row.message, "phase": row.phase });
    if let (Some(members), Some(Value::Object(more))) = (value.as_object_mut(), &row.detail) {
        for (name, more) in more {
            members.entry(name).or_insert_with(|| more.clone());
        }
    }
    value
}

fn event(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

impl Follower {
    async fn next(&mut self) -> Option<Bytes> {
        let alive = tokio::time::Instant::now() + KEEP_ALIVE;
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            if self.over {
                return None;
            }
            self.changes.mark_unchanged();
            if let Err(problem) = self.read().await {
                tracing::warn!(server = %self.server, "progress cannot be read: {problem}");
            }
            if !self.ready.is_empty() || self.over {
                continue;
            }
            tokio::select! {
                () = self.changes.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
                () = tokio::time::sleep_until(alive) => return Some(Bytes::from_static(b"\n\n")),
            }
        }
    }

    async fn read(&mut self) -> Result<(), Problem> {
        // The state first: an event that comes between the two reads is then read with it, never lost.
        let Some(server) = self.app.store.server_by_id(self.server).await? else {
            self.over = true;
            return Ok(());
        };
        let settled = view::is_ready(&server) || view::pending(&server) != Some("spawn");
        // Of one that has stopped, what is left of the start that was followed.
        let ended = settled && server.phase == Phase::Stopped;
        let generation = self.generation.filter(|_| ended).unwrap_or_else(|| told_under(&server));
        // Whoever asks when all is over is told only how it ended.
        if !(settled && self.generation.is_none()) {
            if self.generation != Some(generation) {
                (self.generation, self.after) = (Some(generation), 0);
            }
            for row in self.app.store.events_since(server.id, generation, self.after).await? {
                self.after = row.id;
                if row.progress < 100 {
                    self.ready.push_back(event(&told(&row)));
                }
            }
        }
        if settled {
            self.ready.push_back(event(&self.last(&server)));
            self.over = true;
        }
        Ok(())
    }

    fn last(&self, server: &Server) -> Value {
        if view::is_ready(server) {
            let url = self.app.paths.server(&server.user_name, &server.name);
            return json!({
                "progress": 100, "ready": true, "message": format!("Server ready at {url}"),
                "html_message": format!("Server ready at <a href=\"{url}\">{url}</a>"), "url": url,
            });
        }
        match intent::failure(server) {
            Some(failure) => {
                json!({ "progress": 100, "failed": true, "message": format!("Spawn failed: {}", failure.message) })
            }
            None => json!({ "progress": 100, "failed": true, "message": "Spawn cancelled" }),
        }
    }
}
