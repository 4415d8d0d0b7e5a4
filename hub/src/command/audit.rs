//! `specola audit`: who did what to whom, from the command line.

use anyhow::{Result, anyhow};
use clap::Args;
use hub_store::{AuditQuery, NewAudit};
use serde_json::Value;

use super::database::{self, Hub};
use crate::api::audit as api;
use crate::http::Problem;

/// Show who did what to whom, the newest last. Works whether the hub runs or not.
#[derive(Debug, Args)]
pub struct Audit {
    #[command(flatten)]
    hub: Hub,
    /// Only what this actor did: `user:ada`, `service:culler`, `hub`, `command:root`.
    #[arg(long)]
    actor: Option<String>,
    /// Only what was done to this: `user:ada`, `server:ada/`, `group:physics`.
    #[arg(long)]
    object: Option<String>,
    /// Only this action, or a family with a dot at the end: `server.`
    #[arg(long)]
    action: Option<String>,
    /// Not before this day or time (UTC).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this day or time (UTC).
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many of the newest at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: u32,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub async fn run(arguments: Audit) -> Result<()> {
    let said = |problem: Problem| anyhow!("{}", problem.message().unwrap_or_default());
    let instant = |name: &str, text: &Option<String>| text.as_ref().map(|text| api::instant(name, text)).transpose();
    let query = AuditQuery {
        actor: arguments.actor,
        object: arguments.object,
        actions: arguments.action.as_deref().map(api::actions).transpose().map_err(said)?,
        since: instant("--since", &arguments.since).map_err(said)?,
        until: instant("--until", &arguments.until).map_err(said)?,
        offset: 0,
        limit: arguments.limit,
    };
    let store = database::open(&arguments.hub.load()?).await?;
    let page = store.list_audit(&query).await;
    store.close().await;
    for (id, act) in page?.items.iter().rev() {
        println!("{}", if arguments.json { api::model(*id, act).to_string() } else { line(act) });
    }
    Ok(())
}

/// `2026-11-22 21:39:04  user:ada      server.start         server:ada/  address=192.0.2.7`
fn line(act: &NewAudit) -> String {
    let detail = act.detail.as_ref().and_then(Value::as_object).into_iter().flatten();
    let detail: Vec<String> = detail.map(|(key, value)| format!("{key}={}", plain(value))).collect();
    let at = act.at.format("%Y-%m-%d %H:%M:%S");
    let line = format!("{at}  {:<20}  {:<20}  {:<24}  {}", act.actor, act.action, act.object, detail.join(" "));
    // A terminal obeys what stands in control characters, and people choose their names.
    line.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_control_characters() {
        let act = NewAudit {
            at: chrono::DateTime::UNIX_EPOCH,
            actor: "user:\u{1b}[2Jada".into(),
            action: "login".into(),
            object: "user:ada".into(),
            detail: Some(serde_json::json!({ "address": "192.0.2.7", "made": 3 })),
        };
        let line = line(&act);
        assert!(line.contains("user:?[2Jada") && line.ends_with("address=192.0.2.7 made=3"), "{line}");
    }
}
