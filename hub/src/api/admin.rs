//! `GET /admin/events`: the rows of the admin panel as they change, as server-sent events. Specola's own.
//!
//! Rows of the database are read, so that what another hub does is told too; what this one does wakes the stream at once. A
//! stream ends after a while and the browser asks again: with that, rights are judged anew.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use hub_store::Version;
use pages::Frame;
use pages::Template;
use pages::admin::people::{Row, RowAlone, seen};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::app::App;
use crate::http::guard::{May, rights};
use crate::http::{Answer, Caller, Problem, url};
use crate::keeper::signals::Followed;
use crate::page::surround;
use crate::panel::asked::Asked;
use crate::panel::{self, rows};
use crate::people::complete;

/// A silent stream says this often that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(8);
/// Another hub may have changed something: rows are read this often, and no oftener than the second.
const LOOK: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(250);
/// The whole list is asked for no oftener than this: who has come to it is told too.
const LIST: Duration = Duration::from_secs(2);
/// How long a stream lasts.
const LIFE: Duration = Duration::from_secs(60);

/// `GET /admin/events`, with the query of the page; `seen` is what its rows look like.
pub async fn stream(request: HttpRequest, app: web::Data<App>, who: May<rights::Panel>) -> Answer {
    let full = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Too many people look at the panel").retry_after(15);
    let place = app.watchers.clone().try_acquire_owned().map_err(|_| full())?;
    let asked = Asked::read(request.query_string());
    let found = panel::people(&app, &who.0, &asked).await?;
    let people = found.map(|found| found.items).unwrap_or_default();
    let last = request.headers().get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut follower = Follower {
        names: people.iter().map(|person| person.user.name.clone()).collect(),
        asked,
        listed: Instant::now(),
        list: None,
        known: HashMap::new(),
        seen: last.or_else(|| url::argument(&request, "seen")),
        frame: surround(&request, &app, Some(&who.0), "admin").parts().0,
        changes: app.keeper.signals().follow(HashSet::new()),
        version: None,
        looked: Instant::now(),
        ends: Instant::now() + LIFE,
        ready: VecDeque::from([Bytes::from_static(b"retry: 2000\n\n")]),
        caller: who.0,
        app,
        _place: place,
    };
    // What went wrong with the first look is an answer, not a stream.
    follower.look().await?;
    let events = stream::unfold(follower, |mut follower| async move {
        follower.next().await.map(|bytes| (Ok::<Bytes, actix_web::Error>(bytes), follower))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("Cache-Control", "no-cache"))
        .streaming(Box::pin(events)))
}

/// One reader, and what it has been told.
struct Follower {
    app: web::Data<App>,
    caller: Arc<Caller>,
    frame: Frame,
    /// What the list is asked for.
    asked: Asked,
    listed: Instant,
    /// The database as it was when the list was asked for last.
    list: Option<Version>,
    /// The people that are followed.
    names: Vec<String>,
    /// Their rows as they were told last.
    known: HashMap<String, Row>,
    /// What the reader's rows look like, until the first look.
    seen: Option<String>,
    /// Their servers.
    changes: Followed,
    /// The database as it was at the last look, where that can be told.
    version: Option<Version>,
    looked: Instant,
    ends: Instant,
    ready: VecDeque<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    async fn next(&mut self) -> Option<Bytes> {
        let stop = self.app.keeper.stopping();
        let alive = Instant::now() + KEEP_ALIVE;
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            if Instant::now() >= self.ends || stop.is_cancelled() {
                return None;
            }
            tokio::select! {
                () = self.changes.changed() => tokio::time::sleep_until(self.looked + PAUSE).await,
                () = tokio::time::sleep_until(self.looked + LOOK) => {}
                () = tokio::time::sleep_until(alive) => return Some(Bytes::from_static(b":\n\n")),
                () = stop.cancelled() => return None,
            }
            self.changes.mark_unchanged();
            if let Err(problem) = self.look().await {
                // The rows stay as they are until the database answers again.
                tracing::warn!("the admin panel cannot be followed: {problem}");
            }
        }
    }

    /// Reads the rows, and makes events of those that differ from what was told.
    async fn look(&mut self) -> Result<(), Problem> {
        self.looked = Instant::now();
        let version = self.app.store.version();
        let known = self.names.len();
        if self.listed.elapsed() >= LIST && (version.is_none() || version != self.list) {
            self.listed = Instant::now();
            self.add_newcomers().await?;
            self.list = version;
        }
        if version.is_some() && version == self.version && known == self.names.len() {
            return Ok(());
        }
        let users = self.app.store.users_named(&self.names).await?;
        let people = complete(&self.app.store, users).await?;
        self.changes.follow(people.iter().flat_map(|person| &person.servers).map(|server| server.id).collect());
        let found: HashMap<String, Row> = people
            .iter()
            .filter_map(|person| rows::row(&self.app, &self.caller, person))
            .map(|row| (row.name.clone(), row))
            .collect();
        self.version = version;
        self.frame.now = self.app.now();
        let now: Vec<Row> = self.names.iter().filter_map(|name| found.get(name).cloned()).collect();
        let mark = seen(&now);
        // The reader has them as they are, unless something changed since its page was made.
        let first = self.seen.take();
        if first.as_ref().is_none_or(|seen| *seen != mark) {
            let events = self.names.iter().filter_map(|name| self.event(name, found.get(name)));
            let events: Vec<Bytes> = events.collect();
            if !events.is_empty() {
                self.ready.extend(events);
                // Behind the last one: a reader who missed some has an older mark when it comes back.
                self.ready.push_back(Bytes::from(format!("id: {mark}\n\n")));
            }
        }
        self.known = found;
        Ok(())
    }

    /// Follows those too who have come to the list. Whoever has left it is followed on: a row does not vanish under a hand.
    async fn add_newcomers(&mut self) -> Result<(), Problem> {
        let found = panel::people(&self.app, &self.caller, &self.asked).await?;
        for person in found.into_iter().flat_map(|found| found.items) {
            if !self.names.contains(&person.user.name) {
                self.names.push(person.user.name);
            }
        }
        Ok(())
    }

    /// What is to be told of one person, if it is another thing than before.
    fn event(&self, name: &str, row: Option<&Row>) -> Option<Bytes> {
        if self.known.get(name) == row && !self.known.is_empty() {
            return None;
        }
        let html = match row {
            Some(row) => RowAlone { frame: &self.frame, row }.render().ok()?,
            None => String::new(),
        };
        Some(Bytes::from(format!("data: {}\n\n", json!({ "user": name, "html": html }))))
    }
}
