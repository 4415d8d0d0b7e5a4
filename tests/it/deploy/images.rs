//! The images: small rights, no trace of how they were built, an agent that collects who is left behind.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use tests::docker::Engine;
use tests::specola::Options;
use tests::{Body, Kernel, Specola, need, place, until};

use super::{base, build, docker, hub, lab};

const PATIENCE: Duration = Duration::from_secs(60);

/// The hub listens where containers reach it, and starts them from an image.
pub fn containers(engine: &Engine, image: &str) -> Result<Options> {
    let bridge = tests::docker::gateway()?;
    Ok(Options::default()
        .set("hub", "hub_ip", &format!("{bridge:?}"))
        .set("spawner", "driver", "\"docker\"")
        .set("spawner", "cmd", "[\"jupyterhub-singleuser\"]")
        .set("spawner", "start_timeout", "120")
        .set("spawner.docker", "image", &format!("{image:?}"))
        .set("spawner.docker", "pull_policy", "\"never\"")
        .set("spawner.docker", "prefix", &format!("{:?}", engine.prefix))
        // In the container, whose files are its own.
        .set("spawner.environment", "SPECOLA_TOKEN_DIR", "\"/tmp/specola-tokens\"")
        // The agent is the first process, and nobody else collects those whose parents are gone.
        .set("spawner.docker", "init", "false"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_image_lab_starts_unprivileged_with_the_agent_as_its_first_process() -> Result<()> {
    let image = need!(lab(), "the image lab", "SPECOLA_REQUIRE_DOCKER");
    // It takes away whatever is left in the end.
    let engine = Engine::new(&image);
    let specola = Specola::start(containers(&engine, &image)?).await?;
    let mut ada = specola.logged_in("ada").await?;
    ada.start_server("ada").await?;
    let of_ada = format!("name={}", engine.container("ada"));
    let container = docker(&["ps", "--quiet", "--filter", &of_ada])?;
    ensure!(!container.is_empty(), "no container: {}", docker(&["ps", "-a"])?);
    let inside = |script: &str| docker(&["exec", &container, "sh", "-c", script]);

    assert_eq!(inside("id -u; id -g; echo $HOME")?, "1000\n100\n/home/jovyan");
    assert_eq!(inside("tr '\\0' ' ' </proc/1/cmdline | cut -d' ' -f1")?, "specola-lab-agent");
    assert_eq!(inside("grep NoNewPrivs /proc/1/status | tr -d '\\t'")?, "NoNewPrivs:1");
    // What nobody waits for: its parent is gone before it ends, and the first process has to collect it.
    inside("sh -c 'sleep 0.1 & exit 0'")?;
    until("end of the zombies", PATIENCE, async || {
        let states = inside("cat /proc/[0-9]*/stat 2>/dev/null; true")?;
        let sleeping = |line: &&str| line.contains("(sleep)");
        Ok((states.lines().find(sleeping).is_none()).then_some(()))
    })
    .await?;
    // The agent asks the hub for the person's token. This hub has none to give, which it says to nobody but the person.
    let status = until("status of the agent", PATIENCE, async || {
        let found = inside("find / -xdev -name status.json -path '*specola*' 2>/dev/null | head -1 | xargs -r cat")?;
        Ok((!found.is_empty()).then_some(found))
    })
    .await?;
    ensure!(status.contains("\"status\":"), "{status}");
    // The lab answers through the proxy, to its owner.
    let token = ada.new_token("ada").await?;
    let mut script = ada.with_token(&token);
    let answer = script.send(Method::GET, "/user/ada/api/status", Body::Empty).await?.expect(&[200])?.json()?;
    ensure!(answer["started"].is_string(), "{answer}");
    ada.stop_server("ada").await?;
    until("end of the container", PATIENCE, async || {
        Ok(docker(&["ps", "--all", "--quiet", "--filter", &of_ada])?.is_empty().then_some(()))
    })
    .await
}

#[test]
fn nothing_of_how_an_image_was_built_is_left_in_it() -> Result<()> {
    let image = need!(lab(), "the image lab", "SPECOLA_REQUIRE_DOCKER");
    let run = |script: &str| docker(&["run", "--rm", "--user", "0", "--entrypoint", "sh", &image, "-c", script]);
    assert_eq!(run("ls -d /trust /requirements.txt /root/.cache 2>/dev/null; ls /var/lib/apt/lists")?, "");
    assert_eq!(run("env | grep -i -E 'pip|ssl_cert' | sort")?, "");
    let history = docker(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", &image])?;
    ensure!(!history.contains("trust"), "{history}");
    // What was made for the image has one date, the same as any other build of the same sources.
    let dates = run("find /opt/lab /usr/local/bin -type f -printf '%T@\\n' | sort -u")?;
    assert_eq!(dates.lines().count(), 1, "{dates}");
    // No set-user-id program helps an escape, and the home belongs to who is in it.
    assert_eq!(run("stat -c '%u:%g' /home/jovyan; stat -c %U /opt/lab")?, "1000:100\nroot");
    Ok(())
}

/// What the packages of `lab-ml` do together: of the short list, and of the whole.
const LIGHT: &str = "import numpy, pandas; print(int(pandas.Series(numpy.arange(4)).sum()))";
const WHOLE: &str = "
import awkward, boto3, dask.distributed, fsspec, h5py, ipywidgets, matplotlib, numpy, pandas, polars, pyarrow, s3fs
import scipy, seaborn, sklearn, torch, tqdm, uproot, xgboost
torch.manual_seed(0)
x = torch.arange(8.0).reshape(-1, 1) / 8
layer = torch.nn.Linear(1, 1)
descent = torch.optim.SGD(layer.parameters(), lr=0.5)
for _ in range(200):
    descent.zero_grad()
    ((layer(x) - 3 * x) ** 2).mean().backward()
    descent.step()
trees = xgboost.XGBRegressor(n_estimators=20).fit(x.numpy(), 3 * x.numpy().ravel())
print(round(layer.weight.item(), 1), round(float(trees.predict(x.numpy())[4]), 1))
";

/// The whole is several gigabytes, and built by hand: images/README.md. `SPECOLA_LAB_ML` then names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_image_lab_ml_adds_packages_to_lab_and_changes_nothing_else() -> Result<()> {
    need!(lab(), "the image lab", "SPECOLA_REQUIRE_DOCKER");
    let whole = std::env::var("SPECOLA_LAB_ML").ok();
    let (image, cell, said) = match whole {
        Some(image) => (image, WHOLE, "3.0 1.5\n"),
        None => (build("lab-ml", &["--light"])?, LIGHT, "6\n"),
    };
    let run = |script: &str| docker(&["run", "--rm", "--entrypoint", "sh", &image, "-c", script]);
    assert_eq!(run("python -c 'import jupyterlab; print(jupyterlab.__file__)' | cut -d/ -f1-3")?, "/opt/lab");
    assert_eq!(run("id -u")?, "1000");
    let entry = docker(&["image", "inspect", "--format", "{{json .Config.Entrypoint}}", &image])?;
    assert_eq!(entry, "[\"specola-lab-agent\",\"--\"]");
    // A cell in a lab of somebody's.
    let engine = Engine::new(&image);
    let specola = Specola::start(containers(&engine, &image)?).await?;
    let mut ada = specola.logged_in("ada").await?;
    ada.start_server("ada").await?;
    let token = ada.new_token("ada").await?;
    let mut kernel = Kernel::start(&specola.origin(), "/user/ada/", &token).await?;
    assert_eq!(kernel.run(cell).await?, said);
    ada.stop_server("ada").await
}

#[test]
fn the_image_lab_hub_is_the_program_and_little_else() -> Result<()> {
    need!(base(), "an engine with a base image", "SPECOLA_REQUIRE_DOCKER");
    let image = hub()?;
    let run = |arguments: &[&str]| {
        let fixed = ["run", "--rm", "--read-only", "--cap-drop", "ALL", "--network", "none", image.as_str()];
        docker(&[fixed.as_slice(), arguments].concat())
    };
    let version = run(&["--version"])?;
    ensure!(version.starts_with("specola "), "{version}");
    let agent = docker(&["run", "--rm", "--entrypoint", "specola-lab-agent", &image, "--help"])?;
    ensure!(agent.contains("BEARER_TOKEN_FILE"), "what it puts into labs: {agent}");
    let user = docker(&["image", "inspect", "--format", "{{.Config.User}} {{json .Config.Healthcheck.Test}}", &image])?;
    assert_eq!(user, "1000:1000 [\"CMD\",\"specola\",\"doctor\",\"--only\",\"hub\"]");
    let own = place::binary()?;
    ensure!(own.exists(), "the binary");
    let size: u64 = docker(&["image", "inspect", "--format", "{{.Size}}", &image])?.parse()?;
    let of_base: u64 = docker(&["image", "inspect", "--format", "{{.Size}}", &base().context("a base")?])?.parse()?;
    let program = std::fs::metadata(own)?.len();
    ensure!(size < of_base + program + (48 << 20), "{size} bytes on {of_base} and {program}");
    Ok(())
}

#[test]
fn the_agent_is_static() -> Result<()> {
    need!(lab(), "the image lab", "SPECOLA_REQUIRE_DOCKER");
    // It runs where there is no C library at all.
    let folder = tempfile::tempdir()?;
    let agent = tests::docker::static_agent().context("the agent")?;
    std::fs::copy(agent, folder.path().join("specola-lab-agent"))?;
    std::fs::write(
        folder.path().join("Dockerfile"),
        "FROM scratch\nCOPY specola-lab-agent /agent\nENTRYPOINT [\"/agent\"]\n",
    )?;
    let tag = format!("specola-test/agent-alone:{}", std::process::id());
    docker(&["build", "--quiet", "--tag", &tag, &folder.path().display().to_string()])?;
    let said = docker(&["run", "--rm", &tag, "--help"]);
    docker(&["rmi", &tag])?;
    ensure!(said?.contains("BEARER_TOKEN_FILE"), "it does not say what it does");
    Ok(())
}
