//! The process that mounts one bucket: started, found again, and ended.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;

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
/// A log that is longer is cut, in bytes.
const LOG_BYTES: u64 = 4 << 20;

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
}

impl Task<'_> {
    fn marker(&self) -> String {
        format!("{}:{}/{}", self.config.hub, self.spawner, self.mount.name)
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
        let part = self.place.part(self.mount);
        place::make_folder(&part, 0o700)?;
        place::make_folder(&self.place.cache(self.mount), 0o700)?;
        place::write(&part.join("rclone.conf"), self.rclone_configuration().as_bytes())?;
        place::write(&part.join("aws.conf"), self.aws_configuration().as_bytes())?;
        place::make_folder(&self.place.point(self.mount), 0o700)?;
        let log = self.open_log()?;
        let password = hex::encode(rand::rng().random::<[u8; 16]>());
        let mut command = Command::new(&self.config.rclone);
        command.args(self.arguments()).env_clear();
        command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.env("AWS_CONFIG_FILE", part.join("aws.conf")).env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command.env("AWS_SDK_LOAD_CONFIG", "1").env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", &part);
        command.env("RCLONE_RC_USER", rc::USER).env("RCLONE_RC_PASS", &password).env(MARKER, self.marker());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir("/").kill_on_drop(false);
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
        let log = self.log().unwrap_or_default();
        let line = log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        line.chars().filter(|char| !char.is_control()).take(300).collect()
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
        let pairs = [
            ("config", text(&part.join("rclone.conf"))),
            ("cache-dir", text(&self.place.cache(mount))),
            ("vfs-cache-mode", "full".to_owned()),
            ("vfs-cache-max-size", format!("{}B", config.cache_bytes)),
            ("dir-cache-time", "1m".to_owned()),
            ("contimeout", "10s".to_owned()),
            ("uid", self.owner.0.to_string()),
            ("gid", self.owner.1.to_string()),
            ("umask", "077".to_owned()),
            ("devname", mount.bucket.clone()),
            ("rc-addr", "127.0.0.1:0".to_owned()),
        ];
        all.extend(pairs.into_iter().map(|(name, value)| format!("--{name}={value}")));
        all.extend(["--allow-other", "--default-permissions", "--use-server-modtime", "--rc"].map(str::to_owned));
        all.extend(mount.read_only.then(|| "--read-only".to_owned()));
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

/// In the child: a session of its own, so that it does not end with the hub.
fn detach() -> io::Result<()> {
    nix::unistd::setsid()?;
    spawner_local::forget_descriptors();
    spawner_local::default_signals();
    Ok(())
}
