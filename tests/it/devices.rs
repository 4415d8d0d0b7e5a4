//! GPUs, and slices of them: leased to one server at a time, with a queue that outlives a hub, and free again after the stop.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use tests::docker::{Engine, docker, image};
use tests::jupyterhub::PASSWORD;
use tests::mark::Process;
use tests::specola::Options;
use tests::wait::until;
use tests::{Body, Browser, Session, Specola, need};

const PATIENCE: Duration = Duration::from_secs(60);

const FLAVOURS: &str = r#"[{ name = "plain", display_name = "Plain", cpu = 1 }, { name = "slice", display_name = "Slice", cpu = 1, gpu = 1 }]"#;

fn options(devices: &str) -> Result<Options> {
    Ok(leasing(Options::default().small_lab("quick.py")?, devices).set("spawner.local", "interrupt_timeout", "1"))
}

fn leasing(options: Options, devices: &str) -> Options {
    options
        .set("hub", "redirect_to_server", "false")
        .set("spawner.devices", "\"nvidia.com/gpu\"", devices)
        .set("options", "flavours", FLAVOURS)
        .set("options", "policies", r#"[{ name = "all", grant = { flavours = ["*"] }, quota = { gpu = 1 } }]"#)
}

async fn start(session: &mut Session, flavour: &str) -> Result<()> {
    session.submit("/hub/spawn", &[("flavour", flavour)]).await?.expect(&[303]).map(drop)
}

/// The lab of somebody, as a process with its environment.
fn lab_of(specola: &Specola, name: &str) -> Result<Process> {
    let of = |lab: &Process| lab.variable("JUPYTERHUB_USER") == Some(name);
    specola.labs().into_iter().find(of).with_context(|| format!("no lab of {name}"))
}

fn devices(specola: &Specola, name: &str) -> Result<[String; 3]> {
    let lab = lab_of(specola, name)?;
    let variable = |of| lab.variable(of).with_context(|| format!("{name} has no {of}")).map(str::to_owned);
    Ok([variable("NVIDIA_VISIBLE_DEVICES")?, variable("CUDA_VISIBLE_DEVICES")?, variable("SPECOLA_DEVICES")?])
}

async fn page_says(session: &mut Session, path: &str, text: &str) -> Result<()> {
    until(text, PATIENCE, async || Ok(session.get(path).await?.expect(&[200])?.text().contains(text).then_some(())))
        .await
}

/// The events of a start, from now to its end.
async fn progress(mut session: Session, name: &str) -> Result<Vec<Value>> {
    let answer =
        session.api(Method::GET, &format!("/users/{name}/server/progress"), Body::Empty).await?.expect(&[200])?;
    let events = answer.text();
    let events = events.lines().filter_map(|line| line.strip_prefix("data: "));
    Ok(events.map(serde_json::from_str).collect::<Result<_, _>>()?)
}

async fn options_of(session: &mut Session, name: &str) -> Result<Value> {
    session.api(Method::GET, &format!("/users/{name}/spawn-options"), Body::Empty).await?.expect(&[200])?.json()
}

#[tokio::test]
async fn one_slice_goes_from_one_to_the_next_and_the_queue_outlives_the_hub() -> Result<()> {
    let mut specola = Specola::start(options(r#"["MIG-1"]"#)?).await?;
    let mut alice = specola.logged_in("alice").await?;
    let mut bob = specola.logged_in("bob").await?;
    let mut carol = specola.logged_in("carol").await?;
    let mut dora = specola.logged_in("dora").await?;
    page_says(&mut alice, "/hub/spawn", "1 of 1 free now").await?;
    start(&mut alice, "slice").await?;
    alice.server_ready("alice").await?;
    assert_eq!(devices(&specola, "alice")?, ["MIG-1", "MIG-1", "MIG-1"]);
    // No device unless the chosen flavour has one.
    start(&mut carol, "plain").await?;
    carol.server_ready("carol").await?;
    assert_eq!(devices(&specola, "carol")?, ["void", "", ""]);

    page_says(&mut bob, "/hub/spawn", "none free now").await?;
    start(&mut bob, "slice").await?;
    page_says(&mut bob, "/hub/spawn-pending/bob", "Waiting for a GPU: place 1 of 1").await?;
    start(&mut dora, "slice").await?;
    page_says(&mut dora, "/hub/spawn-pending/dora", "Waiting for a GPU: place 2 of 2").await?;
    let told = options_of(&mut alice, "alice").await?;
    assert_eq!(told["devices"], json!({"nvidia.com/gpu": {"total": 1, "free": 0, "waiting": 2}}));
    assert_eq!(told["quotas"][0]["left"], json!({"servers": null, "cpu": null, "memory": null, "gpu": 0}));

    specola.kill_hub();
    specola.run().await?;
    page_says(&mut dora, "/hub/spawn-pending/dora", "place 2 of 2").await?;
    assert_eq!(specola.labs().len(), 2, "nobody else was started");
    let following = tokio::spawn(progress(bob.clone(), "bob"));
    let of_dora = tokio::spawn(progress(dora.clone(), "dora"));

    alice.stop_server("alice").await?;
    bob.server_ready("bob").await?;
    assert_eq!(devices(&specola, "bob")?, ["MIG-1", "MIG-1", "MIG-1"]);
    let events = following.await??;
    let waited = events.iter().find(|event| event["message"] == "Waiting for a GPU: place 1 of 1");
    let waited = waited.with_context(|| format!("{events:?}"))?;
    assert_eq!((&waited["phase"], &waited["detail"]), (&json!("stopped"), &json!("place 1 of 1")));
    assert_eq!(waited["queue"], json!({"resource": "nvidia.com/gpu", "place": 1, "of": 1, "seconds": null}));
    assert_eq!(events.last().map(|event| event["ready"] == true), Some(true), "{events:?}");

    // Now it is known how long one is used, and dora is told. She has enough, and leaves the queue.
    page_says(&mut dora, "/hub/spawn-pending/dora", "place 1 of 1, about a minute").await?;
    dora.submit("/hub/spawn-pending/dora", &[("action", "cancel")]).await?.expect(&[303])?;
    dora.server_stopped("dora").await?;
    let events = of_dora.await??;
    assert_eq!(events.last().map(|event| event["message"].clone()), Some(json!("Spawn cancelled")), "{events:?}");
    let told = options_of(&mut dora, "dora").await?;
    assert_eq!(told["devices"]["nvidia.com/gpu"]["waiting"], 0);
    bob.stop_server("bob").await?;
    assert_eq!(options_of(&mut bob, "bob").await?["devices"]["nvidia.com/gpu"]["free"], 1);
    // What she was told then is not told of the next start.
    start(&mut dora, "slice").await?;
    dora.server_ready("dora").await?;
    assert_eq!(devices(&specola, "dora")?[0], "MIG-1");
    Ok(())
}

#[tokio::test]
async fn a_hub_that_dies_between_lease_and_start_neither_loses_a_device_nor_gives_it_twice() -> Result<()> {
    let mut specola = Specola::start(options(r#"["GPU-1"]"#)?).await?;
    for breakpoint in ["prepare.before", "prepare.after", "start.saved", "start.after"] {
        let name = breakpoint.replace('.', "-");
        let mut person = specola.logged_in(&name).await?;
        specola.kill_hub();
        specola.launch(&[("SPECOLA_BREAKPOINT", breakpoint)])?;
        specola.answers().await?;
        // The answer may die with the hub.
        let _ = start(&mut person, "slice").await;
        specola.ended()?;
        specola.run().await?;
        person.server_ready(&name).await?;
        assert_eq!(devices(&specola, &name)?[0], "GPU-1", "{breakpoint}");
        assert_eq!(specola.labs().len(), 1);
        person.stop_server(&name).await?;
    }
    Ok(())
}

#[tokio::test]
async fn five_people_share_two_gpus_one_after_the_other() -> Result<()> {
    let specola = Specola::start(options(r#"["GPU-1", "GPU-2"]"#)?).await?;
    let mut people = Vec::new();
    for name in ["ann", "ben", "cid", "dot", "eva"] {
        people.push((name, specola.logged_in(name).await?));
    }
    let starts = people.iter().map(|(_, session)| {
        let mut session = session.clone();
        async move { start(&mut session, "slice").await }
    });
    futures_util::future::try_join_all(starts).await?;
    let mut served = BTreeSet::new();
    while served.len() < people.len() {
        let left = people.len() - served.len();
        let running = until("labs on every GPU", PATIENCE, async || {
            let labs = specola.labs();
            let names: BTreeSet<String> =
                labs.iter().filter_map(|lab| lab.variable("JUPYTERHUB_USER").map(str::to_owned)).collect();
            Ok((labs.len() == left.min(2)).then_some(names))
        })
        .await?;
        let mut used = BTreeSet::new();
        for name in &running {
            let [device, ..] = devices(&specola, name)?;
            ensure!(used.insert(device.clone()), "{device} is used twice, by {running:?}");
            ensure!(!served.contains(name), "{name} was served twice");
        }
        let name = running.into_iter().next().context("a lab")?;
        let (_, session) = people.iter_mut().find(|(one, _)| *one == name).context("somebody")?;
        session.server_ready(&name).await?;
        session.stop_server(&name).await?;
        served.insert(name);
    }
    Ok(())
}

#[tokio::test]
async fn who_waits_for_too_long_is_told_and_has_left_the_queue() -> Result<()> {
    let specola = Specola::start(options(r#"["GPU-1"]"#)?.set("spawner", "device_timeout", "1")).await?;
    let (mut alice, mut bob) = (specola.logged_in("alice").await?, specola.logged_in("bob").await?);
    start(&mut alice, "slice").await?;
    alice.server_ready("alice").await?;
    start(&mut bob, "slice").await?;
    until("end of the wait", PATIENCE, async || {
        let page = bob.get("/hub/spawn-pending/bob").await?.expect(&[200, 400])?.text();
        Ok(page.contains("No GPU became free in a minute.").then_some(()))
    })
    .await?;
    let told = options_of(&mut bob, "bob").await?;
    assert_eq!(told["devices"]["nvidia.com/gpu"], json!({"total": 1, "free": 0, "waiting": 0}));
    assert_eq!(specola.labs().len(), 1);
    Ok(())
}

/// How many are free, by the word of the hub.
async fn free(session: &mut Session, name: &str) -> Result<Value> {
    Ok(options_of(session, name).await?["devices"]["nvidia.com/gpu"]["free"].clone())
}

/// Containers of a real engine, and a device of this machine that everybody knows: it stands for a GPU that is given by its
/// path.
#[tokio::test]
async fn a_device_is_in_the_container_that_leased_it_alone_and_goes_to_the_next_in_the_queue() -> Result<()> {
    let engine = Engine::new(&need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER"));
    need!(Path::new("/dev/fuse").exists().then_some(()), "/dev/fuse", "SPECOLA_REQUIRE_MOUNTS");
    let specola = Specola::start(leasing(engine.options()?, r#"["/dev/fuse"]"#)).await?;
    let mut alice = specola.logged_in("alice").await?;
    let mut bob = specola.logged_in("bob").await?;
    let mut carol = specola.logged_in("carol").await?;
    // It is there, and can be opened.
    let has = |name: &str| {
        let line = "if [ -c /dev/fuse ]; then : </dev/fuse && echo opened; else echo none; fi";
        docker(&["exec", "--user", "0", &engine.container(name), "sh", "-c", line])
    };
    start(&mut alice, "slice").await?;
    alice.server_ready("alice").await?;
    assert_eq!(has("alice")?, "opened");
    start(&mut carol, "plain").await?;
    carol.server_ready("carol").await?;
    assert_eq!(has("carol")?, "none");
    start(&mut bob, "slice").await?;
    page_says(&mut bob, "/hub/spawn-pending/bob", "Waiting for a GPU: place 1 of 1").await?;
    let mut containers = engine.containers()?;
    containers.sort();
    assert_eq!(containers, ["alice", "carol"].map(|name| engine.container(name)), "nothing is made of who waits");

    alice.stop_server("alice").await?;
    bob.server_ready("bob").await?;
    assert_eq!((has("bob")?.as_str(), free(&mut bob, "bob").await?), ("opened", json!(0)));
    // Its container is killed behind the hub's back: the device is free all the same.
    docker(&["kill", &engine.container("bob")])?;
    bob.server_stopped("bob").await?;
    assert_eq!(free(&mut bob, "bob").await?, 1);
    start(&mut alice, "slice").await?;
    alice.server_ready("alice").await?;
    assert_eq!(has("alice")?, "opened");
    alice.stop_server("alice").await?;
    assert_eq!(free(&mut alice, "alice").await?, 1);
    carol.stop_server("carol").await
}

#[tokio::test]
async fn a_gpu_that_the_engine_cannot_give_is_told_and_is_free_again() -> Result<()> {
    let engine = Engine::new(&need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER"));
    let specola = Specola::start(leasing(engine.options()?, r#"["MIG-11111111-2222-3333-4444-555555555555"]"#)).await?;
    let mut alice = specola.logged_in("alice").await?;
    start(&mut alice, "slice").await?;
    alice.server_stopped("alice").await?;
    let (_, page) = alice.follow("/hub/spawn-pending/alice").await?;
    let page = page.text();
    assert!(page.contains("The machine that runs servers cannot give this server its GPU."), "{page}");
    assert_eq!(free(&mut alice, "alice").await?, 1);
    assert_eq!(engine.containers()?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn the_form_and_the_wait_have_their_look() -> Result<()> {
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let specola = Specola::start(options(r#"["MIG-1"]"#)?).await?;
    let mut alice = specola.logged_in("alice").await?;
    start(&mut alice, "slice").await?;
    alice.server_ready("alice").await?;
    browser.log_in(&specola.origin(), "bob", PASSWORD).await?;
    browser.go(&format!("{}/hub/spawn", specola.origin())).await?;
    browser.text(".tags .now", |text| text == "none free now").await?;
    browser.text(".left", |text| text == "Left of your quota: 1 GPU.").await?;
    for look in tests::browser::LOOKS {
        browser.look(look).await?;
        assert!(!browser.scrolls_sideways().await?, "the form is wider than the window when {}", look.name);
        browser.screenshot(&format!("devices-form-{}", look.name)).await?;
    }
    browser.look(tests::browser::LOOKS[0]).await?;
    browser.client.execute("document.querySelector('input[value=slice]').click()", vec![]).await?;
    browser.text("#start", |text| text == "Start Slice, 1 core, 1 GPU").await?;
    browser.click("#start").await?;
    browser.text(".step-detail", |text| text == "place 1 of 1").await?;
    browser.text("#progress-message", |text| text == "Waiting for a GPU: place 1 of 1").await?;
    browser.screenshots("devices-waiting").await?;
    // The page follows by itself to the server.
    alice.stop_server("alice").await?;
    browser.arrives("bob's server", |url| url.path().starts_with("/user/bob/")).await?;

    // What is refused is said once, beside its question, and has the focus.
    browser.go(&format!("{}/hub/spawn/bob/", specola.origin())).await?;
    let mut bob = specola.logged_in("bob").await?;
    bob.stop_server("bob").await?;
    browser.go(&format!("{}/hub/spawn?opt-flavour=gone", specola.origin())).await?;
    browser.text(".refused", |text| text.contains("“gone” is not among the choices")).await?;
    let said = "return document.body.innerText.split('“gone”').length - 1";
    assert_eq!(browser.client.execute(said, vec![]).await?, json!(1));
    let focus = "return document.activeElement.name";
    assert_eq!(browser.client.execute(focus, vec![]).await?, json!("flavour"));
    browser.screenshots("devices-refused").await
}
