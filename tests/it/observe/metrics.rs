//! Metrics and events beside those of a real JupyterHub that was asked the same.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Map, Value};
use tests::jupyterhub::{Ground, PASSWORD};
use tests::specola::Options;
use tests::{Body, JupyterHub, Mark, Session, Specola, need, place, until};

use super::through;

const FAMILIES: &str = include_str!("families.py");
const EVENTS: &str = include_str!("events.py");

/// Families of JupyterHub that are not here, by the beginning or the end of their names, and why.
const OTHERWISE: &[(&str, &str)] = &[
    ("python_", "there is no Python"),
    ("_created", "Python's client tells when each series began; nothing reads it"),
];

/// A family, one of its samples, and labels with a value that has to be there.
type Query = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// What the public dashboards (jupyterhub/grafana-dashboards) ask of the hub, with the labels they select and sum by.
/// `jupyterhub_user_group_info` is another exporter's.
const DASHBOARDS: &[Query] = &[
    ("jupyterhub_running_servers", "jupyterhub_running_servers", &[]),
    ("jupyterhub_active_users", "jupyterhub_active_users", &[("period", "24h")]),
    ("jupyterhub_active_users", "jupyterhub_active_users", &[("period", "7d")]),
    ("jupyterhub_active_users", "jupyterhub_active_users", &[("period", "30d")]),
    (
        "jupyterhub_request_duration_seconds",
        "jupyterhub_request_duration_seconds_bucket",
        &[("handler", "jupyterhub.apihandlers.users.SpawnProgressAPIHandler")],
    ),
    ("jupyterhub_request_duration_seconds", "jupyterhub_request_duration_seconds_count", &[("code", "200")]),
    ("jupyterhub_server_spawn_duration_seconds", "jupyterhub_server_spawn_duration_seconds_bucket", &[]),
    (
        "jupyterhub_server_spawn_duration_seconds",
        "jupyterhub_server_spawn_duration_seconds_count",
        &[("status", "failure")],
    ),
    (
        "jupyterhub_server_spawn_duration_seconds",
        "jupyterhub_server_spawn_duration_seconds_count",
        &[("status", "error")],
    ),
];

/// Does the same on either hub and reads its metrics.
async fn live(origin: &str, python: &Path) -> Result<Map<String, Value>> {
    let mut nobody = Session::new(origin)?;
    for path in ["/hub/health", "/hub/nowhere", "/hub/api/nowhere", "/elsewhere", "/hub/user/alice/lab", "/hub/metrics"]
    {
        nobody.get(path).await?;
    }
    nobody.log_in("alice", "wrong").await?;
    let mut admin = Session::logged_in(origin, "admin", PASSWORD).await?;
    let mut alice = Session::logged_in(origin, "alice", PASSWORD).await?;
    alice.start_server("alice").await?;
    alice.api(Method::GET, "/users/alice/server/progress", Body::Empty).await?.expect(&[200])?;
    for path in ["/hub/home", "/hub/token"] {
        alice.get(path).await?.expect(&[200])?;
    }
    let token = admin.new_token("admin").await?;
    let mut api = admin.with_token(&token);
    for path in ["", "/info", "/user", "/users", "/groups", "/users/nobody", "/users/alice/tokens"] {
        api.api(Method::GET, path, Body::Empty).await?;
    }
    // Counted in a while, and with the number of users that there are now.
    let text = until("figures", Duration::from_secs(30), async || {
        let text = api.get("/hub/metrics").await?.expect(&[200])?.text();
        let counted =
            ["jupyterhub_total_users 2", "jupyterhub_running_servers 1"].iter().all(|line| text.contains(line));
        Ok(counted.then_some(text))
    });
    text.await?;
    alice.stop_server("alice").await?;
    alice.get("/hub/logout").await?;
    let text = api.get("/hub/metrics").await?.expect(&[200])?.text();
    let families = through(python, FAMILIES, &text)?;
    Ok(families.as_object().context("families")?.clone())
}

/// The label sets of a family's samples, without those of another name.
fn samples<'a>(family: &'a Value, name: &'a str) -> impl Iterator<Item = &'a Value> {
    family["samples"].as_array().into_iter().flatten().filter(move |sample| sample[0] == name).map(|sample| &sample[1])
}

fn counted(families: &Map<String, Value>) -> BTreeSet<String> {
    let requests = &families["jupyterhub_request_duration_seconds"];
    let label = |labels: &Value, name: &str| labels[name].as_str().unwrap_or_default().to_owned();
    samples(requests, "jupyterhub_request_duration_seconds_count")
        .map(|labels| format!("{} {} {}", label(labels, "code"), label(labels, "method"), label(labels, "handler")))
        .collect()
}

#[tokio::test]
async fn metrics_and_events_are_those_of_jupyterhub() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let proxy = need!(place::configurable_http_proxy(), "configurable-http-proxy", "SPECOLA_CHP");
    let folder = tempfile::tempdir()?;
    let lab = place::package().join("labs/quick.py").display().to_string();
    let plain = place::plain_python()?.display().to_string();
    let (their_events, our_events) = (folder.path().join("theirs.jsonl"), folder.path().join("ours.jsonl"));
    let more = format!(
        "c.Spawner.cmd = [{plain:?}, {lab:?}]\nc.Spawner.args = []\nimport logging\n\
         c.EventLogger.handlers = [logging.FileHandler({:?})]\n",
        their_events.display().to_string()
    );
    let jupyterhub =
        JupyterHub::configured(Ground::new(folder.path())?, &python, &proxy, Mark::default(), &more).await?;
    let theirs = live(&jupyterhub.ground.origin(), &python).await.with_context(|| jupyterhub.log())?;

    let options = Options::default().set("hub", "redirect_to_server", "false");
    let options = options.set("events", "file", &format!("{:?}", our_events.display().to_string()));
    let mut specola = Specola::start(options.small_lab("quick.py")?).await?;
    let ours = live(&specola.origin(), &python).await?;

    for (name, their) in &theirs {
        if OTHERWISE.iter().any(|(part, _)| name.starts_with(part) || name.ends_with(part)) {
            continue;
        }
        let our = ours.get(name).with_context(|| format!("{name} is missing"))?;
        for what in ["type", "labels", "buckets"] {
            assert_eq!(our[what], their[what], "{what} of {name}");
        }
    }
    for (family, sample, labels) in DASHBOARDS {
        let found = samples(&ours[*family], sample).any(|told| labels.iter().all(|(name, value)| told[name] == *value));
        assert!(found, "a dashboard asks for {sample} with {labels:?}");
    }
    let (their_requests, our_requests) = (counted(&theirs), counted(&ours));
    // A form that leads on answers 303 here and 302 there. Their proxy asks the hub for a page about what it could not
    // reach, such as the hub while that starts; ours has that page itself.
    let missing: Vec<&String> = their_requests
        .difference(&our_requests)
        .filter(|line| !line.starts_with("302") && !line.contains("ProxyErrorHandler"))
        .collect();
    assert!(missing.is_empty(), "not counted as by JupyterHub: {missing:#?}\nhere: {our_requests:#?}");

    specola.stop_hub()?;
    let events = |path: &Path| through(&python, EVENTS, &std::fs::read_to_string(path)?);
    let expected = serde_json::json!([["start", "alice", ""], ["stop", "alice", ""]]);
    assert_eq!(events(&their_events)?, expected);
    assert_eq!(events(&our_events)?, expected);
    Ok(())
}
