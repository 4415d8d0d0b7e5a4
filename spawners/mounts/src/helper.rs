//! The process that mounts one bucket: started, found again, and ended.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hub_core::id::SpawnerId;
use nix::sys::signal::Signal;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use spawner_local::process::{self, Environment, Process};
use spawners::Mount;
use tokio::process::Command;

use crate::place::{self, Place};
use crate::{Config, MARKER, rc};

/// Variables of the hub's environment that lead to the store.
const KEPT: [&str; 7] = ["PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];
/// How the log tells where the remote control listens.
const CONTROL: &str = "remote control on http://127.0.0.1:";
/// What rclone ends with when there is no such folder, and no such file.
const NO_FOLDER: i32 = 3;
const NO_FILE: i32 = 4;
/// A user that no server runs as.
const NOBODY: u32 = 65_534;
/// A log that is longer is cut, in bytes.
const LOG_BYTES: u64 = 4 << 20;
/// So long the store's certificate is waited for. Where it does not come, mounting tells what is wrong.
const CERTIFICATE_PATIENCE: Duration = Duration::from_secs(5);
/// Begins what rclone says against a certificate.
const AGAINST_CERTIFICATE: &str = "x509: ";

/// A helper as it is kept on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Helper {
    pub process: Process,
    boot_id: String,
    /// The password of its remote control.
    pub password: String,
    /// A digest of what it was started with.
    made_of: String,
}

/// What a helper is started for.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    pub config: &'a Config,
    pub place: &'a Place,
    pub spawner: SpawnerId,
    pub owner: (u32, u32),
    pub mount: &'a Mount,
    /// Others are shown in it.
    pub holds: bool,
}

impl Task<'_> {
    fn marker(&self) -> String {
        format!("{}:{}/{}", self.config.hub, self.spawner, self.mount.path())
    }

    /// Returns the helper that runs, if it does what this task wants.
    pub fn find(&self) -> io::Result<Option<Helper>> {
        let Some(helper) = self.noted()? else { return Ok(None) };
        let same = helper.made_of == self.made_of() && helper.boot_id == process::boot_id()?;
        Ok((same && helper.process.alive()?).then_some(helper))
    }

    /// Returns what is known of the last helper. A broken file is none: the helper is found by its mark.
    fn noted(&self) -> io::Result<Option<Helper>> {
        let text = place::absent_is_none(fs::read(self.place.helper(self.mount)))?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// Ends every process that carries the mark of this task; whether there was one.
    pub fn kill(&self, signal: Signal) -> io::Result<bool> {
        let mut found = false;
        for process in self.marked()? {
            found |= process.signal(signal)?;
        }
        Ok(found)
    }

    /// Lists the processes that carry the mark. Only processes of the hub's own user count: others may claim anything.
    pub fn marked(&self) -> io::Result<Vec<Process>> {
        let (own, marker) = (nix::unistd::geteuid().as_raw(), self.marker());
        let mut found = Vec::new();
        for stat in process::all()?.into_iter().filter(|stat| stat.uid == own) {
            if Environment::of(stat.process)?.get(MARKER) == Some(&marker) {
                found.push(stat.process);
            }
        }
        Ok(found)
    }

    /// Starts the process and notes it. It is not there yet when this returns.
    pub fn start(&self) -> io::Result<Helper> {
        place::make_folder(&self.place.cache(self.mount), 0o700)?;
        self.configure()?;
        place::make_folder(&self.place.point(self.mount), 0o700)?;
        let log = self.open_log()?;
        let password = hex::encode(rand::rng().random::<[u8; 16]>());
        let mut command = self.rclone(self.arguments());
        command.env("RCLONE_RC_USER", rc::USER).env("RCLONE_RC_PASS", &password).env(MARKER, self.marker());
        command.stdout(log.try_clone()?).stderr(log).kill_on_drop(false);
        // SAFETY: the closure only makes system calls; it neither allocates nor locks.
        unsafe { command.pre_exec(detach) };
        let child = command.spawn()?;
        let pid = child.id().ok_or(io::ErrorKind::NotFound)?;
        let process = process::child(pid.cast_signed())?;
        // Dropped, the child is collected in the background when it ends.
        drop(child);
        let helper = Helper { process, boot_id: process::boot_id()?, password, made_of: self.made_of() };
        place::write(&self.place.helper(self.mount), &serde_json::to_vec(&helper)?)?;
        Ok(helper)
    }

    /// Writes what rclone reads of the store.
    fn configure(&self) -> io::Result<()> {
        let part = self.place.part(self.mount);
        place::make_folder(&part, 0o700)?;
        place::write(&part.join("rclone.conf"), self.rclone_configuration().as_bytes())?;
        place::write(&part.join("aws.conf"), self.aws_configuration().as_bytes())
    }

    /// rclone with the keys of the folder, and nothing of the hub's own environment that it does not need.
    fn rclone(&self, arguments: Vec<String>) -> Command {
        let part = self.place.part(self.mount);
        let mut command = Command::new(&self.config.rclone);
        command.args(arguments).env_clear();
        command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.env("AWS_CONFIG_FILE", part.join("aws.conf")).env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command.env("AWS_SDK_LOAD_CONFIG", "1").env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", &part);
        command.stdin(Stdio::null()).current_dir("/");
        command
    }

    /// The MD5 of a file in the store, in hexadecimal, empty where it tells none; None when there is no such file. `name`
    /// is the name of the remote, the bucket and the key, with slashes between.
    pub async fn stored(&self, name: &str) -> Result<Option<String>> {
        self.configure()?;
        let (remote, path) = name.split_once('/').context("it has no bucket")?;
        let (folder, file) = path.rsplit_once('/').context("it has no name in a bucket")?;
        // Of a file that it may not see it would say that there is none; a list is refused.
        let output = self.asked(&["lsf", "--files-only", &format!("{remote}:{folder}")], Duration::ZERO).await?;
        match output.status.code() {
            Some(0) if !String::from_utf8_lossy(&output.stdout).lines().any(|name| name == file) => return Ok(None),
            Some(0) => {}
            Some(NO_FOLDER | NO_FILE) => return Ok(None),
            _ => bail!("the store does not tell what it has: {}", last_line(&output.stderr)),
        }
        let output = self.asked(&["md5sum", &format!("{remote}:{path}")], Duration::ZERO).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let end = format!("  {file}");
        let digest = text.lines().find_map(|line| line.strip_suffix(&end)).map(|digest| digest.trim().to_owned());
        Ok(Some(digest.unwrap_or_default()))
    }

    /// What rclone says against the certificate of the store; nothing where it trusts it, or does not come so far. It would
    /// mount the folder all the same, and everything in there would fail.
    pub async fn distrust(&self) -> Result<Option<String>> {
        if !self.mount.store.endpoint.starts_with("https:") {
            return Ok(None);
        }
        self.configure()?;
        // One name is looked for: of the bucket itself it would list all.
        let name = format!("{}/.specola", self.remote());
        let words = ["lsf", "--low-level-retries=1", &name];
        let Ok(output) = tokio::time::timeout(CERTIFICATE_PATIENCE, self.asked(&words, Duration::ZERO)).await else {
            return Ok(None);
        };
        let said = output?.stderr;
        let text = String::from_utf8_lossy(&said);
        Ok(text
            .split_once(AGAINST_CERTIFICATE)
            .map(|(_, what)| last_line(what.lines().next().unwrap_or_default().as_bytes())))
    }

    /// The MD5 of a file of this machine and of so many bytes, in hexadecimal.
    pub async fn digest(&self, file: &Path, size: u64) -> Result<String> {
        // 16 MB a second are little for a disk.
        let reading = Duration::from_secs(size >> 24);
        let output = self.asked(&["md5sum", &file.display().to_string()], reading).await?;
        ensure!(output.status.success(), "{} cannot be read: {}", file.display(), last_line(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.split(' ').next().unwrap_or_default().to_owned())
    }

    /// What rclone says, within the bound on mounting and what is given beside it.
    async fn asked(&self, words: &[&str], more: Duration) -> Result<Output> {
        let part = self.place.part(self.mount);
        let mut arguments: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        arguments.push(format!("--config={}", part.join("rclone.conf").display()));
        arguments.extend(self.mount.store.ca_file.as_ref().map(|file| format!("--ca-cert={}", file.display())));
        arguments.extend(["--contimeout=10s", "--retries=1", "--use-server-modtime"].map(str::to_owned));
        let mut command = self.rclone(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let name = || format!("{} cannot be started", self.config.rclone.display());
        let asking = async { command.spawn()?.wait_with_output().await };
        let asked =
            tokio::time::timeout(self.config.mount_timeout + more, asking).await.context("rclone takes too long")?;
        asked.with_context(name)
    }

    fn open_log(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(self.place.log(self.mount)).and_then(|log| {
            // What an earlier helper wrote would be mistaken for this one's.
            log.set_len(0)?;
            Ok(log)
        })
    }

    /// Cuts a log that has grown long. The helper appends, so that it goes on at the new end; the line that tells where
    /// its remote control is stays.
    pub fn bound_log(&self) -> io::Result<()> {
        let path = self.place.log(self.mount);
        if place::absent_is_none(fs::metadata(&path))?.is_some_and(|log| log.len() > LOG_BYTES) {
            let control = self.log()?.lines().find(|line| line.contains(CONTROL)).map(str::to_owned);
            OpenOptions::new().write(true).truncate(true).open(&path)?;
            if let Some(line) = control {
                io::Write::write_all(
                    &mut OpenOptions::new().append(true).open(&path)?,
                    format!("{line}\n").as_bytes(),
                )?;
            }
        }
        Ok(())
    }

    /// The port of the helper's remote control, once it is known.
    pub fn control_port(&self) -> io::Result<Option<u16>> {
        let log = self.log()?;
        let port = log.lines().find_map(|line| line.split_once(CONTROL)).map(|(_, rest)| rest.trim_end_matches('/'));
        Ok(port.and_then(|port| port.parse().ok()))
    }

    /// The beginning of the log, where the helper tells of its start.
    fn log(&self) -> io::Result<String> {
        let mut bytes = Vec::new();
        let Some(mut file) = place::absent_is_none(File::open(self.place.log(self.mount)))? else {
            return Ok(String::new());
        };
        file.seek(SeekFrom::Start(0))?;
        file.take(64 * 1024).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The last line of the log, for the operator.
    pub fn last_line(&self) -> String {
        last_line(self.log().unwrap_or_default().as_bytes())
    }

    fn remote(&self) -> String {
        let Mount { bucket, prefix, .. } = self.mount;
        if prefix.is_empty() {
            format!("store:{bucket}")
        } else {
            format!("store:{bucket}/{}", prefix.trim_matches('/'))
        }
    }

    fn arguments(&self) -> Vec<String> {
        let (mount, config) = (self.mount, self.config);
        let text = |path: &Path| path.display().to_string();
        let mut all = vec!["mount".to_owned(), self.remote(), text(&self.place.point(mount))];
        let part = self.place.part(mount);
        // The hub makes the folders in it that others are shown in, so that it cannot be one that nobody writes in: it is
        // one of nobody's.
        let (uid, gid, umask) = if self.holds { (NOBODY, NOBODY, "022") } else { (self.owner.0, self.owner.1, "077") };
        let pairs = [
            ("config", text(&part.join("rclone.conf"))),
            ("cache-dir", text(&self.place.cache(mount))),
            ("vfs-cache-mode", "full".to_owned()),
            ("vfs-cache-max-size", format!("{}B", config.cache_bytes)),
            ("dir-cache-time", "1m".to_owned()),
            ("contimeout", "10s".to_owned()),
            ("uid", uid.to_string()),
            ("gid", gid.to_string()),
            ("umask", umask.to_owned()),
            ("devname", mount.bucket.clone()),
            ("rc-addr", "127.0.0.1:0".to_owned()),
        ];
        all.extend(pairs.into_iter().map(|(name, value)| format!("--{name}={value}")));
        all.extend(["--allow-other", "--default-permissions", "--use-server-modtime", "--rc"].map(str::to_owned));
        all.extend((mount.read_only && !self.holds).then(|| "--read-only".to_owned()));
        all.extend(mount.store.ca_file.as_ref().map(|file| format!("--ca-cert={}", file.display())));
        all.extend(config.args.iter().cloned());
        all
    }

    /// No keys are in it.
    fn rclone_configuration(&self) -> String {
        let store = &self.mount.store;
        let clean = |text: &str| text.replace(|char: char| char.is_control(), "");
        format!(
            "[store]\ntype = s3\nenv_auth = true\nprovider = {}\nendpoint = {}\nregion = {}\nno_check_bucket = {}\n",
            clean(&store.provider),
            clean(&store.endpoint),
            clean(&store.region),
            !self.mount.create,
        )
    }

    fn aws_configuration(&self) -> String {
        format!("[default]\ncredential_process = cat '{}'\n", self.place.keys(self.mount).display())
    }

    fn made_of(&self) -> String {
        let parts = [self.arguments().join("\0"), self.rclone_configuration(), self.aws_configuration()];
        hex::encode(Sha256::digest(parts.join("\0")))
    }
}

/// For the operator.
fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    line.chars().filter(|char| !char.is_control()).take(300).collect()
}

/// In the child: a session of its own, so that it does not end with the hub.
fn detach() -> io::Result<()> {
    nix::unistd::setsid()?;
    spawner_local::forget_descriptors();
    spawner_local::default_signals();
    Ok(())
}
