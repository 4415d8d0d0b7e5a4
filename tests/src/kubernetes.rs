//! A real Kubernetes cluster: where hubs put their labs in pods, in a namespace of the test's own.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::docker::{docker, gateway};
use crate::place;
use crate::specola::Options;

/// What one test makes in the cluster: a namespace, which goes with all that is in it.
pub struct Cluster {
    /// The namespace.
    pub namespace: String,
    kubeconfig: String,
}

/// The kubeconfig of a cluster that tests may use, whose pods are in the network of this machine's engine.
pub fn kubeconfig() -> Option<String> {
    std::env::var("SPECOLA_KUBECONFIG").ok().filter(|file| !file.is_empty())
}

impl Cluster {
    /// Makes the namespace.
    pub fn new(kubeconfig: &str) -> Result<Cluster> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("hub-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let cluster = Cluster { namespace, kubeconfig: kubeconfig.to_owned() };
        cluster.kubectl(&["create", "namespace", &cluster.namespace])?;
        Ok(cluster)
    }

    /// A hub that pods reach, with pods for labs, started from an image of the machine's engine.
    pub fn options(&self, image: &str) -> Result<Options> {
        let labs = place::package().join("labs").display().to_string();
        let volumes = format!(r#"[{{ name = "labs", hostPath = {{ path = {labs:?} }} }}]"#);
        Ok(Options::default()
            .set("hub", "hub_ip", &format!("{:?}", gateway()?))
            .set("spawner", "driver", "\"kubernetes\"")
            .set("spawner", "cmd", "[\"python3\", \"/labs/quick.py\"]")
            .set("spawner", "start_timeout", "60")
            .set("spawner", "http_timeout", "60")
            .set("spawner.kubernetes", "kubeconfig", &format!("{:?}", self.kubeconfig))
            .set("spawner.kubernetes", "namespace", &format!("{:?}", self.namespace))
            .set("spawner.kubernetes", "image", &format!("{image:?}"))
            .set("spawner.kubernetes", "image_pull_policy", "\"IfNotPresent\"")
            .set("spawner.kubernetes", "delete_grace_period", "2")
            .set("spawner.kubernetes", "uid", "1000")
            .set("spawner.kubernetes", "volumes", &volumes)
            .set("spawner.kubernetes", "volume_mounts", r#"[{ name = "labs", mountPath = "/labs", readOnly = true }]"#))
    }

    /// The names of all pods.
    pub fn pods(&self) -> Result<Vec<String>> {
        let names = self.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].metadata.name}"])?;
        Ok(names.split_whitespace().map(str::to_owned).collect())
    }

    /// All that is in the namespace of what servers have, by kind and name.
    pub fn things(&self) -> Result<Vec<String>> {
        let kinds = ["pods", "services", "persistentvolumeclaims"].join(",");
        let mut all = self.kubectl(&["get", &kinds, "-o", "name"])?;
        // Every namespace has secrets of the cluster's own.
        all += "\n";
        all += &self.kubectl(&["get", "secrets", "--field-selector", "type=Opaque", "-o", "name"])?;
        Ok(all.split_whitespace().map(str::to_owned).collect())
    }

    /// Makes what the cluster itself would make of this.
    pub fn apply(&self, object: &Value) -> Result<()> {
        let mut command = Command::new("kubectl");
        command.args(["--kubeconfig", &self.kubeconfig, "apply", "-f", "-"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        child.stdin.take().context("its input")?.write_all(object.to_string().as_bytes())?;
        ensure!(child.wait()?.success(), "{object}");
        Ok(())
    }

    /// What is kept for these claims, in a cluster of which no class provides any.
    pub fn volumes(&self, claims: &[String]) -> Result<Volumes> {
        let folder = tempfile::tempdir()?;
        let mut items = Vec::new();
        for claim in claims {
            let own = folder.path().join(claim);
            std::fs::create_dir(&own)?;
            std::os::unix::fs::chown(&own, Some(1000), Some(1000))?;
            items.push(json!({
                "apiVersion": "v1", "kind": "PersistentVolume",
                "metadata": { "name": format!("{}-{claim}", self.namespace), "labels": { "hub-test": self.namespace } },
                "spec": {
                    "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
                    "persistentVolumeReclaimPolicy": "Retain", "hostPath": { "path": own.display().to_string() },
                    "claimRef": { "name": claim, "namespace": self.namespace },
                },
            }));
        }
        let volumes = Volumes {
            number: claims.len(),
            label: format!("hub-test={}", self.namespace),
            kubeconfig: self.kubeconfig.clone(),
            _folder: folder,
        };
        self.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": items }))?;
        Ok(volumes)
    }

    /// The container of the one lab there is, on the machine's engine.
    pub fn container(&self) -> Result<String> {
        let of = format!("label=io.kubernetes.pod.namespace={}", self.namespace);
        let filters = ["ps", "-q", "--filter", &of, "--filter", "label=io.kubernetes.container.name=notebook"];
        docker(&filters)
    }

    /// What Kubernetes' own client says, of this namespace; it has to succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let whole = [&["--kubeconfig", &self.kubeconfig, "--namespace", &self.namespace], arguments].concat();
        let output = Command::new("kubectl").args(whole).output()?;
        ensure!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// Storage that was made beforehand. It goes when this is dropped.
pub struct Volumes {
    /// How many there are.
    pub number: usize,
    label: String,
    kubeconfig: String,
    _folder: TempDir,
}

impl Drop for Volumes {
    fn drop(&mut self) {
        let arguments = ["--kubeconfig", &self.kubeconfig, "delete", "pv", "-l", &self.label, "--wait=false"];
        match Command::new("kubectl").args(arguments).stdout(Stdio::null()).status() {
            Ok(status) if status.success() => {}
            other => eprintln!("volumes are left: {other:?}"),
        }
    }
}

/// What kills parts of the cluster and brings them back: a program that `SPECOLA_CLUSTER_TROUBLE` names.
pub struct Trouble {
    program: PathBuf,
    dead: Mutex<BTreeSet<&'static str>>,
}

impl Trouble {
    /// None where the cluster's parts cannot be killed.
    pub fn new() -> Option<Trouble> {
        let program = std::env::var_os("SPECOLA_CLUSTER_TROUBLE").filter(|program| !program.is_empty())?;
        Some(Trouble { program: program.into(), dead: Mutex::default() })
    }

    fn dead(&self) -> std::sync::MutexGuard<'_, BTreeSet<&'static str>> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part dies as by `kill -9`.
    pub async fn stop(&self, part: &'static str) -> Result<()> {
        self.dead().insert(part);
        self.tell("stop", part).await
    }

    /// It begins again.
    pub async fn start(&self, part: &'static str) -> Result<()> {
        self.tell("start", part).await?;
        self.dead().remove(part);
        Ok(())
    }

    async fn tell(&self, what: &'static str, part: &'static str) -> Result<()> {
        let mut command = self.command(what, part);
        let status = tokio::task::spawn_blocking(move || command.status()).await?;
        let status = status.with_context(|| self.program.display().to_string())?;
        ensure!(status.success(), "{} {what} {part}: {status}", self.program.display());
        Ok(())
    }

    fn command(&self, what: &str, part: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args([what, part]).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        for part in self.dead().iter() {
            if let Err(error) = self.command("start", part).status() {
                eprintln!("the cluster is left without its {part}: {error}");
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]) {
            eprintln!("the namespace is left: {error}");
        }
    }
}
