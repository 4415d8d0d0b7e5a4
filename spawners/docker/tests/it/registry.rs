//! Pulls from a real registry, with a login.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use spawner_docker::Login;
use spawners::{Spawner, StartError};

use crate::ground::{Ground, Told, docker, ground, tool};

const USER: &str = "puller";
/// With characters that the two alphabets of base64 write differently.
const PASSWORD: &str = "se?cret~>?";

/// Debian's registry, on a port of its own.
struct Registry {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Registry {
    async fn start() -> Option<Self> {
        let (Some(program), Some(htpasswd)) = (tool("docker-registry"), tool("htpasswd")) else {
            assert!(std::env::var_os("SPECOLA_REQUIRE_REGISTRY").is_none(), "docker-registry or htpasswd is missing");
            eprintln!("SKIPPED: docker-registry or htpasswd is missing");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let logins = Command::new(htpasswd).args(["-Bbn", USER, PASSWORD]).output().unwrap().stdout;
        std::fs::write(folder.path().join("htpasswd"), logins).unwrap();
        let root = folder.path().display();
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {root}/data\nhttp:\n  addr: 127.0.0.1:{port}\n\
             auth:\n  htpasswd:\n    realm: test\n    path: {root}/htpasswd\n"
        );
        std::fs::write(folder.path().join("config.yml"), config).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(program)
            .arg("serve")
            .arg(folder.path().join("config.yml"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { process, folder, port };
        spawners::contract::eventually("the registry listens", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        Some(registry)
    }

    fn reference(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Puts an image there that nobody has yet, and takes it from the engine.
    fn publish(&self, name: &str, megabytes: usize) -> String {
        let reference = self.reference(name);
        let content = self.folder.path().join("content");
        std::fs::create_dir_all(&content).unwrap();
        let mut noise = std::fs::File::create(content.join("noise")).unwrap();
        let random = std::fs::File::open("/dev/urandom").unwrap();
        std::io::copy(&mut std::io::Read::take(random, (megabytes as u64) << 20), &mut noise).unwrap();
        noise.flush().unwrap();
        let mut tar =
            Command::new("tar").arg("-C").arg(&content).args(["-c", "."]).stdout(Stdio::piped()).spawn().unwrap();
        let content = tar.stdout.take().unwrap();
        let import = Command::new("docker").args(["import", "-", &reference]).stdin(content).output().unwrap();
        assert!(import.status.success() && tar.wait().unwrap().success());
        let settings = self.folder.path().join("client");
        let client = |arguments: &[&str]| {
            let output = Command::new("docker").env("DOCKER_CONFIG", &settings).args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        client(&["login", "-u", USER, "-p", PASSWORD, &self.host()]);
        client(&["push", "-q", &reference]);
        docker(&["rmi", &reference]);
        reference
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn login(&self, ground: &mut Ground, password: &str) {
        let password_file = self.folder.path().join("password");
        std::fs::write(&password_file, password).unwrap();
        let login = Login { username: USER.into(), password_file };
        ground.config.logins.registries.insert(self.host(), login);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[tokio::test]
async fn a_pull_is_told_in_bytes_shared_and_outside_the_start() {
    let Some(mut ground) = ground() else { return };
    let Some(registry) = Registry::start().await else { return };
    let reference = ground.image(registry.publish("noise:1", 48));
    registry.login(&mut ground, PASSWORD);
    let driver = ground.driver();
    let (mut one, mut two) = (ground.plan(1, 1), ground.plan(2, 1));
    (one.image, two.image) = (Some(reference.clone()), Some(reference));
    let (first, second) = (Told::default(), Told::default());
    let (a, b) = tokio::join!(driver.start(&one, &Value::Null, &first), driver.start(&two, &Value::Null, &second));
    for (outcome, told) in [(a, first), (b, second)] {
        // There is nothing in it but noise.
        assert!(matches!(outcome, Err(StartError::Refused { code: "command_not_found", .. })), "{outcome:?}");
        let said = told.0.into_inner().unwrap();
        assert!(said.iter().any(|said| said.contains(" of 50 MB")), "{said:?}");
        assert_eq!(told.1.into_inner().unwrap(), [ground.config.pull_timeout, Duration::ZERO]);
    }
    let asked = registry.log().lines().filter(|line| line.contains("\"GET /v2/noise/manifests/1 ")).count();
    let answered = registry.log();
    assert!(asked <= 2, "pulled once (asked without and with a login), not for each: {asked}\n{answered}");
    assert_eq!(ground.containers(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_registry_refuses_is_told_in_words() {
    let Some(mut ground) = ground() else { return };
    let Some(registry) = Registry::start().await else { return };
    let mut plan = ground.plan(1, 1);
    plan.image = Some(registry.reference("noise:1"));
    assert_eq!(ground.fails(&plan).await.0, "image_denied", "without a login");
    registry.login(&mut ground, "wrong");
    assert_eq!(ground.fails(&plan).await.0, "image_denied", "with a wrong one");
    registry.login(&mut ground, PASSWORD);
    assert_eq!(ground.fails(&plan).await.0, "image_absent");
    let away = registry.reference("noise:1");
    drop(registry);
    plan.image = Some(away);
    let (code, sentence) = ground.fails(&plan).await;
    // The password went with the registry's folder.
    assert_eq!(code, "login_unreadable", "{sentence}");
    ground.config.logins.registries.clear();
    assert_eq!(ground.fails(&plan).await.0, "registry_away");
}
