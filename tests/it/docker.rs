//! Labs in containers of a real engine, through the whole hub.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use tests::docker::{Engine, docker, image, lab_image};
use tests::registry::{self, Narrow, Registry};
use tests::{Body, Kernel, Session, Specola, dockerd, need, until};

const SOON: Duration = Duration::from_secs(60);

/// What the lab of somebody says of itself.
async fn lab(session: &mut Session, path: &str) -> Result<Value> {
    session.get(path).await?.expect(&[200])?.json()
}

/// Asks for a server that will not come up, and reads what the person is told.
async fn told(specola: &Specola, name: &str) -> Result<String> {
    let mut session = specola.logged_in(name).await?;
    session.api(Method::POST, &format!("/users/{name}/server"), Body::Empty).await?;
    session.server_stopped(name).await?;
    let (_, page) = session.follow(&format!("/hub/spawn-pending/{name}")).await?;
    Ok(page.text())
}

/// H4: without privileges, capabilities or a way to gain rights.
#[tokio::test]
async fn a_lab_is_limited_and_its_home_outlives_it() -> Result<()> {
    let engine = Engine::new(&need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER"));
    let specola = Specola::start(engine.options()?.set("spawner", "mem_limit", "\"256M\"")).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    let said = lab(&mut alice, "/user/alice/write").await?;
    assert_eq!(said["memory"], "268435456");
    assert_eq!((&said["uid"], &said["user"]), (&1000.into(), &"alice".into()));
    assert_eq!((&said["capabilities"], &said["no_new_privileges"]), (&"0000000000000000".into(), &"1".into()));
    let first = said["host"].clone();
    alice.stop_server("alice").await?;
    assert_eq!(engine.containers()?, Vec::<String>::new(), "nothing is left of it");
    alice.start_server("alice").await?;
    let said = lab(&mut alice, "/user/alice/write").await?;
    assert_eq!(said["notes"], "xx", "the home is the same");
    assert_ne!(said["host"], first, "and the container another one");

    // Somebody else has a home of their own.
    let mut bob = specola.logged_in("bob").await?;
    bob.start_server("bob").await?;
    assert_eq!(lab(&mut bob, "/user/bob/write").await?["notes"], "x");
    alice.stop_server("alice").await?;
    bob.stop_server("bob").await
}

/// What is mounted into a container from volumes, and where.
fn volumes(container: &str) -> Result<String> {
    let format = "{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Name}}:{{.Destination}} {{end}}{{end}}";
    docker(&["inspect", "--format", format, container])
}

#[tokio::test]
async fn the_volume_of_a_group_is_mounted_for_a_member_and_refused_to_another() -> Result<()> {
    let engine = Engine::new(&need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER"));
    let data = format!("{}-data", engine.prefix);
    let offered = format!(
        r#"[{{ name = "data", display_name = "Our data", mount = {{ source = {data:?}, target = "/data" }} }}]"#
    );
    let policies = r#"[{ name = "everybody", limit = { memory = "1G" } }, { name = "a", groups = ["/users/a"], grant = { volumes = ["data"] } }]"#;
    let options = engine.options()?.set("hub", "load_groups", r#"{ "/users/a" = { users = ["alice"] } }"#);
    let options = options.set("options", "volumes", &offered).set("options", "policies", policies);
    let specola = Specola::start(options).await?;
    let (mut alice, mut bob) = (specola.logged_in("alice").await?, specola.logged_in("bob").await?);

    let page = alice.get("/hub/spawn").await?.expect(&[200])?.text();
    assert!(page.contains("Our data"), "{page}");
    alice.submit("/hub/spawn", &[("volumes", "data")]).await?.expect(&[303])?;
    alice.server_ready("alice").await?;
    let container = engine.container("alice");
    assert!(volumes(&container)?.split(' ').any(|one| one == format!("{data}:/data")), "{}", volumes(&container)?);
    docker(&["exec", "--user", "0", &container, "sh", "-c", "echo kept > /data/file"])?;
    // The next container, started by REST, has the same.
    alice.stop_server("alice").await?;
    let wish = Body::Json(json!({"user_options": {"volumes": ["data"]}}));
    alice.api(Method::POST, "/users/alice/server", wish).await?.expect(&[201, 202])?;
    alice.server_ready("alice").await?;
    assert_eq!(docker(&["exec", &container, "cat", "/data/file"])?, "kept");

    // Who is not in the group is not told of it, and gets it by no way.
    let page = bob.get("/hub/spawn").await?.text();
    assert!(!page.contains("Our data"), "{page}");
    bob.submit("/hub/spawn", &[("volumes", "data")]).await?.expect(&[403])?;
    let wish = Body::Json(json!({"user_options": {"volumes": ["data"]}}));
    let told = bob.api(Method::POST, "/users/bob/server", wish).await?.expect(&[403])?.json()?;
    assert_eq!((&told["code"], &told["field"]), (&"not_offered".into(), &"volumes".into()), "{told}");
    bob.start_server("bob").await?;
    assert!(!volumes(&engine.container("bob"))?.contains("data"), "{}", volumes(&engine.container("bob"))?);
    alice.stop_server("alice").await?;
    bob.stop_server("bob").await
}

#[tokio::test]
async fn a_hub_that_was_killed_finds_its_containers_again() -> Result<()> {
    let engine = Engine::new(&need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER"));
    let mut specola = Specola::start(engine.options()?).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    let before = lab(&mut alice, "/user/alice/").await?;
    specola.kill_hub();
    assert_eq!(lab(&mut alice, "/user/alice/").await?, before, "the lab is reached meanwhile");
    specola.run().await?;
    alice.server_ready("alice").await?;
    assert_eq!(lab(&mut alice, "/user/alice/").await?, before, "and is the same after it");
    assert_eq!(engine.containers()?, [engine.container("alice")]);

    // It is killed while no hub looks: the next one tells.
    specola.kill_hub();
    docker(&["kill", &engine.container("alice")])?;
    specola.run().await?;
    alice.server_stopped("alice").await?;
    let (_, page) = alice.follow("/hub/spawn-pending/alice").await?;
    assert!(page.text().contains("It was killed from outside"), "{}", page.text());
    until("the container is cleared away", SOON, async || Ok(engine.containers()?.is_empty().then_some(()))).await
}

#[tokio::test]
async fn a_container_that_dies_is_noticed_at_once() -> Result<()> {
    let engine = Engine::new(&need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER"));
    // The survey would come too late to be the one who notices.
    let specola = Specola::start(engine.options()?.set("spawner", "poll_interval", "3600")).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    docker(&["kill", &engine.container("alice")])?;
    alice.server_stopped("alice").await?;
    let (_, page) = alice.follow("/hub/spawn-pending/alice").await?;
    assert!(page.text().contains("The server ended by itself. It was killed from outside"), "{}", page.text());
    alice.start_server("alice").await?;
    alice.stop_server("alice").await
}

#[tokio::test]
async fn what_cannot_start_is_explained() -> Result<()> {
    let image = need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER");
    let engine = Engine::new(&image);
    let options = engine.options()?;
    let mut specola = Specola::start(options.clone()).await?;
    docker(&["create", "--name", &engine.container("alice"), &image, "true"])?;
    let page = told(&specola, "alice").await?;
    assert!(page.contains("There is another container with the name"), "{page}");
    docker(&["rm", &engine.container("alice")]).context("it was not touched")?;

    specola.reconfigure(options.clone().set("spawner", "cmd", "[\"jupyterhub-singleuser\"]")).await?;
    let page = told(&specola, "alice").await?;
    assert!(page.contains("does not contain jupyterhub-singleuser"), "{page}");

    // What ends at once: a home that is root's, a disk that is full, more memory than there may be.
    let running = |program: &str| options.clone().set("spawner", "cmd", &format!("[\"python3\", \"-c\", {program:?}]"));
    let roots = running("open('/srv/home/a', 'w')");
    let roots = roots.set("spawner.docker.volumes", &format!("\"{}-roots\"", engine.prefix), "\"/srv/home\"");
    let full = running("open('/small/a', 'wb').write(bytes(1 << 20))");
    let full = full.set("spawner.docker", "extra_host_config", r#"{ tmpfs = ["/small:size=64k"] }"#);
    let large = running("bytearray(b'x') * (1 << 30)").set("spawner", "mem_limit", "\"64M\"");
    for (options, words) in [
        (roots, "a volume may belong to another user"),
        (full, "its disk is full"),
        (large, "It used more memory than its limit of 64 MiB"),
    ] {
        specola.reconfigure(options).await?;
        let page = told(&specola, "alice").await?;
        assert!(page.contains(words), "{words}: {page}");
        assert_eq!(engine.containers()?, Vec::<String>::new(), "{words}");
    }

    specola.reconfigure(options.set("spawner.docker", "image", "\"specola-test-nowhere:1\"")).await?;
    let page = told(&specola, "alice").await?;
    assert!(page.contains("The image of this server is not on the machine"), "{page}");
    assert_eq!(engine.containers()?, Vec::<String>::new());
    Ok(())
}

/// An image of the engine that goes with the test.
struct Pulled(String);

impl Drop for Pulled {
    fn drop(&mut self) {
        let _ = docker(&["rmi", "--force", &self.0]);
    }
}

/// How far a pull is, as it was told last on the page of somebody who waits: megabytes that are there.
async fn pulled(session: &mut Session, name: &str, image: &str) -> Result<Option<u64>> {
    let (_, page) = session.follow(&format!("/hub/spawn-pending/{name}")).await?;
    let (text, told) = (page.text(), format!("Pulling the image {image}: "));
    let amount = text.rsplit_once(&told).and_then(|(_, rest)| rest.split_once(" of 13 MB"));
    Ok(amount.and_then(|(done, _)| done.parse().ok()))
}

/// The time of a start runs when the image is there, and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_that_takes_longer_than_a_start_may_is_waited_for_and_told_in_bytes() -> Result<()> {
    need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER");
    let program = need!(registry::program(false), "docker-registry", "SPECOLA_REQUIRE_REGISTRY");
    let registry = Registry::start(&program, None)?;
    registry.publish("slow:1", 12, dockerd::lay)?;
    let narrow = Narrow::before(&registry, 4 << 20).await?;
    let image = format!("127.0.0.1:{}/slow:1", narrow.port);
    let _pulled = Pulled(image.clone());
    let engine = Engine::new(&image);
    let limit = Duration::from_secs(8);
    let options = engine
        .options()?
        .set("spawner", "start_timeout", &limit.as_secs().to_string())
        .set("spawner.docker", "pull_policy", "\"ifnotpresent\"")
        .set("spawner.docker.read_only_volumes", "\"/usr\"", "\"/usr\"");
    let specola = Specola::start(options).await?;
    let mut alice = specola.logged_in("alice").await?;
    let begun = Instant::now();
    alice.api(Method::POST, "/users/alice/server", Body::Empty).await?.expect(&[201, 202])?;
    let first = until("bytes of the image", SOON, async || pulled(&mut alice, "alice", &image).await).await?;
    until("end of the time for a start", SOON, async || Ok((begun.elapsed() > limit * 5 / 4).then_some(()))).await?;
    let model = alice.api(Method::GET, "/users/alice", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(model["servers"][""]["pending"], "spawn", "{}", specola.log());
    assert_eq!(engine.containers()?, Vec::<String>::new(), "it has not begun");
    // More of it comes, and is told.
    narrow.widen(8 << 20);
    until("more bytes of the image", SOON, async || {
        Ok(pulled(&mut alice, "alice", &image).await?.filter(|now| *now > first))
    })
    .await?;
    narrow.widen(u64::MAX);
    alice.server_ready("alice").await.with_context(|| specola.log())?;
    alice.get("/user/alice/").await?.expect(&[200])?;
    alice.stop_server("alice").await
}

#[tokio::test]
async fn an_engine_that_goes_away_takes_no_lab_with_it() -> Result<()> {
    let engine = Engine::new(&need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER"));
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("docker.sock");
    let real = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let real = real.strip_prefix("unix://").context("an engine on a socket")?.to_owned();
    let options = engine.options()?.set("spawner.docker", "host", &format!("\"unix://{}\"", socket.display()));
    // The hub comes up without its engine, and waits for it.
    let specola = Specola::start(options.set("spawner", "poll_interval", "1")).await?;
    let mut alice = specola.logged_in("alice").await?;
    let asked = alice.api(Method::POST, "/users/alice/server", Body::Empty).await?;
    assert!(matches!(asked.status.as_u16(), 201 | 202), "{}", asked.text());
    let waits = || specola.log().contains("the spawner cannot be reached");
    until("the hub waits for the engine", SOON, async || Ok(waits().then_some(()))).await?;
    std::os::unix::fs::symlink(&real, &socket)?;
    alice.server_ready("alice").await?;
    let before = lab(&mut alice, "/user/alice/").await?;

    // It goes away under a lab: the lab is neither stopped nor told dead.
    std::fs::remove_file(&socket)?;
    let told = specola.log().matches("the spawner cannot be reached").count();
    let again = || specola.log().matches("the spawner cannot be reached").count() > told;
    until("the survey missed it", SOON, async || Ok(again().then_some(()))).await?;
    assert_eq!(lab(&mut alice, "/user/alice/").await?, before);
    std::os::unix::fs::symlink(&real, &socket)?;
    alice.server_ready("alice").await?;
    assert_eq!(engine.containers()?, [engine.container("alice")]);
    alice.stop_server("alice").await
}

/// `remove = false` of DockerSpawner.
#[tokio::test]
async fn a_container_that_is_kept_is_started_again_with_the_same_token() -> Result<()> {
    let engine = Engine::new(&need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER"));
    let options = engine.options()?.set("spawner.docker", "remove", "false");
    let mut specola = Specola::start(options.clone()).await?;
    let mut alice = specola.logged_in("alice").await?;
    let container = engine.container("alice");
    alice.start_server("alice").await?;
    let id = docker(&["inspect", "--format", "{{.Id}}", &container])?;
    let token = docker(&["exec", &container, "printenv", "JUPYTERHUB_API_TOKEN"])?;
    let mut server = alice.with_token(&token);
    server.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?;
    docker(&["exec", &container, "touch", "/tmp/kept"])?;
    alice.stop_server("alice").await?;
    server.api(Method::GET, "/user", Body::Empty).await?.expect(&[403]).context("its token is good for nothing")?;
    assert_eq!(engine.containers()?, [format!("{container}-kept-{}", &id[..12])]);

    alice.start_server("alice").await?;
    assert_eq!(docker(&["inspect", "--format", "{{.Id}}", &container])?, id);
    docker(&["exec", &container, "ls", "/tmp/kept"])?;
    server.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?;
    // Another hub finds it running, and takes it for nothing that was left.
    specola.reconfigure(options.clone().set("spawner", "poll_interval", "1")).await?;
    alice.server_ready("alice").await?;
    alice.stop_server("alice").await?;

    // Made another way, it is another one.
    specola.reconfigure(options.set("spawner", "mem_limit", "\"256M\"")).await?;
    alice.start_server("alice").await?;
    assert_ne!(docker(&["inspect", "--format", "{{.Id}}", &container])?, id);
    assert_eq!(engine.containers()?, std::slice::from_ref(&container), "and the only one");
    alice.stop_server("alice").await?;
    let mut admin = specola.logged_in("admin").await?;
    admin.api(Method::DELETE, "/users/alice", Body::Empty).await?.expect(&[204])?;
    until("what was kept goes with the person", SOON, async || Ok(engine.containers()?.is_empty().then_some(()))).await
}

#[tokio::test]
async fn jupyterlab_in_a_container_works_behind_the_hubs_login() -> Result<()> {
    let engine = Engine::new(&need!(lab_image(), "an image with JupyterLab", "SPECOLA_LAB_IMAGE"));
    let specola = Specola::start(engine.options()?.set("spawner", "cmd", "[]")).await?;
    super::singleuser::a_lab_is_open_to_its_owner_only(&specola.origin()).await?;
    assert_eq!(engine.containers()?, Vec::<String>::new());
    Ok(())
}

/// A cell that needs too much takes its kernel with it, and not JupyterLab: the person is told on the home page. That a
/// process was killed so sticks to the container, and is not how it ends.
#[tokio::test]
async fn a_kernel_that_needs_too_much_memory_is_told_and_the_lab_lives_on() -> Result<()> {
    let engine = Engine::new(&need!(lab_image(), "an image with JupyterLab", "SPECOLA_LAB_IMAGE"));
    let options = engine.options()?.set("spawner", "cmd", "[]").set("spawner", "mem_limit", "\"512M\"");
    let specola = Specola::start(options).await?;
    let mut alice = specola.logged_in("alice").await?;
    let token = alice.new_token("alice").await?;
    alice.start_server("alice").await?;
    let mut kernel = Kernel::start(&specola.origin(), "/user/alice/", &token).await?;
    assert!(!alice.get("/hub/home").await?.expect(&[200])?.text().contains("memory-full"));
    kernel.begin("eaten = []\nwhile True: eaten.append(bytearray(b'x') * (8 << 20))").await?;
    let words = "A process of this server was ended because the server’s memory (512 MB) was full.";
    until("the home page tells", SOON, async || {
        Ok(alice.get("/hub/home").await?.expect(&[200])?.text().contains(words).then_some(()))
    })
    .await?;
    let mut script = alice.with_token(&token);
    script.get("/user/alice/api/status").await?.expect(&[200]).context("JupyterLab lives on")?;
    let flag = ["inspect", "--format", "{{.State.Running}}", &engine.container("alice")];
    assert_eq!(docker(&flag)?, "true");

    script.send(Method::POST, "/user/alice/api/shutdown", Body::Empty).await?.expect(&[200])?;
    alice.server_stopped("alice").await?;
    let (_, page) = alice.follow("/hub/spawn-pending/alice").await?;
    let (page, home) = (page.text(), alice.get("/hub/home").await?.expect(&[200])?.text());
    assert!(page.contains("It ended by itself, without an error.") && !page.contains("more memory"), "{page}");
    assert!(!home.contains("memory-full"), "that run is over");
    // The next run has nothing to do with it.
    alice.start_server("alice").await?;
    assert!(!alice.get("/hub/home").await?.expect(&[200])?.text().contains("memory-full"));
    alice.stop_server("alice").await
}
