//! JupyterHub's own description of its REST API: schemathesis asks everything in it, well formed and malformed, and
//! every answer has to be a described one.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tests::specola::Options;
use tests::{Body, Session, Specola, need, place};

/// A status that the description leaves out for some operations.
#[derive(Deserialize)]
pub struct Deviation {
    pub status: u16,
    /// By operation the request by which real JupyterHub shows it: method, path and body. `FORM` posts a form.
    pub proof: BTreeMap<String, Vec<Value>>,
}

/// What the description leaves out. Proved where both hubs are asked the same.
pub fn deviations() -> Result<Vec<Deviation>> {
    Ok(serde_json::from_str(include_str!("../description/deviations.json"))?)
}

/// What the names in `run.py` stand for.
async fn furnish(admin: &mut Session) -> Result<()> {
    let users = json!({"usernames": ["alice", "bob", "gone", "moved"]});
    admin.api(Method::POST, "/users", Body::Json(users)).await?.expect(&[201])?;
    for group in ["staff", "pupils", "closed"] {
        admin.api(Method::POST, &format!("/groups/{group}"), Body::Empty).await?.expect(&[201])?;
    }
    for server in ["one", "two"] {
        admin.api(Method::PUT, &format!("/users/alice/servers/{server}"), Body::Empty).await?.expect(&[201])?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_described_is_answered_as_described() -> Result<()> {
    let python = need!(place::schemathesis(), "schemathesis", "SPECOLA_SCHEMATHESIS_PYTHON");
    let options = Options::default()
        .set("hub", "allow_named_servers", "true")
        .set("hub", "named_server_limit_per_user", "3")
        .set("hub", "slow_spawn_timeout", "0")
        .set("hub", "slow_stop_timeout", "5");
    let mut specola = Specola::start(options.small_lab("quick.py")?).await?;
    let token = specola.logged_in("admin").await?.new_token("admin").await?;
    let mut admin = specola.session()?.with_token(&token);
    furnish(&mut admin).await?;
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(python);
    command.arg(place::package().join("description/run.py")).arg(specola.origin()).arg(folder.path());
    command.env("SPECOLA_TOKEN", &token);
    let ran = tokio::task::spawn_blocking(move || command.output()).await?.context("schemathesis")?;
    let told = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    println!("{told}");
    assert!(ran.status.success(), "{told}");
    let asked = told.split_whitespace().zip(told.split_whitespace().skip(1)).find(|(_, word)| *word == "generated,");
    let asked: usize = asked.context("no number of cases")?.0.parse()?;
    assert!(asked > 500, "only {asked} requests");
    admin.api(Method::POST, "/shutdown", Body::Json(json!({"servers": true}))).await?.expect(&[202])?;
    assert!(specola.ended()?.success());
    Ok(())
}
