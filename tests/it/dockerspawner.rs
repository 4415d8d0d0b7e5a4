//! A hub with real DockerSpawner changes hands and back: its container runs on, and belongs to whoever serves.

use anyhow::{Context, Result};
use http::Method;
use tests::docker::{Engine, docker, gateway, lab_image};
use tests::jupyterhub::{Ground, PASSWORD};
use tests::{Body, JupyterHub, Kernel, Mark, Session, Specola, need, place};

/// What makes JupyterHub start the same containers in the same volumes as `Engine::options` makes Specola.
fn with_dockerspawner(engine: &Engine, image: &str) -> Result<String> {
    Ok(format!(
        "
c.JupyterHub.spawner_class = 'docker'
c.JupyterHub.hub_ip = '{gateway}'
c.Spawner.cmd = ['jupyterhub-singleuser']
c.Spawner.args = []
c.Spawner.start_timeout = 60
c.DockerSpawner.image = '{image}'
c.DockerSpawner.prefix = '{prefix}'
c.DockerSpawner.remove = True
c.DockerSpawner.volumes = {{'{prefix}-home-{{username}}': '/home/jovyan'}}
",
        gateway = gateway()?,
        prefix = engine.prefix,
    ))
}

/// What tells one run of a container from any other.
fn run_of(container: &str) -> Result<String> {
    docker(&["inspect", "--format", "{{.Id}} {{.State.StartedAt}} {{.State.Running}}", container])
}

#[tokio::test]
async fn a_container_of_dockerspawners_is_taken_over_stopped_and_given_back() -> Result<()> {
    let image = need!(lab_image(), "an image with JupyterLab", "SPECOLA_LAB_IMAGE");
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1 with DockerSpawner", "SPECOLA_JUPYTERHUB_PYTHON");
    let proxy = need!(place::configurable_http_proxy(), "configurable-http-proxy", "SPECOLA_CHP");
    let engine = Engine::new(&image);
    let folder = tempfile::tempdir()?;
    let ground = Ground::new(folder.path())?;
    let (origin, container) = (ground.origin(), engine.container("alice"));
    let theirs = with_dockerspawner(&engine, &image)?;

    let jupyterhub = JupyterHub::configured(ground.clone(), &python, &proxy, Mark::default(), &theirs).await?;
    let mut alice = Session::logged_in(&origin, "alice", PASSWORD).await?;
    let token = alice.new_token("alice").await?;
    alice.start_server("alice").await.with_context(|| jupyterhub.log())?;
    let mut kernel = Kernel::start(&origin, "/user/alice/", &token).await?;
    kernel.run("kept = open('/home/jovyan/notes', 'w').write('through the change of hubs')").await?;
    let run = run_of(&container)?;
    let mark = jupyterhub.stop();
    assert_eq!(run_of(&container)?, run, "JupyterHub leaves it running");

    let adopted =
        std::process::Command::new(place::binary()?).args(["adopt", "--from", &ground.database(), "--yes"]).output()?;
    let said = String::from_utf8_lossy(&adopted.stdout);
    assert!(adopted.status.success() && said.contains("alice (Docker container)"), "{said}");
    let mut specola = Specola::on(ground.clone(), engine.options()?.set("spawner", "cmd", "[]"), mark);
    specola.run().await?;
    alice.server_ready("alice").await?;
    alice.follow("/user/alice/lab").await?.1.expect(&[200]).with_context(|| specola.log())?;
    let mut kernel = Kernel::connect(&origin, "/user/alice/", &token, &kernel.id).await?;
    assert_eq!(kernel.run("kept").await?, "26");
    assert_eq!((run_of(&container)?, engine.containers()?), (run, vec![container.clone()]), "it is the same");

    alice.stop_server("alice").await?;
    assert_eq!(engine.containers()?, Vec::<String>::new(), "nothing is left of it");
    alice.start_server("alice").await?;
    let mut kernel = Kernel::start(&origin, "/user/alice/", &token).await?;
    let notes = kernel.run("open('/home/jovyan/notes').read()").await?;
    assert_eq!(notes, "'through the change of hubs'", "the volume is found by DockerSpawner's name");

    // Back: DockerSpawner understands what was saved here.
    let run = run_of(&container)?;
    assert!(specola.stop_hub()?.success());
    specola.proxy()?.kill();
    let mark = specola.leave();
    let jupyterhub = JupyterHub::configured(ground, &python, &proxy, mark, &theirs).await?;
    alice.server_ready("alice").await?;
    alice.follow("/user/alice/lab").await?.1.expect(&[200]).with_context(|| jupyterhub.log())?;
    let model = alice.api(Method::GET, "/users/alice", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(model["servers"][""]["ready"], true, "{model}");
    assert_eq!(run_of(&container)?, run);
    alice.stop_server("alice").await.with_context(|| jupyterhub.log())?;
    assert_eq!(engine.containers()?, Vec::<String>::new());
    Ok(())
}
