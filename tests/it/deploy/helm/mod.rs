//! `deploy/helm`, rendered by the real Helm: what is in it, what its hub would read, and whether a real API server takes it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use tempfile::TempDir;
use tests::place;

use super::{file, run};

macro_rules! helm {
    () => {
        need!(helm()?, "Helm", "SPECOLA_REQUIRE_HELM")
    };
}

mod accepted;
mod configuration;
mod images;
mod internal_ssl;
mod metrics;
mod network;
mod placement;
mod release;
mod rights;

/// The values in `tests/helm`; with none, the chart's own.
const VALUES: [&[&str]; 7] = [&[], &["everything"], &["executors"], &["ipv6"], &["postgres"], &["secret"], &["manual"]];
const SECRETS: &str = "/run/specola/secret";

/// Helm, with folders of its own.
struct Helm {
    program: PathBuf,
    folder: TempDir,
}

impl Helm {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_remove("KUBECONFIG").current_dir(self.folder.path());
        for of in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{of}_HOME"), self.folder.path().join(of));
        }
        command
    }

    fn with(&self, what: &[&str], values: &[&str], more: &[&str]) -> Command {
        let mut command = self.command();
        command.args(what).arg(file("deploy/helm"));
        for name in values {
            command.arg("--values").arg(file("tests/helm").join(format!("{name}.yaml")));
        }
        command.args(more);
        command
    }

    /// What the chart comes to.
    fn render(&self, values: &[&str], more: &[&str]) -> Result<Rendered> {
        let text = run(&mut self.with(&["template", "here", "--namespace", "labs"], values, more))?;
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(&text).map_err(|error| anyhow::anyhow!("{values:?}: {error}\n{text}"))?;
        Ok(Rendered { objects: objects.into_iter().filter(|object| !object.is_null()).collect() })
    }
}

/// Helm as `tests/run` has built it: its parts that render and lint, or the whole of it.
fn helm() -> Result<Option<Helm>> {
    let given = std::env::var_os("SPECOLA_HELM").map(PathBuf::from);
    let kept = ["helm", "helm-render"].map(|name| place::target().join("tests/go/bin").join(name));
    let found = given.into_iter().chain(kept).find(|path| path.is_file());
    found.map(|program| Ok(Helm { program, folder: tempfile::tempdir()? })).transpose()
}

/// The objects of a release.
struct Rendered {
    objects: Vec<Value>,
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

impl Rendered {
    fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    fn get(&self, kind: &str, called: &str) -> Result<&Value> {
        let there: Vec<&str> = self.of(kind).map(name).collect();
        self.of(kind).find(|object| name(object) == called).with_context(|| format!("{kind} {called} in {there:?}"))
    }

    /// What pods are made of, with where that is said.
    fn pods(&self) -> impl Iterator<Item = (String, &Value)> {
        self.objects.iter().filter_map(|object| {
            let spec = object.pointer("/spec/template/spec")?;
            Some((format!("{} {}", object["kind"], name(object)), spec))
        })
    }

    /// The configuration of a component, with its secrets where this machine has them, and the environment that goes with it.
    fn configuration(&self, called: &str, folder: &Path) -> Result<(PathBuf, Vec<(String, String)>)> {
        let text = self.get("ConfigMap", called)?["data"]["specola.toml"].as_str().context("specola.toml")?;
        let secrets = folder.join("secrets");
        fs::create_dir_all(&secrets)?;
        let mut environment = Vec::new();
        for (key, value) in self.of("Secret").flat_map(|secret| secret["data"].as_object()).flatten() {
            let value = BASE64_STANDARD.decode(value.as_str().context("a text")?)?;
            let variable = match key.as_str() {
                "hub.config.JupyterHub.cookie_secret" => Some("JPY_COOKIE_SECRET"),
                "hub.config.CryptKeeper.keys" => Some("JUPYTERHUB_CRYPT_KEY"),
                _ => None,
            };
            if let Some(variable) = variable {
                environment.push((variable.to_owned(), String::from_utf8(value.clone())?));
            }
            keep(&secrets.join(key), &value)?;
        }
        let path = folder.join(format!("{called}.toml"));
        keep(&path, text.replace(SECRETS, &secrets.display().to_string()).as_bytes())?;
        Ok((path, environment))
    }
}

/// Writes a file for nobody else.
fn keep(path: &Path, content: &[u8]) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(content)?)
}
