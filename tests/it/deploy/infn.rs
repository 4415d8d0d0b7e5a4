//! INFN's own deployment of a hub, with its variables, command, network, folders and proxy, and nothing changed but the
//! hub's image.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::docker::Passage;
use tests::provider::{self, Provider};
use tests::{Answer, Body, Kernel, Session, need, place, until};

use super::{build, docker, hub, lab, run};

const PATIENCE: Duration = Duration::from_secs(120);
const SECRET: &str = "the-secret-of-the-client-of-the-hub";
const TOKEN: &str = "5f0c9f2c7e7c4b0a8c0d2f6a1b3e5d79";
const KEY: &str = "3a2f0c5e8b6d4f1a9c7e5b3d1f0a8c6e4b2d0f9e7c5a3b1d8f6e4c2a0b9d7f5e";
/// What the role's compose file has for JupyterHub's image.
const COMMAND: [&str; 4] =
    ["/usr/bin/python3", "/usr/local/bin/jupyterhub", "--debug", "--config=/srv/jupyterhub/jupyterhub_config.py"];
/// A database as JupyterHub 5 leaves it, with a user.
const DATABASE: &str = "import sys; from jupyterhub import orm; \
    session = orm.new_session_factory('sqlite:///' + sys.argv[1])(); session.add(orm.User(name='old')); session.commit()";

/// Network, hub and proxy. Everything of it goes when it is dropped.
struct Deployment {
    folder: TempDir,
    name: String,
    /// Where configurable-http-proxy listens, and where it finds the hub.
    front: u16,
    back: u16,
    /// Where the proxy takes orders.
    orders: u16,
    proxy: Option<Child>,
}

impl Deployment {
    /// Makes the network, and the folders with what an older hub left.
    fn new() -> Result<Deployment> {
        let name = format!("specola-infn-{}", std::process::id());
        let (front, back, orders) = (place::free_port()?, place::free_port()?, place::free_port()?);
        let deployment = Deployment { folder: tempfile::tempdir()?, name, front, back, orders, proxy: None };
        docker(&["network", "create", &deployment.name])?;
        for name in ["db", "cookies"] {
            fs::create_dir(deployment.folder.path().join(name))?;
        }
        Ok(deployment)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.front)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    /// Starts the hub as the role's compose file does.
    fn start(&self, image: &str, lab: &str, issuer: &str) -> Result<()> {
        let secret = self.path("secret");
        fs::write(&secret, SECRET)?;
        fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let variables = [
            ("OAUTH_ENDPOINT", format!("{issuer}/")),
            ("OAUTH_CALLBACK_URL", format!("{}/hub/oauth_callback", self.origin())),
            ("OAUTH_GROUPS", "users beta_testers".to_owned()),
            ("OAUTH_SUB", "the-owner".to_owned()),
            ("ADMIN_OAUTH_GROUPS", "admins".to_owned()),
            ("WITH_GPU", "true".to_owned()),
            ("ALL_GPU_UUIDs", "None".to_owned()),
            ("IAM_CLIENT_ID", "hub".to_owned()),
            ("IAM_CLIENT_SECRET_FILE", "/run/secrets/iam_client_secret".to_owned()),
            ("JUPYTER_IMAGE_LIST", format!("specola-test-nowhere:1,{lab}")),
            ("JUPYTER_RAM_LIST", "512M,1G".to_owned()),
            ("JUPYTER_PROXY_TOKEN", TOKEN.to_owned()),
            ("JUPYTERHUB_API_TOKEN", TOKEN.to_owned()),
            ("JUPYTERHUB_CRYPT_KEY", KEY.to_owned()),
            ("JUPYTER_WITH_CVMFS", "False".to_owned()),
            ("DEFAULT_SPAWNER", "LAB".to_owned()),
            ("POST_START_CMD", "sh -c 'id -u > /jupyter-workspace/private/post'".to_owned()),
            ("JUPYTER_COLLAB_SERVICE", "False".to_owned()),
            ("DOCKER_NOTEBOOK_MOUNT_DIR", self.path("")),
            ("DOCKER_NOTEBOOK_DIR", "/jupyter-workspace".to_owned()),
            ("DOCKER_NETWORK_NAME", self.name.clone()),
        ];
        let mut command = Command::new("docker");
        command.args(["run", "--detach", "--name", &self.hub(), "--network", &self.name]);
        // The proxy is a program of this machine here, which a passage leads to.
        command.args(["--add-host", "http_proxy:127.0.0.1"]);
        command.args(["--network-alias", "jupyterhub", "--publish", &format!("127.0.0.1:{}:8088", self.back)]);
        for (from, to) in [
            ("/var/run/docker.sock", "/var/run/docker.sock"),
            (&self.path("cookies"), "/srv/jupyterhub/cookies"),
            (&self.path("db"), "/srv/jupyterhub/db"),
            (&secret, "/run/secrets/iam_client_secret:ro"),
        ] {
            command.args(["--volume", &format!("{from}:{to}")]);
        }
        for (name, value) in variables {
            command.args(["--env", &format!("{name}={value}")]);
        }
        run(command.arg(image).args(COMMAND)).map(drop)
    }

    /// The proxy in front, which is told where the hub is and nothing else.
    fn put_proxy_in_front(&mut self, program: &std::path::Path) -> Result<()> {
        let mut command = Command::new(program);
        command.args(["--ip=127.0.0.1", &format!("--port={}", self.front), "--api-ip=127.0.0.1"]);
        command.arg(format!("--api-port={}", self.orders));
        command.arg(format!("--default-target=http://127.0.0.1:{}", self.back));
        command.arg(format!("--error-target=http://127.0.0.1:{}/hub/error", self.back));
        command.env("CONFIGPROXY_AUTH_TOKEN", TOKEN);
        self.proxy = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        Ok(())
    }

    fn log(&self) -> String {
        let output = Command::new("docker").args(["logs", &self.hub()]).output();
        output.map_or_else(
            |error| error.to_string(),
            |output| [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat(),
        )
    }

    /// The proxy's own API.
    async fn order(&self, method: Method, path: &str, body: Body) -> Result<Answer> {
        let mut session =
            Session::new(&format!("http://127.0.0.1:{}", self.orders))?.authorized(&format!("token {TOKEN}"));
        session.send(method, path, body).await
    }

    /// Leaves a route in the proxy, as a hub does that is stopped while somebody works.
    async fn leave_route(&self, person: &str) -> Result<()> {
        let route = json!({"target": format!("http://127.0.0.1:{}", place::free_port()?)});
        until("route", PATIENCE, async || {
            let path = format!("/api/routes/user/{person}");
            let Ok(answer) = self.order(Method::POST, &path, Body::Json(route.clone())).await else { return Ok(None) };
            Ok((answer.status == 201).then_some(()))
        })
        .await
    }

    /// Waits until the proxy knows no server.
    async fn has_no_routes(&self) -> Result<()> {
        let none = until("end of the old routes", PATIENCE, async || {
            let routes = self.order(Method::GET, "/api/routes", Body::Empty).await?.expect(&[200])?.json()?;
            Ok(routes.as_object().is_some_and(|all| all.keys().all(|path| path == "/")).then_some(()))
        });
        none.await.with_context(|| self.log())
    }

    /// Waits until the hub answers through both proxies.
    async fn answers(&self) -> Result<()> {
        let mut session = Session::new(&self.origin())?;
        let alive = until("answer from the hub", PATIENCE, async || {
            let Ok(answer) = session.get("/hub/api").await else { return Ok(None) };
            Ok(answer.headers.contains_key("x-jupyterhub-version").then_some(()))
        });
        alive.await.with_context(|| self.log())
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        println!("--- the hub's log\n{}", self.log());
        if let Some(proxy) = &mut self.proxy {
            let _ = proxy.kill();
            let _ = proxy.wait();
        }
        let here = format!("network={}", self.name);
        let all = docker(&["ps", "--all", "--quiet", "--filter", &here]).unwrap_or_default();
        for container in all.split_whitespace().chain([self.hub().as_str()]) {
            let _ = docker(&["rm", "--force", "--volumes", container]);
        }
        let _ = docker(&["network", "rm", &self.name]);
    }
}

fn inspected(container: &str) -> Result<Value> {
    let all: Value = serde_json::from_str(&docker(&["inspect", container])?)?;
    all.get(0).cloned().context("a container")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_of_infn_switches_by_another_image() -> Result<()> {
    let lab = need!(lab(), "the image lab", "SPECOLA_REQUIRE_DOCKER");
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let proxy = need!(place::configurable_http_proxy(), "configurable-http-proxy", "SPECOLA_CHP");
    let python = need!(place::jupyterhub5(), "JupyterHub 5", "SPECOLA_JUPYTERHUB5_PYTHON");
    need!(place::is_root().then_some(()), "root", "SPECOLA_REQUIRE_DOCKER");
    hub()?;
    let image = build("lab-hub-infn", &[])?;
    let mut deployment = Deployment::new()?;
    run(Command::new(&python).args(["-c", DATABASE, &deployment.path("db/jupyterhub.sqlite")]))?;
    let person = format!("anna{}", std::process::id());
    let provider = Provider::start(&installed).await?;
    let callback = format!("{}/hub/oauth_callback", deployment.origin());
    let scope = "openid profile email offline_access";
    let client = json!({"client_secret": SECRET, "redirect_uris": [callback], "scope": scope});
    provider.set_client("hub", client).await?;
    provider.set_user(&person, json!({"groups": ["users"]})).await?;
    let port = provider.session()?.origin().port().context("the provider's port")?;

    deployment.put_proxy_in_front(&proxy)?;
    deployment.leave_route(&person).await?;
    deployment.start(&image, &lab, provider.issuer())?;
    // The provider is on this machine's own address only, which in the hub's container is another one.
    let passages =
        [Passage::into(&deployment.hub(), port, port)?, Passage::into(&deployment.hub(), 8001, deployment.orders)?];
    deployment.answers().await?;
    deployment.has_no_routes().await?;
    ensure!(deployment.log().contains("to that of JupyterHub 6.1"), "the older database is taken over");

    let mut anna = Session::new(&deployment.origin())?;
    let (url, page) = provider.sign_in(&mut anna, "/hub/oauth_login?provider=iam", &person).await?;
    page.expect(&[200]).with_context(|| format!("at {url}"))?;
    let form = anna.get("/hub/spawn").await?.expect(&[200])?.text();
    for part in ["name=\"img\"", "name=\"mem\"", "name=\"gpu\"", "specola-test-nowhere:1"] {
        ensure!(form.contains(part), "{part}: {form}");
    }
    anna.submit("/hub/spawn", &[("img", &lab), ("mem", "1G"), ("gpu", "N")]).await?.expect(&[302, 303])?;
    anna.server_ready(&person).await.with_context(|| deployment.log())?;

    // H3, H4, H9: neither secret nor privilege, and no GPU for whoever wanted none.
    let container = format!("jupyter-{person}");
    let made = inspected(&container)?;
    let host = &made["HostConfig"];
    assert_eq!((&host["NetworkMode"], &host["Memory"]), (&json!(deployment.name), &json!(1u64 << 30)));
    assert_eq!((&host["Privileged"], &host["DeviceRequests"]), (&json!(false), &Value::Null));
    ensure!(!host["CapAdd"].to_string().contains("ADMIN"), "{host}");
    let command = ["jupyterhub-singleuser", "--port=8889", "--ip=0.0.0.0", "--allow-root", "--no-browser"];
    assert_eq!(made["Config"]["Cmd"], json!(command));
    assert_eq!(made["Config"]["Image"], json!(lab));
    ensure!(!made.to_string().contains(SECRET), "the client's secret stays in the hub");
    let inside = |script: &str| docker(&["exec", &container, "sh", "-c", script]);
    inside("echo mine > /jupyter-workspace/private/file && echo for-all > /jupyter-workspace/shared/$USERNAME/file")?;
    ensure!(inside("touch /jupyter-workspace/shared/file").is_err(), "the folder of all is for reading");
    let kept = |path: &str| fs::read_to_string(deployment.folder.path().join("jupyter-mounts").join(path));
    assert_eq!(kept(&format!("users/{person}/file"))?, "mine\n");
    assert_eq!(kept(&format!("shared/{person}/file"))?, "for-all\n");
    assert_eq!(kept(&format!("users/{person}/post"))?, "0\n", "the command after the start was run");

    // Through both proxies: requests, and a kernel over its websocket.
    let token = anna.new_token(&person).await?;
    let (status, mut script) = (format!("/user/{person}/api/status"), anna.with_token(&token));
    script.send(Method::GET, &status, Body::Empty).await?.expect(&[200])?;
    let mut kernel = Kernel::start(&deployment.origin(), &format!("/user/{person}/"), &token).await?;
    ensure!(kernel.run("print(40 + 2)").await?.contains("42"));
    let contents = script.get(&format!("/user/{person}/api/contents")).await?.expect(&[200])?.json()?;
    let listed: Vec<&str> =
        contents["content"].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
    ensure!(listed.contains(&"private") && listed.contains(&"shared"), "{contents}");

    // The hub's container is started anew: nobody signs in again, and the lab is the same.
    let state = |container: &str| docker(&["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", container]);
    let before = state(&container)?;
    drop(passages);
    docker(&["restart", "--time", "10", &deployment.hub()])?;
    let _passage = Passage::into(&deployment.hub(), port, port)?;
    deployment.answers().await?;
    anna.server_ready(&person).await?;
    anna.get("/hub/home").await?.expect(&[200])?;
    script.send(Method::GET, &status, Body::Empty).await?.expect(&[200])?;
    assert_eq!(state(&container)?, before);
    anna.stop_server(&person).await?;
    let left = docker(&["ps", "--all", "--quiet", "--filter", &format!("name={container}")])?;
    assert_eq!(left, "", "its container is gone");
    let log = deployment.log();
    ensure!(!log.contains(SECRET) && !log.contains(KEY) && !log.contains(TOKEN), "{log}");
    Ok(())
}
