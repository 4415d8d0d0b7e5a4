//! `deploy/compose`, started with its one command on a real engine, and the main job done through it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::json;
use tempfile::TempDir;
use tests::docker::Passage;
use tests::object_store::{Gateway, gateway_is_here, tools};
use tests::pebble::{self, Pebble};
use tests::{Body, Provider, Session, need, place, provider, until};

use super::{base, docker, file, hub, lab, run};
use crate::mounts::ground::{Store, possible};

const PATIENCE: Duration = Duration::from_secs(120);
const PASSWORD: &str = "a long one of their own";
const SECRET: &str = "the-secret-of-the-client-of-the-hub";

/// A deployment in a folder of its own. Everything of it goes when it is dropped.
struct Deployment {
    folder: TempDir,
    name: String,
    /// Where the machine leads to the proxy: HTTPS, and HTTP.
    port: u16,
    http: u16,
}

impl Deployment {
    /// Copies the files and says what has to differ from test to test, and what this one wants.
    fn new(lab: &str, hub: &str, wanted: &str) -> Result<Deployment> {
        let folder = tempfile::tempdir()?;
        for name in ["compose.yaml", "buckets.yaml", ".env.example", "specola.toml", "up"] {
            fs::copy(file("deploy/compose").join(name), folder.path().join(name))?;
        }
        let (port, http) = (place::free_port()?, place::free_port()?);
        let name = format!("specola-compose-{port}");
        let mounts = folder.path().join("mounts");
        let own = format!(
            "PUBLIC_URL=https://localhost:{port}\nTLS=self-signed\nHTTPS_PORT={port}\nHTTP_PORT={http}\n\
             HUB_IMAGE={hub}\nLAB_IMAGE={lab}\nCOMPOSE_PROJECT_NAME={name}\nLAB_NETWORK={name}-labs\n\
             MOUNTS_DIR={}\n{wanted}\n",
            mounts.display()
        );
        fs::write(folder.path().join(".env"), own)?;
        Ok(Deployment { folder, name, port, http })
    }

    fn origin(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    fn up(&self) -> Command {
        let mut command = Command::new(self.folder.path().join("up"));
        command.current_dir("/");
        command
    }

    /// A container of the deployment, by its service.
    fn container(&self, service: &str) -> Result<String> {
        let (project, of) = (
            format!("label=com.docker.compose.project={}", self.name),
            format!("label=com.docker.compose.service={service}"),
        );
        let id = docker(&["ps", "--all", "--quiet", "--filter", &project, "--filter", &of])?;
        ensure!(!id.is_empty(), "no container of {service}");
        Ok(id)
    }

    /// Waits until the engine finds a service well.
    async fn is_healthy(&self, service: &str) -> Result<()> {
        let id = self.container(service)?;
        let well = until("healthy container", PATIENCE, async || {
            let state = docker(&["inspect", "--format", "{{.State.Health.Status}}", &id])?;
            Ok((state == "healthy").then_some(()))
        });
        well.await.with_context(|| self.logs(service))
    }

    /// What a service has said.
    fn logs(&self, service: &str) -> String {
        let said = || -> Result<String> {
            let done = Command::new("docker").args(["logs", &self.container(service)?]).output()?;
            Ok(String::from_utf8_lossy(&done.stderr).into_owned())
        };
        said().unwrap_or_else(|problem| format!("{problem:#}"))
    }

    /// The certificate that the proxy made, from its volume.
    fn certificate(&self) -> Result<PathBuf> {
        let path = self.folder.path().join("proxy.crt");
        let pem = docker(&["exec", &self.container("proxy")?, "cat", "/var/lib/specola/proxy/self-signed.crt"])?;
        fs::write(&path, pem)?;
        Ok(path)
    }

    /// Somebody of this deployment alone: homes and labs are called after people, and other tests have people too.
    fn person(&self) -> String {
        format!("ada{}", self.port)
    }

    /// People sign in at a provider and have object storage: what a deployer writes of it.
    async fn is_for_people_of(&self, provider: &Provider, storage: &str) -> Result<()> {
        let path = self.folder.path().join("specola.toml");
        let text = fs::read_to_string(&path)?;
        let own = "authenticator = \"password\"\nallow_existing_users = true\n";
        ensure!(text.contains(own), "{text}");
        let theirs = "authenticator = \"oidc\"\nenable_auth_state = true\nmanage_groups = true\n";
        let entry = format!(
            "[[auth.providers]]\nname = \"iam\"\npreset = \"indigo-iam\"\nissuer = {:?}\nclient_id = \"hub\"\n\
             client_secret_file = \"/run/specola/client_secret\"\nallowed_groups = [\"users\"]\n",
            provider.issuer()
        );
        fs::write(&path, format!("storage = {storage}\n{}\n{entry}", text.replace(own, theirs)))?;
        let secrets = self.folder.path().join("secrets");
        fs::create_dir(&secrets)?;
        fs::write(secrets.join("client_secret"), SECRET)?;
        let callback = format!("{}/hub/oauth_callback", self.origin());
        let scope = "openid profile email offline_access";
        let client = json!({"client_secret": SECRET, "redirect_uris": [callback], "scope": scope});
        provider.set_client("hub", client).await?;
        provider.set_user(&self.person(), json!({"groups": ["users"]})).await.map(drop)
    }

    /// Somebody's lab, by its container.
    fn lab_of(&self, person: &str) -> Result<String> {
        let (network, name) = (format!("network={}-labs", self.name), format!("name={person}"));
        let labs = docker(&["ps", "--quiet", "--filter", &network, "--filter", &name])?;
        ensure!(labs.split_whitespace().count() == 1, "one lab: {labs}");
        Ok(labs)
    }

    /// Gives somebody an account and a password, as `up` says.
    fn add(&self, name: &str) -> Result<()> {
        run(self.up().args(["user", "add", name, "--admin"]))?;
        let mut command = self.up();
        command.args(["user", "password", name]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn()?;
        child.stdin.take().context("its input")?.write_all(format!("{PASSWORD}\n").as_bytes())?;
        ensure!(child.wait()?.success(), "no password was set");
        Ok(())
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        let labs =
            docker(&["ps", "--all", "--quiet", "--filter", &format!("network={}-labs", self.name)]).unwrap_or_default();
        for lab in labs.split_whitespace() {
            let _ = docker(&["rm", "--force", "--volumes", lab]);
        }
        let _ = run(self.up().args(["down", "--volumes", "--timeout", "2"]));
        let _ = docker(&["volume", "rm", &format!("specola-home-{}", self.person())]);
        let _ = run(Command::new("umount").arg("--lazy").arg(self.folder.path().join("mounts")));
    }
}

/// An image that does as the official one of PostgreSQL, of Debian's packages.
fn postgres(base: &str) -> Result<String> {
    let name = "specola-test/postgres:latest";
    let folder = place::package().join("labs/postgres");
    let build = format!("BASE={base}");
    docker(&["build", "--quiet", "--build-arg", &build, "--tag", name, &folder.display().to_string()])?;
    Ok(name.to_owned())
}

fn started(container: &str) -> Result<String> {
    docker(&["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", container])
}

async fn favicon(session: &mut Session, person: &str) -> Result<()> {
    let path = format!("/user/{person}/static/favicons/favicon.ico");
    session.send(Method::GET, &path, Body::Empty).await?.expect(&[200]).map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_brings_up_a_hub_with_tls_whose_labs_outlive_it() -> Result<()> {
    let base = need!(base(), "an engine with a base image", "SPECOLA_REQUIRE_DOCKER");
    let lab = need!(lab(), "the image lab", "SPECOLA_REQUIRE_DOCKER");
    need!(place::command("docker-compose").or_else(|| place::command("docker")), "compose", "SPECOLA_REQUIRE_DOCKER");
    let wanted = format!("COMPOSE_PROFILES=postgres\nPOSTGRES_IMAGE={}", postgres(&base)?);
    let deployment = Deployment::new(&lab, &hub()?, &wanted)?;
    run(&mut deployment.up())?;
    deployment.is_healthy("hub").await?;
    deployment.is_healthy("proxy").await?;
    let (ada, origin) = (deployment.person(), deployment.origin());
    deployment.add(&ada)?;

    // Log in over TLS with the certificate that the proxy made, and start a lab.
    let mut session = Session::trusting(&origin, &deployment.certificate()?)?;
    session.log_in(&ada, PASSWORD).await?.expect(&[302, 303])?;
    ensure!(session.cookie("jupyterhub-session-id").is_some(), "a session");
    session.start_server(&ada).await?;
    let token = session.new_token(&ada).await?;
    let status = format!("/user/{ada}/api/status");
    let mut script = session.with_token(&token);
    script.send(Method::GET, &status, Body::Empty).await?.expect(&[200])?;
    let labs = deployment.lab_of(&ada)?;
    let before = started(&labs)?;
    assert_eq!(
        docker(&["inspect", "--format", "{{.HostConfig.Privileged}} {{.Config.User}}", &labs])?,
        "false 1000:100"
    );

    // The hub is gone: the lab is reached all the same. It comes back: nobody has to log in anew, and the lab is the same.
    let hub = deployment.container("hub")?;
    docker(&["stop", "--time", "5", &hub])?;
    favicon(&mut session, &ada).await?;
    docker(&["start", &hub])?;
    deployment.is_healthy("hub").await?;
    session.get("/hub/home").await?.expect(&[200])?;
    session.server_ready(&ada).await?;
    script.send(Method::GET, &status, Body::Empty).await?.expect(&[200])?;
    assert_eq!(started(&labs)?, before);

    // It stops, and its container goes. What the database was is PostgreSQL.
    session.stop_server(&ada).await?;
    let gone = docker(&["ps", "--all", "--quiet", "--filter", &format!("id={labs}")])?;
    assert_eq!(gone, "");
    let health = run(deployment.up().args(["doctor", "--only", "database", "--only", "engine"]))?;
    ensure!(health.contains("JupyterHub 6.1") && health.contains("API"), "{health}");
    let secret = fs::read_to_string(deployment.folder.path().join("secrets/postgres_password"))?;
    let said = docker(&["inspect", &hub])?;
    ensure!(!said.contains(secret.trim()), "the password of the database is in nobody's environment");
    Ok(())
}

/// An authority, outside of the containers, is asked by the proxy and comes to the ports of the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_acme_an_authority_gives_the_certificate_which_outlives_the_containers() -> Result<()> {
    need!(base(), "an engine with a base image", "SPECOLA_REQUIRE_DOCKER");
    let Some(program) = pebble::program()? else { return Ok(()) };
    let deployment = Deployment::new("no-lab-is-started", &hub()?, "TLS=acme")?;
    let host = tests::docker::gateway()?.parse()?;
    let pebble = Pebble::start_at(host, &program, deployment.http, deployment.port, 3600).await?;
    let certificates = deployment.folder.path().join("certificates");
    fs::create_dir(&certificates)?;
    fs::copy(pebble.ca_file(), certificates.join("authority.crt"))?;
    let variables = format!(
        "SPECOLA_PROXY__ACME_DIRECTORY={}\nSPECOLA_PROXY__ACME_CA_FILE=/etc/specola/certificates/authority.crt\n",
        pebble.directory
    );
    fs::write(deployment.folder.path().join("variables.env"), variables)?;
    run(&mut deployment.up())?;

    // Believing the authority's root and nothing else.
    let root = pebble.root().await?;
    let answers = until("certificate of the authority", PATIENCE, async || {
        let mut session = Session::trusting(&deployment.origin(), &root)?;
        let shown = session.get("/hub/api").await;
        Ok(shown.ok().filter(|answer| answer.status == 200).map(drop))
    });
    answers.await.with_context(|| format!("{}\n{}", deployment.logs("proxy"), pebble.log()))?;
    deployment.add(&deployment.person())?;
    let mut session = Session::trusting(&deployment.origin(), &root)?;
    session.log_in(&deployment.person(), PASSWORD).await?.expect(&[302, 303])?;
    session.get("/hub/home").await?.expect(&[200])?;
    // Plain HTTP, where the authority looked, leads there.
    let mut plain = Session::new(&format!("http://localhost:{}", deployment.http))?;
    let led = plain.get("/hub/home").await?;
    assert_eq!(led.location(), Some(format!("{}/hub/home", deployment.origin()).as_str()), "{led:?}");

    // The containers are made anew: what was ordered is kept, and is not ordered again.
    let orders = pebble.asked("/order-plz");
    run(deployment.up().args(["down", "--timeout", "5"]))?;
    run(&mut deployment.up())?;
    deployment.is_healthy("proxy").await?;
    let mut session = Session::trusting(&deployment.origin(), &root)?;
    session.log_in(&deployment.person(), PASSWORD).await?.expect(&[302, 303])?;
    assert_eq!((orders, pebble.asked("/order-plz")), (1, 1), "{}", pebble.log());
    Ok(())
}

/// From a container to what listens on this machine's own address.
fn passage(container: &str, to: &str) -> Result<Passage> {
    let port = Session::new(to)?.origin().port().context("a port")?;
    Passage::into(container, port, port)
}

/// With keys of a real object store, for which the hub exchanges people's tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_buckets_the_hub_mounts_in_its_container_what_labs_see_in_theirs() -> Result<()> {
    let lab = need!(lab(), "the image lab", "SPECOLA_REQUIRE_DOCKER");
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    need!(gateway_is_here(), "radosgw", "SPECOLA_REQUIRE_RADOSGW");
    if !possible() {
        return Ok(());
    }
    let (provider, gateway) = tokio::try_join!(Provider::start(&installed), Gateway::start())?;
    let store = Store::ceph(&tools, &gateway, &provider).await?;
    let deployment = Deployment::new(&lab, &hub()?, "COMPOSE_FILE=compose.yaml:buckets.yaml")?;
    let ada = deployment.person();
    deployment.is_for_people_of(&provider, &store.furnish(provider.issuer(), &[&ada], "/s3")?).await?;
    run(&mut deployment.up())?;
    let (hub, proxy) = (deployment.container("hub")?, deployment.container("proxy")?);
    let passages = || Ok::<_, anyhow::Error>([passage(&hub, provider.issuer())?, passage(&hub, &gateway.endpoint())?]);
    let before = passages()?;
    // The proxy is well when it speaks to the hub, by a socket that is root's here.
    deployment.is_healthy("proxy").await?;
    let health = run(deployment.up().args(["doctor", "--only", "fuse"]))?;
    ensure!(health.contains("rclone v1") && health.contains("is seen by containers"), "{health}");
    let rights = |container: &str| docker(&["exec", container, "grep", "CapBnd", "/proc/1/status"]);
    // SYS_ADMIN, FOWNER, DAC_OVERRIDE and CHOWN; DAC_OVERRIDE.
    assert_eq!(rights(&hub)?, "CapBnd:\t000000000020000b");
    assert_eq!(rights(&proxy)?, "CapBnd:\t0000000000000002");

    let mut session = Session::trusting(&deployment.origin(), &deployment.certificate()?)?;
    let (url, page) = provider.sign_in(&mut session, "/hub/oauth_login?provider=iam", &ada).await?;
    page.expect(&[200]).with_context(|| format!("at {url}\n{}", deployment.logs("hub")))?;
    session.start_server(&ada).await.with_context(|| deployment.logs("hub"))?;
    let lab = deployment.lab_of(&ada)?;
    let says = |line: &str| docker(&["exec", &lab, "sh", "-c", line]);
    // What is written in the lab is in the buckets, hers and that of all.
    let write = async |folder: &str, bucket: &str| {
        let written = says(&format!("echo hers > /s3/{folder}/file && sha256sum < /s3/{folder}/file"))?;
        let digest = written.split(' ').next().context("a digest")?;
        store.has(&format!("{bucket}/file"), digest, PATIENCE).await.with_context(|| deployment.logs("hub"))
    };
    assert_eq!(
        says("ls /s3; id -u; grep ^CapEff /proc/self/status")?,
        format!("{ada}\nscratch\n1000\nCapEff:\t0000000000000000")
    );
    write("scratch", "scratch").await?;

    // The helpers go with the hub's container, and come with the next to the lab that was there before.
    drop(before);
    docker(&["restart", "--time", "5", &hub])?;
    let _after = passages()?;
    until("the folders back", PATIENCE, async || Ok((says("cat /s3/scratch/file || true")? == "hers").then_some(())))
        .await
        .with_context(|| deployment.logs("hub"))?;
    write(&ada, &format!("{ada}-own")).await?;

    session.stop_server(&ada).await?;
    let mounts = format!("{}/", deployment.folder.path().join("mounts").display());
    until("nothing mounted", PATIENCE, async || {
        let table = fs::read_to_string("/proc/self/mountinfo")?;
        Ok((!table.contains(&mounts)).then_some(()))
    })
    .await
    .with_context(|| deployment.logs("hub"))
}

#[test]
fn both_ways_of_compose_read_the_file() -> Result<()> {
    need!(base(), "an engine with a base image", "SPECOLA_REQUIRE_DOCKER");
    let mut read = 0;
    for compose in [vec!["docker", "compose"], vec!["docker-compose"]] {
        let mut command = Command::new(compose[0]);
        command.args(&compose[1..]);
        if !command.arg("version").output().is_ok_and(|done| done.status.success()) {
            continue;
        }
        read += 1;
        let folder = tempfile::tempdir()?;
        fs::copy(file("deploy/compose/compose.yaml"), folder.path().join("compose.yaml"))?;
        fs::write(folder.path().join("variables.env"), "")?;
        let config = |variables: &[(&str, &str)]| -> Result<String> {
            let mut command = Command::new(compose[0]);
            command.args(&compose[1..]).arg("config").current_dir(Path::new(folder.path()));
            run(command.envs(variables.iter().copied()))
        };
        // What has to be set is asked for by name.
        let missing = config(&[("DOCKER_GID", "1")]).map(drop).unwrap_err().to_string();
        ensure!(missing.contains("PUBLIC_URL"), "{missing}");
        let whole = config(&[("DOCKER_GID", "999"), ("PUBLIC_URL", "https://hub.example.org")])?;
        for part in ["no-new-privileges", "read_only: true", "999", "https://hub.example.org"] {
            ensure!(whole.contains(part), "{part} in {whole}");
        }
    }
    ensure!(read > 0, "neither docker compose nor docker-compose is installed");
    Ok(())
}
