//! `deploy/compose`, started with its one command on a real engine, and the main job done through it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use tempfile::TempDir;
use tests::docker::Passage;
use tests::object_store::{Gateway, gateway_is_here, tools};
use tests::pebble::{self, Pebble};
use tests::{Body, Provider, Session, need, place, provider, until};

use super::{base, docker, file, hub, lab, run};
use crate::mounts::ground::{Store, possible};

const PATIENCE: Duration = Duration::from_secs(120);
/// What Prometheus and Grafana are told.
const MONITORING: [&str; 4] = ["prometheus.yml", "datasource.yml", "dashboards.yml", "hub.json"];
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
        let files =
            ["compose.yaml", "buckets.yaml", "folders.yaml", "monitoring.yaml", ".env.example", "specola.toml", "up"];
        for name in files {
            fs::copy(file("deploy/compose").join(name), folder.path().join(name))?;
        }
        fs::create_dir(folder.path().join("monitoring"))?;
        for name in MONITORING {
            fs::copy(file("deploy/compose/monitoring").join(name), folder.path().join("monitoring").join(name))?;
        }
        let (port, http) = (place::free_port()?, place::free_port()?);
        let name = format!("specola-compose-{port}");
        let (mounts, folders) = (folder.path().join("mounts"), folder.path().join("folders"));
        let own = format!(
            "PUBLIC_URL=https://localhost:{port}\nTLS=self-signed\nHTTPS_PORT={port}\nHTTP_PORT={http}\n\
             HUB_IMAGE={hub}\nLAB_IMAGE={lab}\nCOMPOSE_PROJECT_NAME={name}\nLAB_NETWORK={name}-labs\n\
             MOUNTS_DIR={}\nFOLDERS_DIR={}\n{wanted}\n",
            mounts.display(),
            folders.display()
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

    /// Puts a certificate for it where files are looked for with `TLS=files`. Gives what to believe then.
    fn certify(&self) -> Result<PathBuf> {
        let folder = self.folder.path().join("certificates");
        fs::create_dir(&folder)?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
        fs::write(folder.join("hub.key"), key.serialize_pem())?;
        fs::write(folder.join("hub.crt"), certificate.pem())?;
        Ok(folder.join("hub.crt"))
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

    /// Takes the # from lines of `specola.toml`, from the one that begins so to the next empty one.
    fn uncomment(&self, beginning: &str) -> Result<()> {
        let path = self.folder.path().join("specola.toml");
        let text = fs::read_to_string(&path)?;
        let (before, rest) = text.split_once(&format!("\n#{beginning}")).with_context(|| text.clone())?;
        let (lines, after) = rest.split_once("\n\n").context("an empty line")?;
        let lines: Vec<&str> = lines.split('\n').map(|line| line.strip_prefix('#').unwrap_or(line)).collect();
        Ok(fs::write(&path, format!("{before}\n{beginning}{}\n\n{after}", lines.join("\n")))?)
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
async fn one_command_brings_up_a_hub_with_tls_from_files_whose_labs_outlive_it_and_keep_what_is_written() -> Result<()>
{
    let base = need!(base(), "an engine with a base image", "SPECOLA_REQUIRE_DOCKER");
    let lab = need!(lab(), "the image lab", "SPECOLA_REQUIRE_DOCKER");
    need!(place::command("docker-compose").or_else(|| place::command("docker")), "compose", "SPECOLA_REQUIRE_DOCKER");
    let wanted = format!("TLS=files\nCOMPOSE_PROFILES=postgres\nPOSTGRES_IMAGE={}", postgres(&base)?);
    let deployment = Deployment::new(&lab, &hub()?, &wanted)?;
    let certificate = deployment.certify()?;
    run(&mut deployment.up())?;
    deployment.is_healthy("hub").await?;
    deployment.is_healthy("proxy").await?;
    let (ada, origin) = (deployment.person(), deployment.origin());
    deployment.add(&ada)?;

    // Log in over TLS with the certificate of the files, start a lab, and write a file in it.
    let mut session = Session::trusting(&origin, &certificate)?;
    session.log_in(&ada, PASSWORD).await?.expect(&[302, 303])?;
    ensure!(session.cookie("jupyterhub-session-id").is_some(), "a session");
    session.start_server(&ada).await?;
    let token = session.new_token(&ada).await?;
    let status = format!("/user/{ada}/api/status");
    let mut script = session.with_token(&token);
    script.send(Method::GET, &status, Body::Empty).await?.expect(&[200])?;
    let file = format!("/user/{ada}/api/contents/notes.txt");
    let notes = json!({"type": "file", "format": "text", "content": "kept"});
    script.send(Method::PUT, &file, Body::Json(notes)).await?.expect(&[201])?;
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

    // It stops, and its container goes. What was written is in the next one.
    session.stop_server(&ada).await?;
    let gone = docker(&["ps", "--all", "--quiet", "--filter", &format!("id={labs}")])?;
    assert_eq!(gone, "");
    session.start_server(&ada).await?;
    ensure!(started(&deployment.lab_of(&ada)?)? != before, "another container");
    let read = script.send(Method::GET, &file, Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(read["content"], "kept", "{read}");
    session.stop_server(&ada).await?;

    // What the database was is PostgreSQL.
    let health = run(deployment.up().args(["doctor", "--only", "database", "--only", "engine"]))?;
    ensure!(health.contains("JupyterHub 6.1") && health.contains("API"), "{health}");
    // GPUs would be those of the engine's machine, not of the hub's container.
    let gpus = run(deployment.up().args(["doctor", "--only", "gpu"])).map(drop).unwrap_err().to_string();
    ensure!(gpus.contains("they are on the engine's machine") && gpus.contains("nvidia-ctk"), "{gpus}");
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

/// With keys of a real object store, for which the hub exchanges people's tokens; and with folders of the machine.
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
    let deployment = Deployment::new(&lab, &hub()?, "COMPOSE_FILE=compose.yaml:buckets.yaml:folders.yaml")?;
    let ada = deployment.person();
    deployment.uncomment("[[folders.areas]]")?;
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

    // Folders of the machine: her own, a part of what all read, and that of a group.
    says("echo hers > ~/private/diary && echo hers > /groups/users/data")?;
    says(&format!("echo hers > /shared/{ada}/notes"))?;
    let denied = says("echo hers > /shared/beside").map(drop).unwrap_err().to_string();
    ensure!(denied.contains("Read-only file system"), "{denied}");
    let folders = deployment.folder.path().join("folders");
    for path in [format!("users/{ada}/diary"), format!("shared/{ada}/notes"), "groups/users/data".to_owned()] {
        assert_eq!(fs::read_to_string(folders.join(&path)).with_context(|| path.clone())?, "hers\n");
        assert_eq!(fs::metadata(folders.join(&path))?.uid(), 1000, "{path}");
    }
    assert_eq!(fs::metadata(&folders)?.permissions().mode() & 0o777, 0o700, "nobody else gets there");

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

/// An image that does as the official one of Prometheus, of the program that Debian packages.
fn prometheus(base: &str, program: &Path) -> Result<String> {
    let name = "specola-test/prometheus:latest";
    let folder = tempfile::tempdir()?;
    fs::copy(program, folder.path().join("prometheus"))?;
    let lines = format!("FROM {base}\nCOPY prometheus /bin/prometheus\nENTRYPOINT [\"/bin/prometheus\"]\n");
    fs::write(folder.path().join("Dockerfile"), lines)?;
    docker(&["build", "--quiet", "--tag", name, &folder.path().display().to_string()])?;
    Ok(name.to_owned())
}

/// Every name of JupyterHub's metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words.filter(|word| word.starts_with("jupyterhub_")).map(str::to_owned).collect()
}

/// Grafana is in no package of Debian's: what it would ask is asked of Prometheus.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_beside_the_hub_has_what_the_charts_ask_for_and_may_do_nothing_else() -> Result<()> {
    let base = need!(base(), "an engine with a base image", "SPECOLA_REQUIRE_DOCKER");
    let program = need!(place::command("prometheus"), "prometheus", "SPECOLA_REQUIRE_PROMETHEUS");
    let wanted =
        format!("COMPOSE_FILE=compose.yaml:monitoring.yaml\nPROMETHEUS_IMAGE={}", prometheus(&base, &program)?);
    let deployment = Deployment::new("no-lab-is-started", &hub()?, &wanted)?;
    let asks = deployment.folder.path().join("monitoring/prometheus.yml");
    let often = fs::read_to_string(&asks)?.replace("scrape_interval: 30s", "scrape_interval: 1s");
    fs::write(&asks, often)?;
    run(deployment.up().args(["--ansi", "never", "up", "--detach", "hub", "proxy", "prometheus"]))?;

    let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = docker(&["inspect", "--format", address, &deployment.container("prometheus")?])?;
    let mut session = Session::new(&format!("http://{address}:9090"))?;
    let up = until("metrics of the hub", PATIENCE, async || {
        let Ok(answer) = session.get("/api/v1/query?query=up%7Bjob%3D%22hub%22%7D").await else { return Ok(None) };
        let told: serde_json::Value = answer.json().unwrap_or_default();
        Ok((told["data"]["result"][0]["value"][1] == "1").then_some(()))
    });
    up.await.with_context(|| format!("{}\n{}", deployment.logs("prometheus"), deployment.logs("hub")))?;
    let charts = fs::read_to_string(file("deploy/compose/monitoring/hub.json"))?;
    let asked = metrics_in(&charts);
    ensure!(asked.len() >= 6, "{asked:?}");
    // Some are counted a moment after the hub came up.
    until("everything that the charts ask for", PATIENCE, async || {
        let names = session.get("/api/v1/label/__name__/values").await?.expect(&[200])?.text();
        let there = metrics_in(&names);
        Ok(asked.is_subset(&there).then_some(()))
    })
    .await
    .with_context(|| format!("{asked:?}"))?;
    let charts: serde_json::Value = serde_json::from_str(&charts)?;
    for chart in charts["panels"].as_array().context("charts")? {
        for target in chart["targets"].as_array().context("questions")? {
            let expression = target["expr"].as_str().context("a question")?;
            let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
            let query = format!("/api/v1/query?{query}");
            session.get(&query).await?.expect(&[200]).with_context(|| expression.to_owned())?;
        }
    }

    // Its token is for that alone; without one, the hub tells nothing.
    let token = fs::read_to_string(deployment.folder.path().join("secrets/metrics_token"))?;
    deployment.is_healthy("proxy").await?;
    let mut script = Session::trusting(&deployment.origin(), &deployment.certificate()?)?.with_token(&token);
    script.get("/hub/metrics").await?.expect(&[200])?;
    script.get("/hub/api/users").await?.expect(&[403])?;
    let mut nobody = Session::trusting(&deployment.origin(), &deployment.certificate()?)?;
    nobody.get("/hub/metrics").await?.expect(&[403])?;
    // Grafana, which was not started here, has the hub's address.
    nobody.get("/services/grafana/").await?.expect(&[503])?;
    Ok(())
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
        ensure!(!whole.contains("grafana"), "{whole}");
        // With everything that is laid over it.
        for name in ["buckets.yaml", "monitoring.yaml"] {
            fs::copy(file("deploy/compose").join(name), folder.path().join(name))?;
        }
        let files = ("COMPOSE_FILE", "compose.yaml:buckets.yaml:monitoring.yaml");
        let whole = config(&[("DOCKER_GID", "999"), ("PUBLIC_URL", "https://hub.example.org"), files])?;
        for part in ["https://hub.example.org/services/grafana/", "prom/prometheus", "SYS_ADMIN", "\"read:metrics\""] {
            ensure!(whole.contains(part), "{part} in {whole}");
        }
    }
    ensure!(read > 0, "neither docker compose nor docker-compose is installed");
    Ok(())
}
