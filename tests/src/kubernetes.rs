//! A real Kubernetes cluster: where hubs put their labs in pods, in a namespace of the test's own.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};

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

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]) {
            eprintln!("the namespace is left: {error}");
        }
    }
}
