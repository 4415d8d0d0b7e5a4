//! Ceph's RADOS gateway on a cluster of one: a monitor, an OSD in memory and the gateway, gone with the test. It verifies
//! tokens by the provider's certificate, judges requests by policies, and takes keys until they end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::mark::Mark;
use crate::place;
use crate::session::Session;
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);
const PROGRAMS: [&str; 6] = ["ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin"];
const KEYS: (&str, &str) = ("administrator", "the-secret-of-the-administrator");
/// Who there is, with what they may do.
const ENTITIES: [(&str, &[&str]); 4] = [
    ("mon.", &["--cap", "mon", "allow *"]),
    ("client.admin", &["--cap", "mon", "allow *", "--cap", "osd", "allow *"]),
    ("osd.0", &["--cap", "mon", "allow profile osd", "--cap", "osd", "allow *"]),
    ("client.rgw", &["--cap", "mon", "allow *", "--cap", "osd", "allow *"]),
];

pub struct Gateway {
    port: u16,
    processes: Vec<Child>,
    folder: TempDir,
    mark: Mark,
}

/// Whether it is installed.
pub fn gateway_is_here() -> Option<()> {
    PROGRAMS.iter().all(|program| place::command(program).is_some()).then_some(())
}

impl Gateway {
    /// Starts everything and waits until the gateway answers.
    pub async fn start() -> Result<Gateway> {
        let folder = tempfile::Builder::new().prefix("ceph").tempdir()?;
        let mut gateway = Gateway { port: place::free_port()?, processes: Vec::new(), folder, mark: Mark::default() };
        let started = gateway.bring_up().await;
        started.with_context(|| gateway.logs())?;
        Ok(gateway)
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The keys of an administrator, who may make roles and providers.
    pub fn keys(&self) -> (&'static str, &'static str) {
        KEYS
    }

    async fn bring_up(&mut self) -> Result<()> {
        let (cluster, osd) = (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
        let monitor = format!("v2:127.0.0.1:{}/0", place::free_port()?);
        for folder in ["mon", "osd"] {
            fs::create_dir(self.path(folder))?;
        }
        fs::write(self.path("ceph.conf"), self.configuration(&cluster, &monitor))?;
        let (keyring, map) = (self.text("keyring"), self.text("monmap"));
        self.tool("ceph-authtool", &["--create-keyring", &keyring])?;
        for (name, caps) in ENTITIES {
            self.tool("ceph-authtool", &[&[keyring.as_str(), "--gen-key", "-n", name], caps].concat())?;
        }
        self.tool("monmaptool", &["--create", "--fsid", &cluster, "--addv", "a", &format!("[{monitor}]"), &map])?;
        self.tool("ceph-mon", &["-i", "a", "--mkfs", "--monmap", &map, "--keyring", &keyring])?;
        self.daemon("ceph-mon", &["-i", "a"])?;
        self.tool("ceph", &["--connect-timeout", "60", "osd", "new", &osd])?;
        self.tool("ceph-osd", &["-i", "0", "--mkfs", "--osd-uuid", &osd])?;
        self.daemon("ceph-osd", &["-i", "0"])?;
        self.daemon("radosgw", &["-n", "client.rgw"])?;
        let mut session = Session::new(&self.endpoint())?;
        until("answer of the gateway", PATIENCE, async || Ok((session.get("/").await?.status == 200).then_some(())))
            .await?;
        let (key, secret) = KEYS;
        let user = ["-n", "client.rgw", "user", "create", "--uid", "administrator", "--display-name", "Administrator"];
        let more = ["--access-key", key, "--secret-key", secret, "--caps", "roles=*;oidc-provider=*", "--admin"];
        self.tool("radosgw-admin", &[&user[..], &more[..]].concat())
    }

    fn configuration(&self, cluster: &str, monitor: &str) -> String {
        let folder = self.folder.path().display();
        let port = self.port;
        format!(
            "[global]
fsid = {cluster}
mon host = [{monitor}]
public addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
keyring = {folder}/keyring
mon data = {folder}/mon
osd data = {folder}/osd
run dir = {folder}
admin socket = {folder}/$name.asok
pid file =
log file = {folder}/$name.log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
osd objectstore = memstore
memstore device bytes = 2147483648
osd op num shards = 2
mon data avail crit = 0
osd max object name len = 256
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw s3 auth use sts = true
rgw sts min session duration = 1
rgw sts key = abcdefghijklmnop
rgw run sync thread = false
rgw gc max objs = 1
rgw lc max objs = 1
rgw num control oids = 1
rgw usage max shards = 1
rgw objexp hints num shards = 1
"
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(place::command(program).with_context(|| program.to_owned())?);
        command.env("CEPH_CONF", self.path("ceph.conf")).stdin(Stdio::null());
        self.mark.put_on(&mut command);
        Ok(command)
    }

    fn tool(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let output = self.command(program)?.args(arguments).output()?;
        ensure!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn daemon(&mut self, program: &str, arguments: &[&str]) -> Result<()> {
        let said = fs::File::create(self.path(&format!("{program}.said")))?;
        let mut command = self.command(program)?;
        command.arg("-f").args(arguments).stdout(said.try_clone()?).stderr(said);
        self.processes.push(command.spawn().with_context(|| program.to_owned())?);
        Ok(())
    }

    /// The end of what each part has said.
    pub fn logs(&self) -> String {
        let files = fs::read_dir(self.folder.path()).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_log = |path: &Path| path.extension().is_some_and(|end| end == "log" || end == "said");
        let mut texts = Vec::new();
        for path in files.filter(|path| is_log(path)) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(15).collect();
            let end: Vec<&str> = lines.into_iter().rev().collect();
            texts.push(format!("--- {}\n{}", path.display(), end.join("\n")));
        }
        texts.join("\n")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // The gateway first; nothing of it is worth a farewell.
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
