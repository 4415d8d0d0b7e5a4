//! A release in a real cluster.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::kubernetes::{Cluster, kubeconfig};
use tests::place;

use super::super::{docker, file, run};
use super::Helm;
use super::accepted::version;

mod certificate;
mod one;
mod secured;
mod services;
mod several;

const PASSWORD: &str = "a long one of their own";

/// What all releases have: two proxies, and labs that are up at once.
fn values(hub: &str, lab: &str) -> Result<Value> {
    let (image, tag) = hub.rsplit_once(':').context("a tag")?;
    let (lab, lab_tag) = lab.rsplit_once(':').unwrap_or((lab, "latest"));
    let labs = place::package().join("labs").display().to_string();
    Ok(json!({
        "hub": {
            "image": { "name": image, "tag": tag, "pullPolicy": "Never" },
            "config": {
                "spawner": { "cmd": ["python3", "/labs/quick.py"], "kubernetes": { "delete_grace_period": 2 } },
            },
        },
        "proxy": { "replicas": 2, "service": { "type": "ClusterIP" }, "pdb": { "enabled": true } },
        "singleuser": {
            "image": { "name": lab, "tag": lab_tag, "pullPolicy": "Never" },
            "memory": { "guarantee": "64M" },
            "storage": {
                "type": "none",
                "extraVolumes": [{ "name": "labs", "hostPath": { "path": labs } }],
                "extraVolumeMounts": [{ "name": "labs", "mountPath": "/labs", "readOnly": true }],
            },
        },
    }))
}

/// A release in a cluster. It goes when it is dropped, before the namespace.
struct Release<'a> {
    helm: &'a Helm,
    cluster: &'a Cluster,
    values: PathBuf,
    /// Where the hub's volume is, by its name.
    volume: String,
    folder: TempDir,
}

impl<'a> Release<'a> {
    /// What a cluster with neither names of services nor addresses of services needs: one hub in the machine's network, with
    /// its database on a volume.
    fn of_one(helm: &'a Helm, cluster: &'a Cluster, hub: &str, lab: &str) -> Result<Release<'a>> {
        let gateway = tests::docker::gateway()?;
        let server =
            cluster.kubectl(&["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"])?;
        let mut values = values(hub, lab)?;
        values["hub"]["config"]["hub"] = json!({ "hub_connect_url": format!("http://{gateway}:8081") });
        values["hub"]["config"]["spawner"]["kubernetes"]["k8s_api_host"] = json!(server);
        values["hub"]["extraPodSpec"] = json!({ "hostNetwork": true });
        values["hub"]["db"] = json!({ "pvc": { "storageClassName": "", "storage": "1Mi" } });
        values["proxy"]["config"] = json!({ "control_url": format!("http://{gateway}:8001") });
        let release = Release::new(helm, cluster, &values)?;
        let data = release.folder.path().join("data");
        fs::create_dir(&data)?;
        std::os::unix::fs::chown(&data, Some(1000), Some(1000))?;
        // Whoever the hub is in the pod has to come through.
        fs::set_permissions(release.folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": release.volume },
            "spec": {
                "capacity": { "storage": "1Mi" }, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
                "persistentVolumeReclaimPolicy": "Retain", "hostPath": { "path": data.display().to_string() },
                "claimRef": { "name": "hub-db-dir", "namespace": cluster.namespace },
            },
        });
        let volume_file = release.folder.path().join("volume.json");
        fs::write(&volume_file, volume.to_string())?;
        cluster.kubectl(&["apply", "-f", &volume_file.display().to_string()])?;
        Ok(release)
    }

    /// What is to be installed, with nothing in the cluster yet.
    fn new(helm: &'a Helm, cluster: &'a Cluster, values: &Value) -> Result<Release<'a>> {
        let folder = tempfile::tempdir()?;
        let written = folder.path().join("values.json");
        fs::write(&written, values.to_string())?;
        let release = Release { helm, cluster, values: written, volume: format!("{}-hub", cluster.namespace), folder };
        run(Command::new("cp").arg("-r").arg(file("deploy/helm")).arg(release.chart()))?;
        if version(cluster)?.is_none() {
            let about = release.chart().join("Chart.yaml");
            let text = fs::read_to_string(&about)?;
            fs::write(
                about,
                text.lines().filter(|line| !line.starts_with("kubeVersion")).collect::<Vec<_>>().join("\n"),
            )?;
        }
        Ok(release)
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.helm.command();
        command.args(arguments).args(["--namespace", &self.cluster.namespace]);
        command.args(["--kubeconfig", &kubeconfig().context("a cluster")?]);
        Ok(command)
    }

    /// The chart, without what a cluster that does not know its version cannot fulfil.
    fn chart(&self) -> PathBuf {
        self.folder.path().join("chart")
    }

    /// Installs or upgrades it, and waits until it is as it should be.
    fn upgrade(&self, more: &[&str]) -> Result<String> {
        let chart = self.chart().display().to_string();
        let mut command = self.command(&["upgrade", "--install", "here", &chart, "--wait", "--timeout", "4m"])?;
        run(command.arg("--values").arg(&self.values).args(more))
    }

    /// The container of a pod, on the machine's engine.
    fn container(&self, name: &str) -> Result<String> {
        let of = format!("label=io.kubernetes.pod.namespace={}", self.cluster.namespace);
        let called = format!("label=io.kubernetes.container.name={name}");
        let found = docker(&["ps", "-q", "--filter", &of, "--filter", &called])?;
        Ok(found.lines().next().with_context(|| format!("no container {name}"))?.to_owned())
    }

    /// Says a command of the hub's in its pod.
    fn specola(&self, arguments: &[&str], input: &str) -> Result<()> {
        let mut command = Command::new("docker");
        command.args(["exec", "-i", &self.container("hub")?, "specola"]).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("its input")?.write_all(input.as_bytes())?;
        let done = child.wait_with_output()?;
        ensure!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }

    /// The pods of a component that run and are not about to go.
    fn pods(&self, component: &str) -> Result<Vec<Value>> {
        let of = format!("component={component}");
        let list = ["get", "pods", "-l", &of, "--field-selector=status.phase=Running", "-o", "json"];
        let pods: Value = serde_json::from_str(&self.cluster.kubectl(&list)?)?;
        let pods = pods["items"].as_array().context("pods")?;
        Ok(pods.iter().filter(|pod| pod["metadata"].get("deletionTimestamp").is_none()).cloned().collect())
    }

    /// Where the proxies are.
    fn proxies(&self) -> Result<Vec<String>> {
        let pods = self.pods("proxy")?;
        Ok(pods.iter().filter_map(|pod| Some(format!("http://{}:8000", pod["status"]["podIP"].as_str()?))).collect())
    }

    /// What is told when something is not as it should be.
    fn state(&self) -> String {
        let said = |arguments: &[&str]| self.cluster.kubectl(arguments).unwrap_or_else(|error| format!("{error:#}"));
        let log = |name: &str| {
            let id = self.container(name).unwrap_or_default();
            let done = Command::new("docker").args(["logs", "--tail", "40", &id]).output();
            done.map(|done| String::from_utf8_lossy(&done.stderr).into_owned()).unwrap_or_default()
        };
        format!("{}\n{}\n{}", said(&["get", "all,events"]), log("hub"), log("proxy"))
    }
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        if let Ok(mut command) = self.command(&["uninstall", "here", "--wait"]) {
            let _ = run(&mut command);
        }
        let _ = self.cluster.kubectl(&["delete", "pvc", "hub-db-dir", "--wait=false", "--ignore-not-found"]);
        let _ = self.cluster.kubectl(&["delete", "pv", &self.volume, "--wait=false", "--ignore-not-found"]);
    }
}
