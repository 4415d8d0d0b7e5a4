//! What the tests stand on: an object store, a system user, and servers of that user with a view of their own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::TimeDelta;
use hub_core::clock::{Clock, SystemClock, Time};
use hub_core::id::{Generation, SpawnerId};
use hub_core::secret::Secret;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use serde_json::Value;
use sha2::{Digest, Sha256};
use spawner_local::Local;
use spawner_mounts::{Config, Credentials, Health, Keys, MARKER, Mounted, NoKeys, State};
use spawners::contract::{self, Paper};
use spawners::{Identity, Mount, News, ObjectStore, Plan, Sight, Spawner, StartError, Started, Stop};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Answers every request with 200.
const SERVER: &str = r#"
import http.server, os, urllib.parse
url = urllib.parse.urlparse(os.environ["JUPYTERHUB_SERVICE_URL"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"here")
http.server.HTTPServer((url.hostname, url.port), Handler).serve_forever()
"#;

/// Whether this machine can mount; told once where it cannot.
pub fn possible() -> bool {
    let have = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let possible =
        Uid::effective().is_root() && Path::new("/dev/fuse").exists() && have("rclone") && python().is_some();
    assert!(possible || std::env::var_os("SPECOLA_REQUIRE_MOUNTS").is_none(), "root, FUSE, rclone or moto are missing");
    if !possible {
        eprintln!("skipped: it needs root, /dev/fuse, rclone and moto");
    }
    possible
}

fn python() -> Option<PathBuf> {
    let named = std::env::var_os("SPECOLA_OBJECT_STORE_PYTHON").map(PathBuf::from);
    let candidates = named.into_iter().chain(["python3".into()]);
    candidates.into_iter().find(|python| {
        Command::new(python).args(["-c", "import moto.server"]).output().is_ok_and(|output| output.status.success())
    })
}

/// An object store in memory.
pub struct Store {
    process: Child,
    pub endpoint: String,
}

impl Store {
    pub fn start() -> Self {
        let mut command = Command::new(python().unwrap());
        command.args(["-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]);
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let endpoint = loop {
            let line = lines.next().expect("moto says where it listens").unwrap();
            if let Some((_, address)) = line.split_once("Running on ") {
                break address.trim().to_owned();
            }
        };
        // Nobody may wait for room in the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("store: {line}")));
        Self { process, endpoint }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().cast_signed()), signal).unwrap();
    }

    /// What a bucket has under a name, read by another client.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let output = self.rclone(&["cat", &format!("store:{path}")]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || said.contains("not found") || said.contains("NoSuchKey"), "{said}");
        (output.status.success() && !output.stdout.is_empty()).then_some(output.stdout)
    }

    /// The names of all objects of a bucket.
    pub fn list(&self, bucket: &str) -> Vec<String> {
        let output = self.rclone(&["lsf", "-R", &format!("store:{bucket}")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut names: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    pub fn write(&self, path: &str, text: &str) {
        let (bucket, _) = path.split_once('/').unwrap();
        assert!(self.rclone(&["mkdir", &format!("store:{bucket}")]).status.success());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let output = self.rclone(&["copyto", &file.path().display().to_string(), &format!("store:{path}")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn rclone(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("rclone");
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("RCLONE_CONFIG", "/dev/null");
        let options = [
            ("TYPE", "s3"),
            ("PROVIDER", "Other"),
            ("ACCESS_KEY_ID", "other"),
            ("SECRET_ACCESS_KEY", "other"),
            ("ENDPOINT", &self.endpoint),
        ];
        command.envs(options.map(|(name, value)| (format!("RCLONE_CONFIG_STORE_{name}"), value)));
        command.output().unwrap()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.signal(Signal::SIGCONT);
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Keys that a test gives and takes away.
#[derive(Clone, Default)]
pub struct Purse {
    /// Why there are none.
    pub refusal: Arc<Mutex<Option<String>>>,
    /// How often somebody asked.
    pub asked: Arc<AtomicU32>,
}

#[async_trait]
impl Credentials for Purse {
    async fn keys(&self, _: &Identity, _: &ObjectStore) -> Result<Keys, NoKeys> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        match self.refusal.lock().unwrap().clone() {
            Some(reason) => Err(NoKeys(reason)),
            None => Ok(Keys {
                access_key: format!("AKIA{number}"),
                secret_key: Secret::new("secret"),
                session_token: Some(Secret::new("token")),
                expires_at: Some(SystemClock.now() + TimeDelta::hours(1)),
            }),
        }
    }
}

/// The real time and what a test adds.
#[derive(Clone, Default)]
pub struct Hands(Arc<Mutex<TimeDelta>>);

impl Clock for Hands {
    fn now(&self) -> Time {
        SystemClock.now() + *self.0.lock().unwrap()
    }
}

impl Hands {
    pub fn move_on(&self, seconds: i64) {
        *self.0.lock().unwrap() += TimeDelta::seconds(seconds);
    }
}

/// A machine with a hub's folders. All that is mounted or runs is gone at the end.
pub struct Ground {
    pub config: Config,
    local: spawner_local::Config,
    pub account: Account,
    pub store: Store,
    pub purse: Purse,
    pub clock: Hands,
    folder: TempDir,
}

/// A hub's driver at work; dropped, it stops without a word, as a killed hub does.
pub struct Driver {
    pub mounted: Mounted,
    stop: CancellationToken,
    _news: mpsc::Receiver<News>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Ground {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("mounts-").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let hub = format!("mounts-{}-{}", std::process::id(), number());
        let mut config = Config::new(&hub, folder.path().join("live"), folder.path().join("kept"));
        config.target = folder.path().join("s3");
        config.args = ["--vfs-write-back=100ms"].map(str::to_owned).to_vec();
        let account = Account::make();
        let mut local = spawner_local::Config::new(&hub, folder.path().join("data"));
        local.cgroups = false;
        let (store, purse, clock) = (Store::start(), Purse::default(), Hands::default());
        Self { config, local, account, store, purse, clock, folder }
    }

    /// A hub that has just started.
    pub fn open(&self) -> Driver {
        let local = Arc::new(Local::open(self.local.clone()).unwrap());
        let (purse, clock) = (Arc::new(self.purse.clone()), Arc::new(self.clock.clone()));
        let mounted = Mounted::open(local, self.config.clone(), purse, clock).unwrap();
        let (sender, news) = mpsc::channel(100);
        let stop = CancellationToken::new();
        let (working, stopping) = (mounted.clone(), stop.clone());
        tokio::spawn(async move { working.watch(sender, stopping).await });
        Driver { mounted, stop, _news: news }
    }

    pub fn plan(&self, generation: i64, mounts: Vec<Mount>) -> Plan {
        let identity = Identity {
            hub: self.config.hub.clone(),
            spawner: SpawnerId(1),
            generation: Generation(generation),
            user: self.account.name.clone(),
            server: String::new(),
            account: None,
        };
        let cmd = ["/usr/bin/python3", "-u", "-c", SERVER].map(str::to_owned).to_vec();
        let mut plan = Plan::new(identity, "/user/x/", cmd);
        plan.mounts = mounts;
        let entry = self.account.entry();
        plan.owner = Some((entry.uid.as_raw(), entry.gid.as_raw()));
        plan
    }

    pub fn mount(&self, name: &str) -> Mount {
        let store = ObjectStore {
            name: "store".into(),
            endpoint: self.store.endpoint.clone(),
            region: "us-east-1".into(),
            provider: "Other".into(),
            ca_file: None,
        };
        let (bucket, prefix) = (format!("bucket-{name}"), String::new());
        Mount { name: name.into(), within: None, store, bucket, prefix, create: true, read_only: false, required: true }
    }

    /// A part of the bucket of a mount, in the folder of that one.
    pub fn within(&self, around: &Mount, name: &str) -> Mount {
        let (within, prefix) = (Some(around.name.clone()), name.to_owned());
        Mount { name: name.into(), within, prefix, read_only: false, ..around.clone() }
    }

    /// Keeps what is not uploaded on a disk of so many megabytes.
    pub fn small_disk(&self, megabytes: u32) {
        std::fs::create_dir(&self.config.cache_dir).unwrap();
        let size = format!("size={megabytes}M");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&self.config.cache_dir);
        assert!(command.status().unwrap().success());
    }

    pub async fn start(&self, driver: &Driver, plan: &Plan) -> Lab {
        let started = self.try_start(driver, plan).await.unwrap();
        Lab { pid: started.state["pid"].as_i64().unwrap(), identity: plan.identity.clone(), started }
    }

    pub async fn try_start(&self, driver: &Driver, plan: &Plan) -> Result<Started, StartError> {
        driver.mounted.start(plan, &Value::Null, &Paper::default()).await
    }

    /// A path as servers see it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.config.target.join(name)
    }

    /// Runs a line of shell as the server's user, with the server's view of the machine.
    pub fn shell(&self, lab: &Lab, line: &str) -> Output {
        let entry = self.account.entry();
        let mut command = Command::new("nsenter");
        command.args(["-t", &lab.pid.to_string(), "-m", "-S", &entry.uid.to_string(), "-G", &entry.gid.to_string()]);
        command.args(["--", "sh", "-c", line]).output().unwrap()
    }

    pub fn says(&self, lab: &Lab, line: &str) -> String {
        let output = self.shell(lab, line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Lets the server write so many random megabytes. Returns their digest.
    pub fn writes(&self, lab: &Lab, name: &str, megabytes: u32) -> String {
        let path = self.path(name);
        let path = path.display();
        let line = format!("head -c {megabytes}M /dev/urandom > {path} && sha256sum < {path}");
        self.says(lab, &line).split(' ').next().unwrap().to_owned()
    }

    /// The processes that mount.
    pub fn helpers(&self) -> Vec<i32> {
        let mark = format!("{MARKER}={}:", self.config.hub);
        let pids = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
        let has_mark = |pid: &i32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes()))
        };
        pids.filter(has_mark).collect()
    }

    pub fn kill_helpers(&self) {
        let helpers = self.helpers();
        assert!(!helpers.is_empty(), "there is no helper to kill");
        for pid in helpers {
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
    }

    /// Cuts rclone's own notes of files with this name to half. Returns how many.
    pub fn cut_notes(&self, name: &str) -> usize {
        let (mut folders, mut cut) = (vec![self.config.cache_dir.clone()], 0);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.ends_with(name) && path.components().any(|part| part.as_os_str() == "vfsMeta") {
                    let text = std::fs::read(&path).unwrap();
                    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
                    cut += 1;
                }
            }
        }
        cut
    }

    /// What is mounted for servers.
    pub fn mounted(&self) -> Vec<String> {
        let beginning = format!("{}/", self.folder.path().join("live").display());
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned);
        points.filter(|point| point.starts_with(&beginning)).collect()
    }

    pub async fn ends(&self, driver: &Driver, lab: &Lab) {
        contract::eventually("the server is gone", || async {
            driver.mounted.stop(&lab.identity, &lab.started.state, Stop::default()).await.unwrap();
            driver.mounted.look(&lab.identity, &lab.started.state).await.unwrap() == Sight::Absent
        })
        .await;
    }

    pub async fn eventually_health(&self, driver: &Driver, what: &str, right: impl Fn(&[Health]) -> bool) {
        contract::eventually(what, || async { right(&driver.mounted.health(SpawnerId(1))) }).await;
    }

    /// Waits until nothing of the folders is left: no helper, no mount, no file.
    pub async fn is_clean(&self) {
        let nothing = |path: &Path| {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.filter(|entry| !entry.file_name().to_string_lossy().ends_with(".lock")).count() == 0
        };
        contract::eventually("nothing is left", || async {
            self.helpers().is_empty()
                && self.mounted().is_empty()
                && nothing(&self.config.dir)
                && nothing(&self.config.cache_dir)
        })
        .await;
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for mark in [MARKER, spawner_local::MARKER] {
            let mark = format!("{mark}={}:", self.config.hub);
            let pids = std::fs::read_dir("/proc").unwrap().flatten();
            for pid in pids.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok())) {
                let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                if environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes())) {
                    kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
                }
            }
        }
        let live = self.folder.path().join("live");
        // There may be a disk of its own for the rest; where there is none, nothing is unmounted.
        let kept = self.config.cache_dir.display().to_string();
        for point in self.mounted().iter().rev().chain([&live.display().to_string(), &kept]) {
            Command::new("umount").arg("-l").arg(point).output().ok();
        }
    }
}

/// A server that runs.
pub struct Lab {
    pub identity: Identity,
    pub started: Started,
    pub pid: i64,
}

pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

pub fn is(state: &State) -> impl Fn(&[Health]) -> bool {
    let state = state.clone();
    move |health| health.len() == 1 && health[0].state == state
}

/// A system user, for as long as the value lives.
pub struct Account {
    pub name: String,
}

/// `useradd` locks files for everyone, so the tests make their users one after the other.
static ACCOUNTS: Mutex<()> = Mutex::new(());

impl Account {
    fn make() -> Self {
        let name = format!("mnt{}x{}", std::process::id(), number());
        let _alone = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        // Another test program may hold the lock of the table for a moment.
        let deadline = Instant::now() + Duration::from_secs(20);
        while !Command::new("useradd").args(["-m", "-s", "/bin/bash", &name]).output().unwrap().status.success() {
            assert!(Instant::now() < deadline, "useradd {name}");
        }
        Self { name }
    }

    fn entry(&self) -> User {
        User::from_name(&self.name).unwrap().unwrap()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _alone = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        Command::new("userdel").args(["-f", "-r", &self.name]).output().ok();
    }
}

pub fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
