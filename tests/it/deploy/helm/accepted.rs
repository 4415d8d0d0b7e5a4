//! Every object before a real API server.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::kubernetes::{Cluster, kubeconfig};
use tests::need;

use super::{VALUES, helm};

/// What no cluster of the tests knows: kinds of other people's.
const FOREIGN: [&str; 4] = ["ServiceMonitor", "PrometheusRule", "HTTPRoute", "Gateway"];

/// Gives `kubectl` objects, which it tells apart in what it says.
fn applied(cluster: &Cluster, objects: &[Value]) -> Result<()> {
    let file = kubeconfig().context("a cluster")?;
    let mut command = Command::new("kubectl");
    command.args(["--kubeconfig", &file, "--namespace", &cluster.namespace, "apply", "--dry-run=server", "-f", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    child.stdin.take().context("its input")?.write_all(list.to_string().as_bytes())?;
    let done = child.wait_with_output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let told = String::from_utf8_lossy(&done.stdout);
    assert_eq!(told.lines().filter(|line| line.ends_with("(server dry run)")).count(), objects.len(), "{told}");
    Ok(())
}

/// The version that the cluster tells. One that was built by hand may not know its own.
pub(super) fn version(cluster: &Cluster) -> Result<Option<String>> {
    let told: Value = serde_json::from_str(&cluster.kubectl(&["version", "-o", "json"])?)?;
    let told = told["serverVersion"]["gitVersion"].as_str().context("a version")?;
    Ok((!told.starts_with("v0.0.0")).then(|| told.to_owned()))
}

#[test]
fn every_object_is_taken_by_a_real_api_server() -> Result<()> {
    let helm = helm!();
    let cluster = Cluster::new(&need!(kubeconfig(), "a Kubernetes cluster", "SPECOLA_REQUIRE_KUBERNETES"))?;
    let version = version(&cluster)?.unwrap_or_else(|| "1.20.2".to_owned());
    let mut taken = BTreeSet::new();
    for values in VALUES {
        // A cluster with addresses of one family refuses those of the other: everything else of these values is tried.
        let more = ["--kube-version", &version, "--namespace", &cluster.namespace, "--set", "network.ipFamily=IPv4"];
        let mut objects = helm.render(values, &more)?.objects;
        objects.retain(|object| FOREIGN.iter().all(|kind| object["kind"] != *kind));
        applied(&cluster, &objects).with_context(|| format!("{values:?}"))?;
        taken.extend(objects.iter().filter_map(|object| object["kind"].as_str().map(str::to_owned)));
    }
    ensure!(taken.len() >= 18, "{taken:?}");
    Ok(())
}
