//! Object stores of a test's own, and the programs that people use them with in labs.

mod gateway;
mod minio;
mod moto;
mod veil;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

pub use gateway::{Gateway, gateway_is_here};
pub use minio::{Minio, minio};
pub use moto::Moto;
pub use veil::Veil;

use crate::place;

/// For whom tokens are that are exchanged for keys. ID tokens are for the hub's own client, which is taken as well.
pub const AUDIENCE: &str = "object";

/// The interpreter with boto3, s3fs, the command line of AWS, and moto.
#[derive(Clone)]
pub struct Tools {
    python: PathBuf,
}

/// None when they are missing; `tests/run` installs them.
pub fn tools() -> Option<Tools> {
    let python = match std::env::var_os("SPECOLA_OBJECT_STORE_PYTHON") {
        Some(path) => PathBuf::from(path),
        None => place::target().join("tests/object-store/bin/python"),
    };
    python.with_file_name("moto_server").is_file().then_some(Tools { python })
}

/// What there is to be in an object store.
pub struct Wanted<'a> {
    pub endpoint: &'a str,
    /// The administrator's keys.
    pub keys: (&'a str, &'a str),
    /// The identity provider, and the thumbprint of its certificate where the object store wants to know it.
    pub issuer: &'a str,
    pub thumbprint: Option<&'a str>,
    /// Roles, each with the buckets it opens.
    pub roles: &'a [(&'a str, &'a [&'a str])],
    pub buckets: &'a [&'a str],
}

/// How it went with a program that used an object store for a while.
#[derive(Debug, Deserialize)]
pub struct Used {
    pub done: u32,
    pub refused: Vec<String>,
    /// The names of the keys it had.
    pub keys: Vec<String>,
}

impl Tools {
    /// Makes roles and buckets; gives the roles' ARNs.
    pub fn administer(&self, wanted: &Wanted) -> Result<BTreeMap<String, String>> {
        let roles: BTreeMap<_, _> = wanted.roles.iter().copied().collect();
        let asked = json!({
            "endpoint": wanted.endpoint, "key": wanted.keys.0, "secret": wanted.keys.1, "issuer": wanted.issuer,
            "thumbprint": wanted.thumbprint, "audiences": [AUDIENCE, "hub"], "roles": roles, "buckets": wanted.buckets,
        });
        let mut command = Command::new(&self.python);
        command.arg(script("administer.py")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("administer.py")?;
        child.stdin.take().context("its input")?.write_all(asked.to_string().as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "administer.py: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// A script of a person's in a lab: `boto3`, `s3fs` or `rclone`, for so many seconds.
    pub async fn use_with(&self, lab: &Lab, kind: &str, seconds: u64, bucket: &str) -> Result<Used> {
        let rclone = place::command("rclone").unwrap_or_default().display().to_string();
        let arguments =
            [&script("use.py").display().to_string(), kind, &seconds.to_string(), bucket, &rclone].map(str::to_owned);
        let said = lab.run(&self.python, &arguments).await?;
        serde_json::from_str(&said).with_context(|| said.clone())
    }

    /// Who a program in a lab is, by the word of an object store.
    pub async fn whoami(&self, lab: &Lab, endpoint: &str) -> Result<String> {
        let script = script("use.py").display().to_string();
        let arguments = [&script, "whoami", "0", "-", endpoint].map(str::to_owned);
        let said: Value = serde_json::from_str(&lab.run(&self.python, &arguments).await?)?;
        Ok(said.as_str().context("an ARN")?.to_owned())
    }

    /// The command line of AWS, in a lab.
    pub async fn aws(&self, lab: &Lab, arguments: &[&str]) -> Result<String> {
        let mut all = vec![self.python.with_file_name("aws").display().to_string()];
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        lab.run(&self.python, &all).await
    }

    /// The interpreter itself.
    pub fn python(&self) -> &Path {
        &self.python
    }

    fn moto_server(&self) -> PathBuf {
        self.python.with_file_name("moto_server")
    }
}

fn script(name: &str) -> PathBuf {
    place::package().join("object_store").join(name)
}

/// A lab, as programs in it see it: its environment.
#[derive(Clone)]
pub struct Lab(pub BTreeMap<String, String>);

impl Lab {
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Runs a program in it, and gives what it says; an error with its complaints when it fails.
    pub async fn run(&self, program: &Path, arguments: &[String]) -> Result<String> {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(&self.0).stdin(Stdio::null());
        let shown = format!("{} {}", program.display(), arguments.join(" "));
        let output = tokio::task::spawn_blocking(move || command.output()).await?.context(shown.clone())?;
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "{shown}: {said} {complained}");
        Ok(said.into_owned())
    }
}
