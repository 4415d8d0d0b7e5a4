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

/// Gives `kubectl` objects to make, or to take away.
fn with(cluster: &Cluster, what: &[&str], objects: &[Value]) -> Result<()> {
    let file = kubeconfig().context("a cluster")?;
    let mut command = Command::new("kubectl");
    command.args(["--kubeconfig", &file, "--namespace", &cluster.namespace]).args(what).args(["-f", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    child.stdin.take().context("its input")?.write_all(list.to_string().as_bytes())?;
    let done = child.wait_with_output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// Roles and accounts of a release, in the cluster until it is dropped.
struct Rights<'a> {
    cluster: &'a Cluster,
    objects: Vec<Value>,
}

impl<'a> Rights<'a> {
    fn of(cluster: &'a Cluster, objects: Vec<Value>) -> Result<Self> {
        let kinds = ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
        let objects = objects.into_iter().filter(|object| {
            kinds.iter().any(|kind| object["kind"] == *kind)
                && object["metadata"]["annotations"]["helm.sh/hook"].is_null()
        });
        let rights = Rights { cluster, objects: objects.collect() };
        with(cluster, &["apply"], &rights.objects)?;
        Ok(rights)
    }

    /// What the cluster itself says an account of the release may do.
    fn may(&self, account: &str, question: &[&str]) -> Result<bool> {
        let file = kubeconfig().context("a cluster")?;
        let account = format!("system:serviceaccount:{}:{account}", self.cluster.namespace);
        let mut command = Command::new("kubectl");
        command.args(["--kubeconfig", &file, "auth", "can-i", "--as", &account]).args(question);
        let said = command.output()?;
        match String::from_utf8_lossy(&said.stdout).trim() {
            "yes" => Ok(true),
            no if no.starts_with("no") => Ok(false),
            _ => anyhow::bail!("{question:?}: {}", String::from_utf8_lossy(&said.stderr)),
        }
    }
}

impl Drop for Rights<'_> {
    fn drop(&mut self) {
        if let Err(error) = with(self.cluster, &["delete", "--ignore-not-found", "--wait=false"], &self.objects) {
            eprintln!("rights are left in the cluster: {error}");
        }
    }
}

#[test]
fn the_cluster_says_that_hub_and_proxy_may_do_what_they_need_and_no_more() -> Result<()> {
    let helm = helm!();
    let cluster = Cluster::new(&need!(kubeconfig(), "a Kubernetes cluster", "SPECOLA_REQUIRE_KUBERNETES"))?;
    let own = cluster.namespace.as_str();
    let more = ["--kube-version", "1.20.2", "--namespace", own];
    // A namespace for each person.
    let rights = Rights::of(&cluster, helm.render(&["postgres"], &more)?.objects)?;
    let role = format!("clusterrole/{own}-here-hub-servers");
    for (question, allowed) in [
        (vec!["list", "pods", "--all-namespaces"], true),
        (vec!["watch", "events", "--all-namespaces"], true),
        (vec!["create", "namespaces"], true),
        (vec!["create", "rolebindings", "--namespace", "default"], true),
        (vec!["bind", role.as_str()], true),
        (vec!["create", "pods", "--namespace", own], true),
        (vec!["bind", "clusterrole/cluster-admin"], false),
        (vec!["create", "clusterrolebindings"], false),
        (vec!["delete", "namespaces"], false),
        (vec!["patch", "namespaces"], false),
        (vec!["create", "pods", "--namespace", "default"], false),
        (vec!["delete", "pods", "--namespace", "default"], false),
        (vec!["get", "pods", "--subresource=log", "--namespace", "default"], false),
        (vec!["delete", "persistentvolumeclaims", "--namespace", "default"], false),
        (vec!["list", "secrets", "--all-namespaces"], false),
        (vec!["get", "secrets", "--namespace", own], false),
    ] {
        assert_eq!(rights.may("hub", &question)?, allowed, "{question:?}");
    }
    drop(rights);
    // A certificate of an authority for all proxies.
    let rights = Rights::of(&cluster, helm.render(&["everything"], &more)?.objects)?;
    for (verb, what, allowed) in [
        ("get", "secrets/lab-proxy-acme", true),
        ("patch", "secrets/lab-proxy-acme", true),
        ("delete", "secrets/lab-proxy-acme", false),
        ("get", "secrets/lab-hub", false),
        ("list", "secrets", false),
        ("create", "secrets", false),
        ("get", "pods", false),
    ] {
        assert_eq!(rights.may("lab-proxy", &[verb, what, "--namespace", own])?, allowed, "{verb} {what}");
    }
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
