//! Containers of an image that knows nothing of the hub: the hub puts the lab agent into them, and programs find keys and
//! the token without any configuration.

use anyhow::{Context, Result};
use serde_json::Value;
use tests::docker::{Engine, Passage, docker, image, static_agent};
use tests::object_store::tools;
use tests::{need, place, provider};

use super::{storage, with_storage, world};
use crate::oidc::{Entry, House, keeping};

/// Runs a program as a terminal of the lab would: with the environment that the lab itself has, and packages of Python that
/// an image with them would have.
const TERMINAL: &str = r#"
import os, sys
for process in filter(str.isdigit, os.listdir("/proc")):
    try:
        command, text = (open(f"/proc/{process}/{file}").read() for file in ("cmdline", "environ"))
    except OSError:
        continue
    if command.startswith("python3\0/labs/quick.py"):
        environment = dict(pair.split("=", 1) for pair in text.split("\0") if "=" in pair)
        os.execve(sys.argv[2], sys.argv[2:], environment | {"PYTHONPATH": sys.argv[1]})
sys.exit("there is no lab")
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_in_a_container_of_any_image_need_no_configuration() -> Result<()> {
    let engine = Engine::new(&need!(image(), "a Docker engine", "SPECOLA_REQUIRE_DOCKER"));
    let agent = need!(static_agent(), "the image lab", "SPECOLA_REQUIRE_DOCKER");
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    let rclone = need!(place::command("rclone"), "rclone", "SPECOLA_REQUIRE_RCLONE").display().to_string();
    let (provider, moto, roles) = world(&tools, &installed).await?;
    let main = storage("main", &moto.endpoint(), &[("\"users\"", &roles["users"])], "duration = 3600");
    let python = "/usr/bin/python3";
    let scripts = place::package().join("object_store").display().to_string();
    // Programs and the test's own scripts, lent to the container under their own paths.
    let folder = tools.python().parent().and_then(|bin| bin.parent()).context("an environment")?.display().to_string();
    let library = std::fs::read_dir(format!("{folder}/lib"))?.next().context("a library")??.path();
    let packages = library.join("site-packages").display().to_string();
    let mut options =
        engine.options()?.set("spawner.docker", "agent_file", &format!("{:?}", agent.display().to_string()));
    for lent in [&folder, &scripts, &rclone] {
        options = options.set("spawner.docker.read_only_volumes", &format!("{lent:?}"), &format!("{lent:?}"));
    }
    let house = House::at(provider, &Entry::by_group(), |own| with_storage(keeping(own).and(options), &[main])).await?;
    let mut anna = house.signed_in("anna").await?;
    anna.start_server("anna").await.with_context(|| house.specola.log())?;
    let container = engine.container("anna");
    let port = moto.endpoint().rsplit(':').next().context("a port")?.parse()?;
    let _passage = Passage::into(&container, port, port)?;
    let terminal = |program: &[&str]| {
        docker(&[&["exec", &container, python, "-c", TERMINAL, &packages], program].concat())
            .with_context(|| house.specola.log())
    };

    let bearer = "import os; print(open(os.environ['BEARER_TOKEN_FILE']).read().count('.'))";
    assert_eq!(terminal(&[python, "-c", bearer])?, "2", "the access token");
    for kind in ["boto3", "s3fs"] {
        let used: Value = serde_json::from_str(&terminal(&[python, &format!("{scripts}/use.py"), kind, "0", "data"])?)?;
        assert!(used["done"] == 1 && used["refused"] == Value::Array(Vec::new()), "{kind}: {used}");
    }
    let aws = format!("{folder}/bin/aws");
    let listed = terminal(&[python, &aws, "s3", "ls", "s3://data/boto3/"])?;
    assert!(listed.contains("object"), "{listed}");
    assert_eq!(terminal(&[&rclone, "lsf", "main:data/boto3"])?, "object");
    Ok(())
}
