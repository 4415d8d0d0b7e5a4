//! What the tests stand on: a data folder, system users that are removed again, and small servers in Python.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hub_core::id::{Generation, SpawnerId};
use nix::unistd::{Uid, User};
use serde_json::Value;
use spawner_local::{Config, Local};
use spawners::contract::{self, Paper};
use spawners::{Identity, Plan, Sight, Spawner, Started, Stop};
use tempfile::TempDir;

/// Answers every request with 200 under the address it was told.
pub const SERVER: &str = r#"
import http.server, os, urllib.parse
url = urllib.parse.urlparse(os.environ["JUPYTERHUB_SERVICE_URL"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"here")
http.server.HTTPServer((url.hostname, url.port), Handler).serve_forever()
"#;

/// A driver's folder, with the user whose servers run there. All that runs is killed at the end.
pub struct Ground {
    pub config: Config,
    pub user: String,
    _account: Option<Account>,
    _folder: Option<TempDir>,
}

impl Ground {
    /// A fresh folder; as root with a fresh system user.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hub = format!("test-{}-{}", std::process::id(), number());
        let mut config = Config::new(hub, folder.path().join("data"));
        (config.interrupt_timeout, config.term_timeout) = (Duration::from_secs(20), Duration::from_secs(20));
        let account = Uid::effective().is_root().then(Account::make);
        let user = account.as_ref().map_or("Änna ../B".to_owned(), |account| account.name.clone());
        Self { config, user, _folder: Some(folder), _account: account }
    }

    /// The ground of another process; nothing of it is this one's to remove.
    pub fn borrowed(hub: &str, data_dir: &str, user: &str) -> std::mem::ManuallyDrop<Self> {
        let (config, user) = (Config::new(hub, data_dir), user.to_owned());
        std::mem::ManuallyDrop::new(Self { config, user, _folder: None, _account: None })
    }

    pub fn open(&self) -> Local {
        Local::open(self.config.clone()).unwrap()
    }

    pub fn identity(&self, spawner: i64, generation: i64) -> Identity {
        Identity {
            hub: self.config.hub.clone(),
            spawner: SpawnerId(spawner),
            generation: Generation(generation),
            user: self.user.clone(),
            server: String::new(),
            account: None,
        }
    }

    /// Plans a Python program.
    pub fn python(&self, spawner: i64, generation: i64, program: &str) -> Plan {
        let cmd = ["/usr/bin/python3", "-u", "-c", program].map(str::to_owned).to_vec();
        Plan::new(self.identity(spawner, generation), "/user/x/", cmd)
    }

    /// Starts a Python program.
    pub async fn start(&self, local: &Local, program: &str) -> (Identity, Started) {
        let plan = self.python(1, 1, program);
        let started = local.start(&plan, &Value::Null, &Paper::default()).await.unwrap();
        (plan.identity, started)
    }

    /// Waits until the log has a line that begins so, and returns the rest of it.
    pub async fn says(&self, local: &Local, server: &Identity, beginning: &str) -> String {
        let found = Mutex::new(None);
        contract::eventually(&format!("the log says {beginning}"), || async {
            let log = local.logs(server, &Value::Null, 1000).await.unwrap();
            let line = log.lines().find_map(|line| line.strip_prefix(beginning)).map(str::to_owned);
            *found.lock().unwrap() = line;
            found.lock().unwrap().is_some()
        })
        .await;
        found.into_inner().unwrap().unwrap()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let mark = format!("SPECOLA_SERVER={}:", self.config.hub);
        let groups: Vec<PathBuf> = ["memory", "cpu", ""].into_iter().flat_map(|tree| self.groups(tree)).collect();
        // Processes die a moment after they are killed, and only then their groups can go.
        for _ in 0..1000 {
            let left = kill_marked(&mark);
            groups.iter().for_each(|group| drop(std::fs::remove_dir(group)));
            if !left && !groups.iter().any(|group| group.exists()) {
                break;
            }
            std::thread::yield_now();
        }
    }
}

impl Ground {
    /// Lists the control groups of this ground in one tree.
    fn groups(&self, tree: &str) -> Vec<PathBuf> {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let path = own.lines().find_map(|line| line.split_once(&format!(":{tree}:"))).map_or("", |(_, path)| path);
        let parent = Path::new("/sys/fs/cgroup").join(tree).join(path.trim_start_matches('/'));
        let all = std::fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
        all.filter(|path| path.to_string_lossy().contains(&format!("/specola-{}.", self.config.hub))).collect()
    }
}

/// Kills what a test has left; whether there was something.
fn kill_marked(mark: &str) -> bool {
    let found = marked(mark);
    for pid in &found {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::SIGKILL).ok();
    }
    !found.is_empty()
}

/// Lists the processes with an environment variable that begins so, ended ones left out.
pub fn marked(mark: &str) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    let has_mark = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes()))
    };
    pids.filter(has_mark).collect()
}

/// A system user with a home, for as long as the value lives.
pub struct Account {
    pub name: String,
}

/// `useradd` locks files for everyone, so the tests make their users one after the other.
static ACCOUNTS: Mutex<()> = Mutex::new(());

impl Account {
    pub fn make() -> Self {
        let name = format!("spt{}x{}", std::process::id(), number());
        let _alone = ACCOUNTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let made = Command::new("useradd").args(["-m", "-s", "/bin/bash", "-G", "users", &name]).status().unwrap();
        assert!(made.success(), "useradd {name}");
        Self { name }
    }

    pub fn entry(&self) -> User {
        User::from_name(&self.name).unwrap().unwrap()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _alone = ACCOUNTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Command::new("userdel").args(["-f", "-r", &self.name]).output().ok();
    }
}

pub fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// As root, runs the named test once more under `nobody`; true when the caller is that user and should go on.
pub fn without_root(test: &str) -> bool {
    if !Uid::effective().is_root() {
        return true;
    }
    // The test binary may lie where nobody may read.
    let folder = tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).tempdir();
    let folder = folder.unwrap();
    let program = folder.path().join("it");
    // By another process: a file that is open for writing here, and in what other tests fork, cannot be run.
    assert!(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap().success());
    let output = Command::new("setpriv")
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
        .arg(&program)
        .args(["--exact", test, "--nocapture"])
        .env("TMPDIR", "/tmp")
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "as nobody: {said}");
    false
}

/// Asks a server over HTTP; whether it answers.
pub async fn answers(url: &str) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else { return false };
    let mut answer = Vec::new();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.is_ok()
        && stream.read_to_end(&mut answer).await.is_ok()
        && answer.ends_with(b"here")
}

pub async fn look(local: &Local, server: &Identity, state: &Value) -> Sight {
    local.look(server, state).await.unwrap()
}

/// Stops until it is gone.
pub async fn end(local: &Local, server: &Identity, state: &Value, force: bool) {
    contract::eventually("the server is gone", || async {
        local.stop(server, state, Stop { force }).await.unwrap();
        look(local, server, state).await == Sight::Absent
    })
    .await;
}

/// Whether a process runs, zombies not counted.
pub fn runs(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

pub fn pid(state: &Value) -> i64 {
    state.get("pid").and_then(Value::as_i64).unwrap()
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
