//! The agent around a command, and what a program in the lab can do.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::hub::{Hub, TOKEN};

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_specola-lab-agent");

pub struct Agent {
    pub process: Child,
    pub folder: TempDir,
}

pub fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The agent's command, as a hub would start it. `OUT` is a folder for the lab to write into.
pub fn command(hub: &Hub, folder: &TempDir, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("OUT", folder.path()).env("HOME", folder.path());
    command.env("JUPYTERHUB_API_URL", hub.api_url()).env("JUPYTERHUB_API_TOKEN", TOKEN);
    command.env("JUPYTERHUB_SERVICE_PREFIX", "/user/anna/").env("SPECOLA_STORAGE_NAMES", "main other");
    command.env("SPECOLA_TOKEN_DIR", folder.path().join("tokens"));
    command
}

impl Agent {
    /// Runs a script as the lab.
    pub fn start(hub: &Hub, script: &str) -> Agent {
        let folder = tempfile::tempdir().unwrap();
        let process = command(hub, &folder, PROGRAM, &["sh", "-c", script]).spawn().unwrap();
        Agent { process, folder }
    }

    /// Runs a lab that only waits; returns when it has begun.
    pub fn waiting(hub: &Hub) -> Agent {
        let agent = Agent::start(hub, "env > $OUT/draft && mv $OUT/draft $OUT/env && exec sleep 600");
        until("the lab", || agent.out("env").exists().then_some(()));
        agent
    }

    /// A file that the lab wrote.
    pub fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the lab has in its environment.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let text = std::fs::read_to_string(self.out("env")).unwrap();
        text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    pub fn status(&self) -> Value {
        let token = PathBuf::from(&self.environment()["BEARER_TOKEN_FILE"]);
        serde_json::from_slice(&std::fs::read(token.with_file_name("status.json")).unwrap()).unwrap()
    }

    /// What a program of AWS gets in the lab.
    pub fn keys(&self) -> (u16, Value) {
        let environment = self.environment();
        let token = std::fs::read_to_string(&environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]).unwrap();
        get(&environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"], &[("Authorization", &token)])
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), signal).unwrap();
    }

    pub fn ended(&mut self) -> ExitStatus {
        until("its end", || self.process.try_wait().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // By a signal that goes on to the lab, unless it has ended.
        if let Ok(None) = self.process.try_wait() {
            self.signal(Signal::SIGTERM);
            let _ = self.process.wait();
        }
    }
}

/// Asks an address of this machine, with headers in place of the usual ones.
pub fn get(url: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    ask("GET", url, headers)
}

pub fn ask(method: &str, url: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    tried(method, url, headers).unwrap()
}

/// The same at an address at which somebody else may be, or nobody yet.
pub fn tried(method: &str, url: &str, headers: &[(&str, &str)]) -> io::Result<(u16, Value)> {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_at(rest.find('/').unwrap());
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let host = headers.iter().find(|(name, _)| *name == "Host").map_or(address, |(_, host)| host);
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in headers.iter().filter(|(name, _)| *name != "Host") {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{text}\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let none = || io::Error::other(format!("no answer: {answer}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(none)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(none)?;
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}
