//! An engine of its own, over TLS, that is stopped and started while servers start on it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use serde_json::Value;
use tests::docker::{Engine, image, static_agent};
use tests::dockerd::{Dockerd, LENT};
use tests::specola::Options;
use tests::{Body, Session, Specola, need, place, until};

const SOON: Duration = Duration::from_secs(60);
/// Holds a start back for as long as a file is missing.
const HELD: &str = "import os, time\nwhile not os.path.exists('/gate/open'): time.sleep(0.02)";

struct Apart {
    dockerd: Dockerd,
    specola: Specola,
    gate: tempfile::TempDir,
}

impl Apart {
    async fn start(live_restore: bool) -> Result<Apart> {
        Apart::on(Dockerd::start(live_restore)?, Options::default()).await
    }

    async fn on(dockerd: Dockerd, more: Options) -> Result<Apart> {
        dockerd.lend()?;
        let gate = tempfile::tempdir()?;
        let text = |name: &str| format!("{:?}", dockerd.path(name).display().to_string());
        let options: Options = Engine::new(LENT)
            .options_at(&dockerd.gateway)
            .set("spawner.docker", "host", &format!("{:?}", dockerd.tcp()))
            .set("spawner.docker", "tls_ca_file", &text("ca.pem"))
            .set("spawner.docker", "tls_cert_file", &text("cert.pem"))
            .set("spawner.docker", "tls_key_file", &text("key.pem"))
            .set("spawner.docker", "post_start_cmd", &format!("[\"python3\", \"-c\", {HELD:?}]"))
            .set("spawner.docker.read_only_volumes", "\"/usr\"", "\"/usr\"")
            .set("spawner.docker.read_only_volumes", &format!("{:?}", gate.path().display().to_string()), "\"/gate\"");
        Ok(Apart { specola: Specola::start(options.and(more)).await?, dockerd, gate })
    }

    /// Begins a start, and waits until it is held back in its container. Gives the container.
    async fn begin(&self, session: &mut Session, name: &str) -> Result<String> {
        session.api(Method::POST, &format!("/users/{name}/server"), Body::Empty).await?.expect(&[201, 202])?;
        until("the command in the container", SOON, async || {
            let Some(container) = self.dockerd.containers()?.pop() else { return Ok(None) };
            let processes = self.dockerd.docker(&["top", &container])?;
            Ok(processes.contains("/gate/open").then_some(container))
        })
        .await
    }

    /// Waits until the hub has asked the engine in vain.
    async fn is_missed(&self) -> Result<()> {
        until("the hub misses the engine", SOON, async || {
            Ok(self.specola.log().contains("the spawner cannot be reached").then_some(()))
        })
        .await
    }

    /// What the doctor finds: level and words of each finding, by what it is about.
    fn doctor(&self, environment: &[(&str, &str)]) -> Result<BTreeMap<String, (String, String)>> {
        let mut command = Command::new(place::binary()?);
        command.args(["doctor", "--json", "--only", "engine", "--only", "disk", "--config"]);
        let done =
            command.arg(self.specola.ground.folder.join("specola.toml")).envs(environment.iter().copied()).output()?;
        let said: Value = serde_json::from_slice(&done.stdout)?;
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let findings = said["findings"].as_array().context("findings")?.iter();
        Ok(findings.map(|one| (text(one, "about"), (text(one, "level"), text(one, "said")))).collect())
    }

    fn open(&self) -> Result<()> {
        Ok(fs::write(self.gate.path().join("open"), "")?)
    }
}

async fn pending(session: &mut Session, name: &str) -> Result<Value> {
    let model = session.api(Method::GET, &format!("/users/{name}"), Body::Empty).await?.expect(&[200])?.json()?;
    Ok(model["servers"][""]["pending"].clone())
}

/// The engine is killed, and its containers live on: so does the start.
#[tokio::test]
async fn a_start_goes_on_where_it_was_when_the_engine_is_back() -> Result<()> {
    need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER");
    let mut apart = Apart::start(true).await?;
    let mut alice = apart.specola.logged_in("alice").await?;
    let container = apart.begin(&mut alice, "alice").await?;
    apart.dockerd.die();
    apart.is_missed().await?;
    assert_eq!(pending(&mut alice, "alice").await?, "spawn", "nobody knows that it has failed");
    apart.open()?;
    apart.dockerd.come_up()?;
    alice.server_ready("alice").await.with_context(|| apart.specola.log())?;
    alice.get("/user/alice/").await?.expect(&[200])?;
    assert_eq!(apart.dockerd.containers()?, [container]);
    alice.stop_server("alice").await?;
    assert_eq!(apart.dockerd.containers()?, Vec::<String>::new());
    Ok(())
}

/// The engine is stopped as by a service manager, and takes its containers with it: people are told, and start anew.
#[tokio::test]
async fn a_start_whose_container_went_with_the_engine_is_told_and_leaves_nothing() -> Result<()> {
    need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER");
    let mut apart = Apart::start(false).await?;
    let mut alice = apart.specola.logged_in("alice").await?;
    apart.begin(&mut alice, "alice").await?;
    apart.dockerd.stop();
    apart.is_missed().await?;
    assert_eq!(pending(&mut alice, "alice").await?, "spawn", "nobody knows that it has failed");
    apart.open()?;
    apart.dockerd.come_up()?;
    alice.server_stopped("alice").await.with_context(|| apart.specola.log())?;
    let (_, page) = alice.follow("/hub/spawn-pending/alice").await?;
    assert!(page.text().contains("The server ended before it was ready."), "{}", page.text());
    let none = async || Ok(apart.dockerd.containers()?.is_empty().then_some(()));
    until("the container is cleared away", SOON, none).await?;
    alice.start_server("alice").await.with_context(|| apart.specola.log())?;
    assert_eq!(apart.dockerd.containers()?.len(), 1);
    alice.stop_server("alice").await
}

/// The doctor asks as the hub does, with the hub's certificate; and looks at where the engine keeps all that it has.
#[tokio::test]
async fn the_doctor_asks_an_engine_over_tls_as_the_hub_does() -> Result<()> {
    need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER");
    let apart = Apart::start(true).await?;
    let found = apart.doctor(&[])?;
    assert_eq!(found["engine"].0, "ok", "{found:?}");
    assert!(found.contains_key("limits"), "what it can do is asked as well: {found:?}");
    let data = apart.dockerd.path("data").display().to_string();
    assert!(found["engine's disk"].1.starts_with(&format!("{data} has ")), "{found:?}");
    // Certificates of somebody else's.
    let other = apart.dockerd.path("engine.pem").display().to_string();
    let found = apart.doctor(&[("SPECOLA_SPAWNER__DOCKER__TLS_CA_FILE", &other)])?;
    let (level, said) = &found["engine"];
    assert!(level == "bad" && said.contains("certificate"), "{found:?}");
    Ok(())
}

/// There is no room for a container; then there is, but none for what is put into it before it starts.
#[tokio::test]
async fn a_full_disk_of_the_engine_is_told_and_leaves_nothing() -> Result<()> {
    need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER");
    let agent = need!(static_agent(), "the image lab", "SPECOLA_REQUIRE_DOCKER");
    let with_agent =
        Options::default().set("spawner.docker", "agent_file", &format!("{:?}", agent.display().to_string()));
    let apart = Apart::on(Dockerd::small(64)?, with_agent).await?;
    apart.open()?;
    let mut alice = apart.specola.logged_in("alice").await?;
    for (but, doing) in [(0, "create the container"), (1 << 20, "put the lab agent into the container")] {
        apart.dockerd.fill(but)?;
        alice.api(Method::POST, "/users/alice/server", Body::Empty).await?;
        alice.server_stopped("alice").await?;
        let (_, page) = alice.follow("/hub/spawn-pending/alice").await?;
        let page = page.text();
        assert!(
            page.contains("The disk of the machine that runs servers is full"),
            "{but}: {page}\n{}",
            apart.specola.log()
        );
        assert!(apart.specola.log().contains(doing), "{doing}: {}", apart.specola.log());
        assert_eq!(apart.dockerd.containers()?, Vec::<String>::new(), "{but}");
        apart.dockerd.make_room()?;
    }
    alice.start_server("alice").await.with_context(|| apart.specola.log())?;
    alice.get("/user/alice/").await?.expect(&[200])?;
    alice.stop_server("alice").await?;
    assert_eq!(apart.dockerd.containers()?, Vec::<String>::new());
    Ok(())
}
