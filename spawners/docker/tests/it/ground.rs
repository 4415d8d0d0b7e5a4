//! What the tests stand on: an engine, an image with Python, and a mark of their own on all they make.

use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hub_core::id::{Generation, SpawnerId};
use serde_json::Value;
use spawner_docker::{Config, Docker};
use spawners::contract::Paper;
use spawners::{Identity, Plan, Record, SaveError, Spawner, StartError, Started};

/// What is in an image that is lent its programs: links to the folder of this machine.
const LINKS: [(&str, &str); 3] = [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")];

/// Where the tests can run, with what they made, which goes when they end.
pub struct Ground {
    pub hub: String,
    pub config: Config,
    volumes: Mutex<Vec<String>>,
    networks: Mutex<Vec<String>>,
    images: Mutex<Vec<String>>,
}

/// The ground, or nothing where there is no engine, which is told.
pub fn ground() -> Option<Ground> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Ok(image) = std::env::var("SPECOLA_DOCKER_IMAGE") else {
        assert!(std::env::var_os("SPECOLA_REQUIRE_DOCKER").is_none(), "SPECOLA_DOCKER_IMAGE is not set");
        eprintln!("SKIPPED: SPECOLA_DOCKER_IMAGE is not set");
        return None;
    };
    let hub = format!("driver-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mut config = Config::new(&hub);
    config.image = Some(image);
    config.prefix.clone_from(&hub);
    config.stop_timeout = Duration::from_secs(5);
    let nothing = || Mutex::new(Vec::new());
    Some(Ground { hub, config, volumes: nothing(), networks: nothing(), images: nothing() })
}

impl Ground {
    pub fn driver(&self) -> Docker {
        Docker::new(self.config.clone()).expect("the configuration is right")
    }

    pub fn identity(&self, row: i64, generation: i64) -> Identity {
        Identity {
            hub: self.hub.clone(),
            spawner: SpawnerId(row),
            generation: Generation(generation),
            user: format!("user{row}"),
            server: String::new(),
            account: None,
        }
    }

    /// A server that stays.
    pub fn plan(&self, row: i64, generation: i64) -> Plan {
        self.plan_of(row, generation, &["python3", "-u", "-m", "http.server", "8888"])
    }

    pub fn plan_of(&self, row: i64, generation: i64, cmd: &[&str]) -> Plan {
        let cmd = cmd.iter().map(|word| (*word).to_owned()).collect();
        Plan::new(self.identity(row, generation), format!("/user/user{row}/"), cmd)
    }

    pub async fn start(&self, plan: &Plan) -> Result<Started, StartError> {
        self.driver().start(plan, &Value::Null, &Paper::default()).await
    }

    /// The code of a start that fails, with its sentence.
    pub async fn fails(&self, plan: &Plan) -> (&'static str, String) {
        match self.start(plan).await {
            Err(StartError::Refused { code, sentence }) => (code, sentence),
            Err(StartError::Failed { code, sentence, log }) => (code, format!("{sentence}\n{log}")),
            other => panic!("{other:?}"),
        }
    }

    /// Waits for what the server in a container writes.
    pub async fn says(&self, plan: &Plan, words: &str) -> String {
        let mut log = String::new();
        let what = format!("{words:?} in the log");
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while !log.contains(words) {
            assert!(std::time::Instant::now() < deadline, "not within 30 seconds: {what}: {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            log = self.driver().logs(&plan.identity, &Value::Null, 100).await.expect("the engine can be asked");
        }
        log
    }

    /// The ids of this ground's containers.
    pub fn containers(&self) -> Vec<String> {
        let label = format!("label=specola.hub={}", self.hub);
        words(&docker(&["ps", "-aq", "--no-trunc", "--filter", &label]))
    }

    pub fn volume(&self, name: &str) -> String {
        let name = format!("{}-{name}", self.hub);
        self.volumes.lock().unwrap().push(name.clone());
        name
    }

    pub fn network(&self) -> String {
        let name = self.hub.clone();
        docker(&["network", "create", &name]);
        self.networks.lock().unwrap().push(name.clone());
        name
    }

    /// Notes an image that is to go.
    pub fn image(&self, name: String) -> String {
        self.images.lock().unwrap().push(name.clone());
        name
    }

    /// Gives a name to an image without a program of its own, which no other image of that name is: containers of it need
    /// the folder `/usr` of this machine.
    pub fn lend(&self, name: &str, version: &str) {
        let root = tempfile::tempdir().unwrap();
        for folder in ["usr", "sbin", "tmp"] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
        }
        for (link, target) in LINKS {
            std::os::unix::fs::symlink(target, root.path().join(link)).unwrap();
        }
        let archive = tempfile::NamedTempFile::new().unwrap();
        let packed = Command::new("tar").arg("-C").arg(root.path()).arg("-cf").arg(archive.path()).arg(".").status();
        assert!(packed.unwrap().success());
        let label = format!("LABEL version={version}");
        let id = docker(&["import", "--change", &label, &archive.path().display().to_string(), name]);
        // Should the name be another's by the end, it is removed by its own.
        self.images.lock().unwrap().push(id);
    }

    pub fn base(&self) -> &str {
        self.config.image.as_deref().unwrap()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let named = format!("name=^/?{}", self.hub);
        let mut all = self.containers();
        all.extend(words(&docker(&["ps", "-aq", "--no-trunc", "--filter", &named])));
        for id in all {
            try_docker(&["rm", "-fv", &id]);
        }
        for (kind, names) in [("volume", &self.volumes), ("network", &self.networks), ("image", &self.images)] {
            for name in names.lock().unwrap().iter() {
                try_docker(&[kind, "rm", name]);
            }
        }
    }
}

/// What Docker's own client says; it has to succeed.
pub fn docker(arguments: &[&str]) -> String {
    let output = try_docker(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {arguments:?}: {error}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn try_docker(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).output().expect("docker can be run")
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Keeps what a person would be told.
#[derive(Default)]
pub struct Told(pub Mutex<Vec<String>>, pub Mutex<Vec<Duration>>);

#[async_trait]
impl Record for Told {
    async fn save(&self, _state: &Value) -> Result<(), SaveError> {
        Ok(())
    }

    async fn progress(&self, _percent: u8, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }

    async fn patience(&self, at_most: Duration) {
        self.1.lock().unwrap().push(at_most);
    }
}
