//! The binary under the name `configurable-http-proxy`: JupyterHub's own tests of its proxy, a whole JupyterHub on it, and
//! its command line.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use nix::sys::signal::Signal;
use serde_json::json;
use tests::jupyterhub::{Ground, PASSWORD};
use tests::mark::{Mark, send};
use tests::{Body, JupyterHub, Kernel, Session, need, place};

use crate::login;

/// A folder in which the binary has the other name.
fn renamed(folder: &Path) -> Result<PathBuf> {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin)?;
    let link = bin.join("configurable-http-proxy");
    symlink(std::path::absolute(place::binary()?)?, &link)?;
    Ok(link)
}

fn with_path(command: &mut Command, link: &Path) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = link.parent().context("a folder")?.to_owned();
    command.env("PATH", std::env::join_paths(std::iter::once(first).chain(std::env::split_paths(&path)))?);
    Ok(())
}

/// Runs some of JupyterHub's own tests with the binary as its proxy; with `host`, people have hosts of their own below it.
/// Gives how many have passed, and how many were skipped.
async fn suite(modules: &[&str], host: Option<&str>) -> Result<Option<(usize, usize)>> {
    let Some(python) = place::jupyterhub_suite() else { return Ok(None) };
    let (folder, mark) = (tempfile::tempdir()?, Mark::default());
    let link = renamed(folder.path())?;
    let mut command = Command::new(&python);
    let settings = place::package().join("jupyterhub_suite/pytest.ini");
    command.args(["-m", "pytest", "-q", "--tb=short", "-o", "addopts=-p no:cacheprovider", "-c"]).arg(settings);
    command.arg("--rootdir").arg(folder.path()).arg("--pyargs");
    command.args(modules.iter().map(|module| format!("jupyterhub.tests.{module}")));
    command.current_dir(folder.path()).stdin(Stdio::null());
    command.envs(host.map(|host| ("JUPYTERHUB_TEST_SUBDOMAIN_HOST", host)));
    with_path(&mut command, &link)?;
    mark.put_on(&mut command);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    let end = said.get(said.ceil_char_boundary(said.len().saturating_sub(12_000))..).unwrap_or_default();
    ensure!(output.status.success(), "{}\n{end}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    let summary = said.lines().rfind(|line| line.contains(" passed")).unwrap_or_default();
    println!("{summary}");
    let words: Vec<&str> = summary.split([' ', ',']).collect();
    let count = |what: &str| {
        let pair = words.windows(2).find(|pair| pair.last() == Some(&what))?;
        pair.first()?.parse().ok()
    };
    Ok(Some((count("passed").unwrap_or_default(), count("skipped").unwrap_or_default())))
}

#[tokio::test]
async fn jupyterhubs_own_tests_of_its_proxy_pass() -> Result<()> {
    let modules = ["test_proxy", "test_unix_socket", "test_internal_ssl_connections"];
    let counts = suite(&modules, None).await?;
    let (passed, skipped) = need!(counts, "pytest with JupyterHub", "SPECOLA_JUPYTERHUB_SUITE_PYTHON");
    // The two are about hosts of people.
    ensure!(passed >= 36 && skipped == 2, "{passed} passed, {skipped} skipped");
    Ok(())
}

#[tokio::test]
async fn jupyterhubs_own_tests_of_its_proxy_pass_with_hosts_of_people() -> Result<()> {
    let host = format!("http://localhost:{}", place::free_port()?);
    let counts = suite(&["test_proxy"], Some(&host)).await?;
    let (passed, skipped) = need!(counts, "pytest with JupyterHub", "SPECOLA_JUPYTERHUB_SUITE_PYTHON");
    ensure!(passed >= 34 && skipped == 0, "{passed} passed, {skipped} skipped");
    Ok(())
}

#[tokio::test]
async fn a_real_jupyterhub_runs_on_it() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let folder = tempfile::tempdir()?;
    let link = renamed(folder.path())?;
    let hub = JupyterHub::start(Ground::new(folder.path())?, &python, &link, Mark::default()).await?;
    let origin = hub.ground.origin();
    login::the_form_logs_in(&origin).await?;
    login::people_are_apart(&origin).await?;
    let mut alice = Session::logged_in(&origin, "alice", PASSWORD).await?;
    alice.start_server("alice").await?;
    let token = alice.new_token("alice").await?;
    let mut kernel = Kernel::start(&origin, "/user/alice/", &token).await?;
    ensure!(kernel.run("print(40 + 2)").await?.contains("42"));
    alice.stop_server("alice").await?;
    ensure!(hub.log().contains("ConfigProxy"), "the proxy's log is JupyterHub's: {}", hub.log());
    Ok(())
}

struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(link: &Path, arguments: &[&str]) -> Result<Running> {
        let mut command = Command::new(link);
        command.args(arguments).env("CONFIGPROXY_AUTH_TOKEN", "secret");
        // Keys in clear need none.
        command.env("CONFIGPROXY_SSL_KEY_PASSPHRASE", "word");
        Self::of(command)
    }

    fn of(mut command: Command) -> Result<Running> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().context("its output")?);
        Ok(Running { child, lines })
    }

    /// Reads until a line has the words; its end is an error.
    fn says(&mut self, words: &str) -> Result<()> {
        let mut said = String::new();
        loop {
            let from = said.len();
            if self.lines.read_line(&mut said)? == 0 {
                bail!("it never said {words:?}, but\n{said}");
            }
            if said.get(from..).unwrap_or_default().contains(words) {
                return Ok(());
            }
        }
    }
}

#[tokio::test]
async fn its_command_line_is_that_of_configurable_http_proxy() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let link = renamed(folder.path())?;
    let ports = [place::free_port()?, place::free_port()?, place::free_port()?].map(|port| port.to_string());
    let [public, api, redirect] = &ports;
    let pid_file = folder.path().join("proxy.pid");
    let pid = pid_file.display().to_string();
    let base = ["--ip", "127.0.0.1", "--port", public, "--api-port", api];
    let more = ["--default-target", "http://127.0.0.1:1", "--pid-file", &pid];
    let mut running = Running::start(&link, &[&base[..], &more[..]].concat())?;
    running.says("Route added /")?;
    running.says("Writing pid")?;
    tests::until("the pid file", Duration::from_secs(10), async || Ok(pid_file.exists().then_some(()))).await?;
    ensure!(fs::read_to_string(&pid_file)? == running.child.id().to_string());
    let mut session = Session::new(&format!("http://127.0.0.1:{public}"))?;
    session.get("/_chp_healthz").await?.expect(&[200])?;
    session.get("/dead/x?secret=y").await?.expect(&[503])?;
    running.says("error: 503 GET /dead/x connect ECONNREFUSED")?;
    let mut api = Session::new(&format!("http://127.0.0.1:{api}"))?.authorized("token secret");
    api.send(Method::POST, "/api/routes/x", Body::Json(json!({"target": "nonsense"}))).await?.expect(&[400])?;
    running.says("warn: 400 POST /api/routes/x target \"nonsense\" is not http://")?;
    send(running.child.id().cast_signed(), Signal::SIGTERM);
    running.says("warn: Terminated")?;
    ensure!(running.child.wait()?.code() == Some(2));
    ensure!(!pid_file.exists());

    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
    let file = folder.path().join("both.pem");
    fs::write(&file, key.serialize_pem() + &certificate.pem())?;
    let file = file.display().to_string();
    let tls = ["--ssl-key", &file, "--ssl-cert", &file, "--redirect-port", redirect];
    let mut running = Running::start(&link, &[&base[..], &tls[..]].concat())?;
    running.says(&format!("Added HTTP to HTTPS redirection from {redirect} to {public}"))?;
    let mut session = Session::new(&format!("http://127.0.0.1:{redirect}"))?;
    let answer = session.get("/x?y").await?;
    ensure!(answer.location() == Some(&format!("https://127.0.0.1:{public}/x?y")), "{:?}", answer.location());

    for (program, first) in [(link.clone(), None), (place::binary()?, Some("configurable-http-proxy"))] {
        let run = |arguments: &[&str]| Command::new(&program).args(first).args(arguments).output();
        for wrong in [&["--nonsense"][..], &["--custom-header", "nocolon"], &["--redirect-port", "80"]] {
            let output = run(wrong)?;
            ensure!(output.status.code() == Some(1), "{first:?} {wrong:?}: {}", output.status);
        }
        ensure!(run(&["-V"])?.status.success());
        ensure!(run(&["--help"])?.status.success());
    }
    // Nothing is said of a route before somebody may ask for it.
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let more = ["--ip", "127.0.0.1", "--port", &port, "--default-target", "http://127.0.0.1:1"];
    let output = Command::new(&link).args(more).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.code() == Some(1) && !said.contains("Route added"), "{}: {said}", output.status);
    Ok(())
}

#[tokio::test]
async fn options_are_taken_as_configurable_http_proxy_takes_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let link = renamed(folder.path())?;
    let (public, api) = (place::free_port()?.to_string(), folder.path().join("api.sock"));
    let (api, token) = (api.display().to_string(), folder.path().join("token"));
    fs::write(&token, "kept\n")?;
    // As few open files as leave room for two clients.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 212; exec \"$0\" \"$@\""]).arg(&link);
    command.args(["--log-level", "loud", "--port", "1", "--port", &public, "--ip", "127.0.0.1"]);
    command.args(["--api-socket", &api, "--api-ip", "127.0.0.1", "--api-port", "1"]);
    command.env_remove("CONFIGPROXY_AUTH_TOKEN").env("CONFIGPROXY_AUTH_TOKEN_FILE", &token);
    // What is written is --log-level's to say.
    command.env("RUST_LOG", "off");
    let mut running = Running::of(command)?;
    running.says("--log-level loud is not known")?;
    running.says("Proxy API at")?;

    let ask = |token: &str| -> Result<String> {
        let mut stream = std::os::unix::net::UnixStream::connect(&api)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let head = "GET /api/routes HTTP/1.1\r\nHost: api\r\nConnection: close\r\n";
        write!(stream, "{head}Authorization: token {token}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ensure!(ask("kept")?.starts_with("HTTP/1.1 200 "));
    ensure!(ask("secret")?.starts_with("HTTP/1.1 403 "));

    let healthy = |stream: &mut TcpStream, patience: Duration| {
        stream.set_read_timeout(Some(patience))?;
        stream.read(&mut [0; 4096])
    };
    let connect = || -> Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", public.parse::<u16>()?))?;
        stream.write_all(b"GET /_chp_healthz HTTP/1.1\r\nHost: a\r\n\r\n")?;
        Ok(stream)
    };
    let (long, short) = (Duration::from_secs(4), Duration::from_millis(200));
    let (mut first, mut second) = (connect()?, connect()?);
    ensure!(healthy(&mut first, long)? > 0 && healthy(&mut second, long)? > 0);
    let mut third = connect()?;
    ensure!(healthy(&mut third, short).is_err(), "there is room for two");
    drop(first);
    ensure!(healthy(&mut third, long)? > 0);

    for (name, file) in [("secret", token.as_path()), ("", Path::new("/nowhere"))] {
        let mut command = Command::new(&link);
        command.args(["--port", &public]);
        let output = command.env("CONFIGPROXY_AUTH_TOKEN", name).env("CONFIGPROXY_AUTH_TOKEN_FILE", file).output()?;
        ensure!(output.status.code() == Some(1), "{name} {file:?}: {}", output.status);
        ensure!(String::from_utf8_lossy(&output.stderr).contains("CONFIGPROXY_AUTH_TOKEN_FILE"));
    }
    Ok(())
}

/// As in Node, which does not ask the system for its default.
#[tokio::test]
async fn an_address_of_both_families_hears_both_whatever_the_system_says() -> Result<()> {
    const ALONE: &str = "ip link set lo up; echo 1 > /proc/sys/net/ipv6/bindv6only";
    const HEARD: &str = r#"
        trap 'kill $!' EXIT
        "$0" --ip :: --port 8000 --api-ip '' &
        for port in 8000 8001; do
            timeout 20 bash -c "until (exec 3<>/dev/tcp/127.0.0.1/$port); do sleep 0.1; done"
        done"#;
    let folder = tempfile::tempdir()?;
    let link = renamed(folder.path())?;
    let apart = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "bash", "-ec", script]).arg(&link);
        command.stdin(Stdio::null()).output()
    };
    if !apart(ALONE)?.status.success() {
        println!("skipped: this system gives no network namespaces of IPv6 away");
        return Ok(());
    }
    let output = apart(&[ALONE, HEARD].concat())?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[tokio::test]
async fn its_own_command_line_tests_pass() -> Result<()> {
    let jasmine = need!(place::jasmine(), "jasmine", "SPECOLA_JASMINE");
    let folder = tempfile::tempdir()?;
    renamed(folder.path())?;
    let specs = place::package().join("configurable_http_proxy");
    fs::create_dir(folder.path().join("test"))?;
    for file in ["package.json", "test/cli_spec.js", "test/server.crt", "test/server.key"] {
        fs::copy(specs.join(file), folder.path().join(file))?;
    }
    let modules = jasmine.ancestors().nth(2).context("the modules of Node")?;
    symlink(modules, folder.path().join("node_modules"))?;
    let mark = Mark::default();
    let mut command = Command::new(&jasmine);
    command.args(["--random=false", "--no-color", "test/cli_spec.js"]).current_dir(folder.path());
    command.stdin(Stdio::null());
    mark.put_on(&mut command);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains("6 specs, 0 failures"), "{}: {said}", output.status);
    Ok(())
}
