//! What people do meanwhile, and what they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use tests::{Body, Session, until};

use super::doors::Doors;
use super::patience;

/// Between two questions of one person: all together ask no more often than a few would.
fn pause() -> Duration {
    Duration::from_millis(50.max(5 * super::crowd(6) as u64))
}

/// Makes people, and gives each a session with a token of their own.
pub async fn people(origin: &str, names: &[String]) -> Result<Vec<Session>> {
    let mut admin = Session::logged_in(origin, "admin", tests::jupyterhub::PASSWORD).await?;
    let token = admin.new_token("admin").await?;
    let mut admin = admin.with_token(&token);
    admin.api(Method::POST, "/users", Body::Json(json!({ "usernames": names }))).await?.expect(&[201])?;
    let mut all = Vec::new();
    for name in names {
        let answer = admin.api(Method::POST, &format!("/users/{name}/tokens"), Body::Empty).await?;
        let model = answer.expect(&[201])?.json()?;
        all.push(Session::new(origin)?.with_token(model["token"].as_str().context("a token")?));
    }
    Ok(all)
}

/// What came of it, over all people.
#[derive(Default)]
pub struct Tally {
    over: AtomicBool,
    /// Starts that became ready, and stops that ended.
    pub starts: AtomicU64,
    pub stops: AtomicU64,
    /// Requests of any kind.
    pub polls: AtomicU64,
    /// Requests that failed with the hub that they were in, and were sent again.
    pub again: AtomicU64,
    /// How often everything that goes wrong with a cluster did.
    pub rounds: AtomicU64,
    /// Requests to labs that had been running all the time.
    pub steady: AtomicU64,
}

impl Tally {
    /// Nobody begins anything more.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Asks as a patient client does: what dies under a request, or says that it should be tried again, is asked again.
pub async fn ask(session: &mut Session, method: Method, path: &str, tally: &Tally) -> Result<Value> {
    until("an answer", patience(), async || {
        count(&tally.polls);
        let answer = match session.api(method.clone(), path, Body::Empty).await {
            Ok(answer) if answer.status.is_server_error() || answer.status == 429 => None,
            Ok(answer) => Some(answer),
            Err(_) => None,
        };
        let Some(answer) = answer else {
            count(&tally.again);
            tokio::time::sleep(pause()).await;
            return Ok(None);
        };
        // Pending, running or stopped already: the answer was lost, the wish was not.
        let answer = answer.expect(&[200, 201, 202, 204, 400])?;
        Ok(Some(if answer.body.is_empty() { Value::Null } else { answer.json()? }))
    })
    .await
    .with_context(|| format!("{method} {path}"))
}

async fn model(session: &mut Session, name: &str, tally: &Tally) -> Result<Value> {
    let model = ask(session, Method::GET, &format!("/users/{name}"), tally).await?;
    ensure!(model["name"] == name, "{model}");
    Ok(model)
}

/// Asks for a server, and waits until it is ready; none may be given up.
pub async fn start(session: &mut Session, name: &str, tally: &Tally) -> Result<()> {
    ask(session, Method::POST, &format!("/users/{name}/server"), tally).await?;
    let given_up = until("ready server", patience(), async || {
        let model = model(session, name, tally).await?;
        match (&model["servers"][""]["ready"], &model["pending"]) {
            (Value::Bool(true), _) => return Ok(Some(None)),
            (Value::Null, Value::Null) => return Ok(Some(Some(model))),
            _ => tokio::time::sleep(pause()).await,
        }
        Ok(None)
    })
    .await?;
    ensure!(given_up.is_none(), "the start was given up: {given_up:?}");
    Ok(())
}

pub async fn stop(session: &mut Session, name: &str, tally: &Tally) -> Result<()> {
    ask(session, Method::DELETE, &format!("/users/{name}/server"), tally).await?;
    until("stopped server", patience(), async || {
        let model = model(session, name, tally).await?;
        let gone = model["servers"].as_object().is_none_or(serde_json::Map::is_empty) && model["pending"].is_null();
        if !gone {
            tokio::time::sleep(pause()).await;
        }
        Ok(gone.then_some(()))
    })
    .await
}

/// Starts, uses and stops a server, again and again.
pub async fn come_and_go(mut session: Session, name: String, doors: Doors, tally: Arc<Tally>) -> Result<()> {
    while !tally.is_over() {
        start(&mut session, &name, &tally).await.with_context(|| format!("{name} starts"))?;
        count(&tally.starts);
        doors.visit(&session, &name).await.with_context(|| format!("{name} visits"))?;
        stop(&mut session, &name, &tally).await.with_context(|| format!("{name} stops"))?;
        count(&tally.stops);
    }
    Ok(())
}

/// Uses a lab that runs all the time: no request may fail, whatever hub dies.
pub async fn stay(session: Session, name: String, doors: Doors, tally: Arc<Tally>) -> Result<()> {
    let mut beat = tokio::time::interval(Duration::from_millis(25));
    while !tally.is_over() {
        beat.tick().await;
        doors.visit(&session, &name).await.with_context(|| format!("{name}, who stays"))?;
        count(&tally.steady);
    }
    Ok(())
}
