//! Labs in pods, through the whole hub, on an API server that fails as it is told to.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use http::Method;
use serde_json::{Value, json};
use tests::fake_kubernetes::{FakeKubernetes, Fault, How, Pace, Pod, Said};
use tests::{Body, Session, Specola, until};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

const SOON: Duration = Duration::from_secs(30);
const PODS: &str = "/api/v1/namespaces/labs/pods";

/// What the lab of somebody says of itself, through the proxy.
async fn lab(session: &mut Session, user: &str) -> Result<Said> {
    let said = session.get(&format!("/user/{user}/")).await?.expect(&[200])?.json()?;
    Ok(serde_json::from_value(said)?)
}

async fn the_pod(kubernetes: &FakeKubernetes) -> Result<Pod> {
    let mut pods = kubernetes.pods().await?;
    anyhow::ensure!(pods.len() == 1, "{pods:?}");
    pods.pop().context("a pod")
}

async fn nothing_is_left(kubernetes: &FakeKubernetes) -> Result<()> {
    until("no pod is left", SOON, async || Ok(kubernetes.pods().await?.is_empty().then_some(()))).await
}

#[tokio::test]
async fn a_pod_is_made_reached_and_taken_away_and_its_claim_stays() -> Result<()> {
    let kubernetes = FakeKubernetes::start(Pace::default()).await?;
    let specola = Specola::start(kubernetes.options()).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    let (said, pod) = (lab(&mut alice, "alice").await?, the_pod(&kubernetes).await?);
    assert_eq!((said.pod.as_str(), said.user.as_str()), ("jupyter-alice", "alice"));
    assert_eq!((&said.pod_uid, Some(&said.address)), (&pod.uid, pod.address.as_ref()));

    let address = specola.origin().replacen("http", "ws", 1);
    let (mut socket, _) = connect_async(format!("{address}/user/alice/socket")).await?;
    for words in ["jupyter-alice", "what is sent"] {
        let heard = socket.next().await.context("the websocket ended")??;
        assert_eq!(heard, Message::text(words));
        socket.send(Message::text("what is sent")).await?;
    }

    alice.stop_server("alice").await?;
    nothing_is_left(&kubernetes).await?;
    let ended = tokio::time::timeout(SOON, async { while let Some(Ok(_)) = socket.next().await {} }).await;
    assert!(ended.is_ok(), "the pod is gone, and its websocket is not");
    let claims = kubernetes.names("persistentvolumeclaims").await?;
    assert_eq!(claims, ["claim-alice"]);

    alice.start_server("alice").await?;
    let again = lab(&mut alice, "alice").await?;
    assert!(again.pod == said.pod && again.pod_uid != said.pod_uid && again.address != said.address, "{again:?}");
    alice.stop_server("alice").await?;
    let counts = kubernetes.counts().await?;
    assert_eq!((counts["create pods"], counts["create persistentvolumeclaims"]), (2, 1), "{counts:?}");
    assert_eq!(kubernetes.names("persistentvolumeclaims").await?, claims);
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_is_busy_loses_an_answer_and_cuts_its_watches_delays_a_start() -> Result<()> {
    let kubernetes = FakeKubernetes::start(Pace::default()).await?;
    let specola = Specola::start(kubernetes.options()).await?;
    let mut alice = specola.logged_in("alice").await?;
    kubernetes
        .fail(Fault::new(format!("POST {PODS}"), 1, How::says(429, "TooManyRequests", "too many requests")))
        .await?;
    kubernetes.fail(Fault::new(format!("POST {PODS}"), 1, How::Loses)).await?;
    kubernetes.idle(true).await?;
    alice.api(Method::POST, "/users/alice/server", Body::Empty).await?.expect(&[202])?;
    until("the pod is made", SOON, async || Ok((kubernetes.asked(&format!("POST {PODS}")).await? == 3).then_some(())))
        .await?;
    // It comes up while nobody is told.
    kubernetes.cut().await?;
    kubernetes.forget().await?;
    kubernetes.idle(false).await?;
    alice.server_ready("alice").await?;
    assert_eq!(lab(&mut alice, "alice").await?.pod_uid, the_pod(&kubernetes).await?.uid);
    kubernetes.fail(Fault::new("DELETE", 1, How::Loses)).await?;
    alice.stop_server("alice").await?;
    nothing_is_left(&kubernetes).await
}

#[tokio::test]
async fn an_api_server_that_is_away_takes_no_lab_away() -> Result<()> {
    let kubernetes = FakeKubernetes::start(Pace::default()).await?;
    let specola = Specola::start(kubernetes.options()).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    let before = lab(&mut alice, "alice").await?;
    kubernetes.away(true).await?;
    assert_eq!(lab(&mut alice, "alice").await?, before);
    alice.api(Method::DELETE, "/users/alice/server", Body::Empty).await?.expect(&[202])?;
    let model = alice.api(Method::GET, "/users/alice", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(model["servers"][""]["pending"], "stop", "nobody can say that it has gone: {model}");
    let told = until("a line about it", SOON, async || {
        let log = specola.log();
        Ok(log.contains("the spawner cannot be reached").then_some(log))
    });
    assert!(!told.await?.contains("ERROR"), "a line that says for whom it was is enough: {}", specola.log());
    assert_eq!(kubernetes.pods().await?.len(), 1);
    kubernetes.away(false).await?;
    alice.server_stopped("alice").await?;
    nothing_is_left(&kubernetes).await?;
    alice.start_server("alice").await?;
    assert_ne!(lab(&mut alice, "alice").await?.pod_uid, before.pod_uid);
    Ok(())
}

#[tokio::test]
async fn a_start_goes_on_when_the_api_server_is_back_though_its_time_is_over() -> Result<()> {
    let kubernetes = FakeKubernetes::start(Pace::default()).await?;
    let specola = Specola::start(kubernetes.options().set("spawner", "start_timeout", "2")).await?;
    let mut alice = specola.logged_in("alice").await?;
    kubernetes.away(true).await?;
    alice.api(Method::POST, "/users/alice/server", Body::Empty).await?.expect(&[202])?;
    // Its pauses grow to a second: longer than a start may take.
    let asked = || specola.log().matches("the spawner cannot be reached").count();
    until("a while without the API server", SOON, async || Ok((asked() >= 10).then_some(()))).await?;
    kubernetes.away(false).await?;
    alice.server_ready("alice").await?;
    assert_eq!(lab(&mut alice, "alice").await?.user, "alice");
    alice.stop_server("alice").await?;
    nothing_is_left(&kubernetes).await
}

#[tokio::test]
async fn a_pod_that_fails_is_noticed_by_its_watch_and_one_that_went_meanwhile_by_the_next_hub() -> Result<()> {
    let kubernetes = FakeKubernetes::start(Pace::default()).await?;
    // The survey would come too late to be the one who notices.
    let mut specola = Specola::start(kubernetes.options().set("spawner", "poll_interval", "3600")).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    let message = "The node was low on resource: memory.";
    kubernetes
        .change("jupyter-alice", json!({ "status": { "phase": "Failed", "reason": "Evicted", "message": message } }))
        .await?;
    alice.server_stopped("alice").await?;
    let (_, page) = alice.follow("/hub/spawn-pending/alice").await?;
    assert!(page.text().contains("because the memory of its machine was used up"), "{}", page.text());
    nothing_is_left(&kubernetes).await?;

    alice.start_server("alice").await?;
    specola.kill_hub();
    kubernetes.take("jupyter-alice").await?;
    specola.run().await?;
    alice.server_stopped("alice").await
}

/// What the daemon set of the tests fetches.
async fn fetched(kubernetes: &FakeKubernetes) -> Result<Vec<String>> {
    let sets = kubernetes.objects("daemonsets").await?;
    let containers = sets.first().and_then(|set| set.pointer("/spec/template/spec/containers"));
    let containers = containers.and_then(Value::as_array).context("containers")?;
    anyhow::ensure!(containers.iter().all(|one| one["command"] == json!(["sleep"])), "{containers:?}");
    Ok(containers.iter().filter_map(|one| one["image"].as_str().map(str::to_owned)).collect())
}

#[tokio::test]
async fn images_are_fetched_beforehand_as_the_hub_says_those_started_most_first() -> Result<()> {
    let kubernetes = FakeKubernetes::start(Pace::default()).await?;
    // As the chart made it, which knows nothing of the profiles.
    let container = json!({ "name": "image-0", "image": "lab", "command": ["sleep"] });
    let set = json!({
        "metadata": { "name": "puller", "namespace": "labs" },
        "spec": { "selector": {}, "template": { "spec": { "containers": [container] } } },
    });
    kubernetes.put("daemonsets", set).await?;
    let folder = tempfile::tempdir()?;
    let profiles = folder.path().join("profiles.yaml");
    std::fs::write(
        &profiles,
        "profile_list:\n- {display_name: Small, slug: small, default: true, kubespawner_override: {image: small}}\n\
         - {display_name: Large, slug: large, kubespawner_override: {image: large}}\n",
    )?;
    let options = kubernetes
        .options()
        .set("spawner.kubernetes", "image_puller", r#"{ daemon_set = "labs/puller", extra_images = ["more"] }"#)
        .set("options", "profile_list_file", &format!("{:?}", profiles.display().to_string()));
    let mut specola = Specola::start(options).await?;
    let says = async |expected: [&str; 4]| {
        let look = async || Ok((fetched(&kubernetes).await? == expected).then_some(()));
        until("the images", SOON, look).await.with_context(|| expected.join(" "))
    };
    says(["lab", "small", "large", "more"]).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.api(Method::POST, "/users/alice/server", Body::Json(json!({ "profile": "large" }))).await?;
    let ready = async || {
        let user = alice.clone().get("/hub/api/users/alice").await?.json()?;
        Ok((user["servers"][""]["ready"] == true).then_some(()))
    };
    until("the server", SOON, ready).await?;
    alice.stop_server("alice").await?;
    // It looks again with the next start of the hub, or in an hour.
    specola.stop_hub()?;
    let listed = |more: &[&str]| -> Result<String> {
        let mut command = std::process::Command::new(tests::place::binary()?);
        command.arg("images").args(more).arg("--config").arg(specola.ground.folder.join("specola.toml"));
        let output = command.current_dir(&specola.ground.folder).output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    assert_eq!(listed(&["--offline"])?, "lab\nsmall\nlarge\nmore\n");
    assert_eq!(listed(&[])?, "large\nlab\nsmall\nmore\n");
    specola.run().await?;
    says(["large", "lab", "small", "more"]).await?;
    anyhow::ensure!(!kubernetes.log().contains("not among the rights"), "{}", kubernetes.log());
    // And changes nothing where nothing is to be changed.
    let patches = kubernetes.asked("PATCH /apis/apps/v1").await?;
    assert_eq!(patches, 2, "{:?}", kubernetes.counts().await?);
    Ok(())
}
