//! The REST API and the pages' addresses beside those of a real JupyterHub: the same requests, in the same order, get
//! the same answers.
//!
//! Compared are status, kind and content; not compared are sentences for people and what differs with every run.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use http::{Method, header};
use serde_json::{Value, json};
use tests::jupyterhub::{Ground, PASSWORD};
use tests::specola::Options;
use tests::{Answer, Body, JupyterHub, Mark, Session, Specola, need, place};

mod corners;
mod elements;
mod oauth;
mod requests;
pub mod services;
mod sharing;

const PAGES: &str = "application/jupyterhub-pagination+json";

/// What an answer says, without what differs with every run.
fn said(answer: &Answer) -> Value {
    let kind = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    let body = match kind {
        _ if answer.body.is_empty() => Value::Null,
        "application/json" => answer.json().map_or(json!("broken JSON"), |value| plain("", value)),
        "text/event-stream" => {
            let text = answer.text();
            let mut events = text.lines().filter_map(|line| line.strip_prefix("data: "));
            events
                .next_back()
                .and_then(|event| serde_json::from_str(event).ok())
                .map_or(json!("no event"), |value| plain("", value))
        }
        _ => Value::Null,
    };
    json!({"status": answer.status.as_u16(), "kind": kind, "body": body})
}

fn plain(key: &str, value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(key, _)| !["message", "html_message", "version", "state", "progress"].contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), plain(&key, value)))
            .collect(),
        Value::Array(list) => {
            let mut list: Vec<Value> = list.into_iter().map(|value| plain(key, value)).collect();
            if ["scopes", "roles", "groups", "users"].contains(&key) {
                list.sort_by_key(Value::to_string);
            }
            Value::Array(list)
        }
        Value::String(text) => json!(plain_text(key, &text)),
        other => other,
    }
}

fn plain_text(key: &str, text: &str) -> String {
    let is_time = text.len() >= 20 && text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T');
    match key {
        _ if is_time => "a time".to_owned(),
        "token" | "session_id" | "id" | "token_id" | "code" => format!("some {key}"),
        "accept_url" => text.split('=').next().unwrap_or_default().to_owned(),
        // The order of a query says nothing.
        "url" if text.starts_with("http") => {
            let (path, query) = text.split_once('?').unwrap_or((text, ""));
            let mut query: Vec<&str> = query.split('&').collect();
            query.sort_unstable();
            format!("{}?{}", path.split_once("/hub/").map_or(path, |(_, path)| path), query.join("&"))
        }
        _ => text.to_owned(),
    }
}

/// Where two answers differ, each place a line.
fn compare(place: &str, theirs: &Value, ours: &Value, lines: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in keys {
                let missing = json!("(nothing)");
                let (one, other) = (one.get(key).unwrap_or(&missing), other.get(key).unwrap_or(&missing));
                compare(&format!("{place}.{key}"), one, other, lines);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            one.iter().zip(other).for_each(|(one, other)| compare(&format!("{place}[]"), one, other, lines));
        }
        _ if theirs == ours => {}
        _ => lines.push(format!("{place}: {theirs} | {ours}")),
    }
    lines.dedup();
}

/// Asks everything of one hub, and gives what it said to each request.
async fn ask(origin: &str, listener: &str) -> Result<Vec<(String, Value)>> {
    let mut people = std::collections::BTreeMap::new();
    people.insert("nobody", Session::new(origin)?);
    for name in ["admin", "alice", "bob"] {
        let mut session = Session::logged_in(origin, name, PASSWORD).await?;
        let token = session.new_token(name).await?;
        people.insert(name, session.with_token(&token));
    }
    for (name, token) in services::ASKERS.into_iter().chain([("made", "token-of-made-1")]) {
        people.insert(name, Session::new(origin)?.with_token(token));
    }
    let alice = people.get_mut("alice").context("alice")?;
    let narrow = json!({"scopes": ["read:users!user"], "note": "narrow"});
    let made = alice.api(Method::POST, "/users/alice/tokens", Body::Json(narrow)).await?.expect(&[201])?.json()?;
    let narrow = alice.with_token(made["token"].as_str().context("a token")?);
    people.insert("narrow", narrow);
    let pages = people.get("admin").context("admin")?.accepting(PAGES);
    people.insert("pages", pages);

    let mut answers = Vec::new();
    for (who, method, path, body) in requests::requests() {
        let session = people.get_mut(who).with_context(|| who.to_owned())?;
        let title = format!("{who}: {method} {path} {}", body.as_ref().map(Value::to_string).unwrap_or_default());
        let body = body.map(|body| services::with_listener(&body, listener)).transpose()?;
        let body = body.map_or(Body::Empty, Body::Json);
        let answer = session.api(method.parse()?, path, body).await.with_context(|| title.clone())?;
        answers.push((title, said(&answer)));
    }
    answers.extend(prove(people.get_mut("admin").context("admin")?).await?);
    for raw in ["{", "\"text\"", "[]"] {
        let session = people.get_mut("admin").context("admin")?;
        let answer = session.api(Method::POST, "/users", Body::Raw(raw)).await?;
        answers.push((format!("admin: POST /users {raw}"), said(&answer)));
    }
    people.insert("person", Session::logged_in(origin, "alice", PASSWORD).await?);
    for (who, path) in requests::pages() {
        let session = people.get(who).with_context(|| who.to_owned())?;
        // A copy: what one page does to the cookies is not seen by the next.
        let answer = session.clone().get(path).await?;
        let to = answer.location().map(|to| to.strip_prefix(origin).unwrap_or(to).to_owned());
        answers.push((format!("{who}: {path}"), json!({"status": answer.status.as_u16(), "location": to})));
    }
    Ok(answers)
}

/// What the description leaves out: each of the hubs has to answer with the status that is said to be missing in it.
async fn prove(admin: &mut Session) -> Result<Vec<(String, Value)>> {
    let (mut answers, mut wrong) = (Vec::new(), Vec::new());
    for deviation in crate::description::deviations()? {
        for (operation, request) in deviation.proof {
            let text = |at: usize| request.get(at).and_then(Value::as_str).context("a method and a path");
            let (method, path) = (text(0)?, text(1)?);
            let answer = match (method, request.get(2)) {
                ("FORM", Some(Value::Object(fields))) => {
                    let fields =
                        fields.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap_or("").to_owned()));
                    admin.api(Method::POST, path, Body::Form(fields.collect())).await?
                }
                (method, body) => {
                    let body = body.cloned().map_or(Body::Empty, Body::Json);
                    admin.api(method.parse()?, path, body).await?
                }
            };
            let title = format!("described: {operation} {method} {path}");
            if answer.status.as_u16() != deviation.status {
                wrong.push(format!("{title}: not {} but {}: {}", deviation.status, answer.status, answer.text()));
            }
            answers.push((title, said(&answer)));
        }
    }
    anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(answers)
}

#[tokio::test]
async fn the_rest_api_answers_as_jupyterhubs() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let proxy = need!(place::configurable_http_proxy(), "configurable-http-proxy", "SPECOLA_CHP");
    let folder = tempfile::tempdir()?;
    let lab = place::package().join("labs/quick.py").display().to_string();
    let plain = place::plain_python()?.display().to_string();
    let more =
        format!("c.Spawner.cmd = [{plain:?}, {lab:?}]\nc.Spawner.args = []\nc.JupyterHub.allow_named_servers = True\n");
    let listener = services::listen().await?;
    let more = more + &services::theirs(&listener)?;
    let ground = Ground::new(folder.path())?;
    let jupyterhub = JupyterHub::configured(ground, &python, &proxy, Mark::default(), &more).await?;
    let theirs = ask(&jupyterhub.ground.origin(), &listener).await.with_context(|| jupyterhub.log())?;

    let options =
        Options::default().set("hub", "allow_named_servers", "true").set("hub", "redirect_to_server", "false");
    let specola = Specola::start(services::ours(options.small_lab("quick.py")?, &listener)).await?;
    let ours = ask(&specola.origin(), &listener).await?;
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (theirs, ours) in theirs.iter().zip(&ours) {
        let mut here = Vec::new();
        if theirs.1["status"] == ours.1["status"] {
            compare("", &theirs.1, &ours.1, &mut here);
        } else {
            here.push(format!("status: {} | {}", theirs.1["status"], ours.1["status"]));
        }
        let excused = requests::OTHERWISE.iter().chain(corners::OTHERWISE).any(|(part, _)| theirs.0.contains(part));
        assert!(!excused || !here.is_empty(), "{} is as it should be: take it off the list", theirs.0);
        here.into_iter().filter(|_| !excused).for_each(|line| found.entry(line).or_default().push(&theirs.0));
    }
    let lines: Vec<String> =
        found.iter().map(|(line, titles)| format!("{line}\n    {}", titles.join("\n    "))).collect();
    assert!(lines.is_empty(), "{} differences, JupyterHub's side first:\n{}", lines.len(), lines.join("\n"));
    Ok(())
}
