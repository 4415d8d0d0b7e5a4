//! Labs in pods of a real cluster, through the whole hub.

mod executors;
mod persistent;

use std::time::Duration;

use anyhow::Result;
use http::Method;
use serde_json::Value;
use tests::docker::{docker, image};
use tests::kubernetes::{Cluster, kubeconfig};
use tests::{Body, Session, Specola, need, until};

const SOON: Duration = Duration::from_secs(60);

/// What the lab of somebody says of itself.
async fn lab(session: &mut Session, user: &str) -> Result<Value> {
    session.get(&format!("/user/{user}/")).await?.expect(&[200])?.json()
}

async fn nothing_is_left(cluster: &Cluster) -> Result<()> {
    until("no pod is left", SOON, async || Ok(cluster.pods()?.is_empty().then_some(()))).await
}

#[tokio::test]
async fn a_lab_runs_in_a_pod_and_goes_when_it_is_stopped() -> Result<()> {
    let cluster = Cluster::new(&need!(kubeconfig(), "a Kubernetes cluster", "SPECOLA_REQUIRE_KUBERNETES"))?;
    let image = need!(image(), "a Docker engine", "SPECOLA_REQUIRE_KUBERNETES");
    let specola = Specola::start(cluster.options(&image)?.set("spawner", "mem_limit", "\"256M\"")).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    let said = lab(&mut alice, "alice").await?;
    assert_eq!((&said["uid"], &said["user"], &said["host"]), (&1000.into(), &"alice".into(), &"jupyter-alice".into()));
    let limit = "jsonpath={.items[0].spec.containers[0].resources.limits.memory}";
    assert_eq!(cluster.kubectl(&["get", "pods", "-o", limit])?, "268435456");
    alice.stop_server("alice").await?;
    nothing_is_left(&cluster).await?;
    alice.start_server("alice").await?;
    alice.stop_server("alice").await
}

#[tokio::test]
async fn a_hub_that_was_killed_finds_its_pods_again() -> Result<()> {
    let cluster = Cluster::new(&need!(kubeconfig(), "a Kubernetes cluster", "SPECOLA_REQUIRE_KUBERNETES"))?;
    let image = need!(image(), "a Docker engine", "SPECOLA_REQUIRE_KUBERNETES");
    let mut specola = Specola::start(cluster.options(&image)?).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    let before = lab(&mut alice, "alice").await?;
    specola.kill_hub();
    assert_eq!(lab(&mut alice, "alice").await?, before, "the lab is reached meanwhile");
    specola.run().await?;
    alice.server_ready("alice").await?;
    assert_eq!(lab(&mut alice, "alice").await?, before, "and is the same after it");
    assert_eq!(cluster.pods()?, ["jupyter-alice"]);

    // It is taken away while no hub looks: the next one tells.
    specola.kill_hub();
    cluster.kubectl(&["delete", "pod", "jupyter-alice", "--grace-period=0", "--force"])?;
    specola.run().await?;
    alice.server_stopped("alice").await?;
    nothing_is_left(&cluster).await
}

#[tokio::test]
async fn a_pod_that_dies_is_noticed_at_once_and_what_cannot_start_is_explained() -> Result<()> {
    let cluster = Cluster::new(&need!(kubeconfig(), "a Kubernetes cluster", "SPECOLA_REQUIRE_KUBERNETES"))?;
    let image = need!(image(), "a Docker engine", "SPECOLA_REQUIRE_KUBERNETES");
    // The survey would come too late to be the one who notices.
    let specola = Specola::start(cluster.options(&image)?.set("spawner", "poll_interval", "3600")).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    docker(&["kill", "--signal", "TERM", &cluster.container()?])?;
    alice.server_stopped("alice").await?;
    let (_, page) = alice.follow("/hub/spawn-pending/alice").await?;
    assert!(
        page.text().contains("The server ended by itself. It ended by itself, without an error"),
        "{}",
        page.text()
    );
    nothing_is_left(&cluster).await?;

    cluster.kubectl(&["create", "quota", "few", "--hard=pods=0"])?;
    let used = "jsonpath={.status.hard.pods}";
    until("the quota is in force", SOON, async || {
        Ok((cluster.kubectl(&["get", "quota", "few", "-o", used])? == "0").then_some(()))
    })
    .await?;
    alice.api(Method::POST, "/users/alice/server", Body::Empty).await?;
    alice.server_stopped("alice").await?;
    let (_, page) = alice.follow("/hub/spawn-pending/alice").await?;
    assert!(page.text().contains("There is no room left in the quota of the cluster"), "{}", page.text());
    nothing_is_left(&cluster).await
}
