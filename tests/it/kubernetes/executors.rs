//! A program in a lab makes an executor, as Spark's driver does, which comes back to it and finds keys of the object store.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::docker::{built_lab, gateway, image};
use tests::kubernetes::{Cluster, kubeconfig};
use tests::object_store::tools;
use tests::{need, place, provider, until};
use tokio::net::{TcpListener, TcpStream};

use super::{SOON, nothing_is_left};
use crate::oidc::{Entry, House, keeping};
use crate::storage::{storage, with_storage, world};

/// The role that the chart makes, which goes when this is dropped.
struct Role<'a>(&'a Cluster, String);

impl<'a> Role<'a> {
    fn new(cluster: &'a Cluster) -> Result<Role<'a>> {
        let file = place::package().join("../deploy/helm/files/executors.json");
        let rules: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
        let name = format!("{}-executors", cluster.namespace);
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": name }, "rules": rules,
        });
        cluster.apply(&role)?;
        Ok(Role(cluster, name))
    }
}

impl Drop for Role<'_> {
    fn drop(&mut self) {
        let end = || -> Result<()> {
            self.0.kubectl(&["delete", "clusterrole", &self.1, "--wait=false"])?;
            // What a hub leaves that did not stop the server.
            let mark = format!("namespace/{}-", self.1.replace("-executors", "--executors"));
            let all = self.0.kubectl(&["get", "namespaces", "-l", "specola.executors", "-o", "name"])?;
            for left in all.lines().filter(|name| name.starts_with(&mark)) {
                self.0.kubectl(&["delete", left, "--wait=false"])?;
            }
            Ok(())
        };
        if let Err(error) = end() {
            eprintln!("something is left in the cluster: {error}");
        }
    }
}

/// An address at which pods reach the API server, which may listen on this machine alone.
async fn reached_by_pods(cluster: &Cluster) -> Result<SocketAddr> {
    let server = cluster.kubectl(&["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"])?;
    let server = server.strip_prefix("https://").context("TLS")?.to_owned();
    let listener = TcpListener::bind((gateway()?, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut pod, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                if let Ok(mut there) = TcpStream::connect(server).await {
                    // How either leaves is its own affair.
                    let _ = tokio::io::copy_bidirectional(&mut pod, &mut there).await;
                }
            });
        }
    });
    Ok(address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_comes_back_to_its_lab_and_finds_keys_and_goes_with_the_lab() -> Result<()> {
    let cluster = Cluster::new(&need!(kubeconfig(), "a Kubernetes cluster", "SPECOLA_REQUIRE_KUBERNETES"))?;
    let image = need!(image(), "a Docker engine", "SPECOLA_REQUIRE_KUBERNETES");
    let agent = need!(built_lab(), "the image lab", "SPECOLA_REQUIRE_DOCKER");
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let tools = need!(tools(), "moto with boto3", "SPECOLA_REQUIRE_OBJECT_STORE");
    let role = Role::new(&cluster)?;
    let (provider, moto, roles) = world(&tools, &installed).await?;
    let main = storage("main", &moto.endpoint(), &[("\"users\"", &roles["users"])], "duration = 3600");
    // The packages of Python that an image for executors would have.
    let folder = tools.python().parent().and_then(|bin| bin.parent()).context("an environment")?.join("lib");
    let packages = std::fs::read_dir(folder)?.next().context("a library")??.path().join("site-packages");
    let profiles =
        r#"[{ display_name = "Spark", slug = "spark", kubespawner_override = { executors = { pods = 4 } } }]"#;
    let api = format!("https://{}", reached_by_pods(&cluster).await?);
    let options = cluster
        .options(&image)?
        .set("spawner", "cmd", "[\"python3\", \"/labs/executors.py\"]")
        .set("spawner.environment", "API_SERVER", &format!("{api:?}"))
        .set("spawner.kubernetes.executor_namespaces", "role", &format!("{:?}", role.1))
        .set("spawner.kubernetes.executor_namespaces", "agent_image", &format!("{agent:?}"))
        .set("spawner.kubernetes.executor_namespaces", "pod_security", "\"privileged\"")
        .set(
            "options",
            "profile_list",
            &profiles.replace(
                "pods = 4",
                &format!(
                    "pods = 4, pod = {{ volumes = [{{ name = \"packages\", hostPath = {{ path = {packages:?} }} }}] }}"
                ),
            ),
        );
    let house = House::at(provider, &Entry::by_group(), |own| with_storage(keeping(own).and(options), &[main])).await?;
    let mut anna = house.signed_in("anna").await?;
    anna.start_server("anna").await.with_context(|| house.specola.log())?;
    let said: Value = anna.get("/user/anna/execute").await?.expect(&[200])?.json()?;
    let place = format!("{}--executors-", cluster.namespace);
    ensure!(said["namespace"].as_str().is_some_and(|name| name.starts_with(&place)), "{said}");
    assert_eq!(said["came_from_it"], true, "{said}");
    assert_eq!(
        said["told"],
        json!({ "method": "container-role", "key": true, "session": true, "endpoint": moto.endpoint(), "hub": false }),
    );
    assert_eq!(said["far"], json!({ "secrets": 403, "labs": 403, "everybody": 403 }), "{said}");

    let namespace = said["namespace"].as_str().context("its namespace")?.to_owned();
    let there = || cluster.kubectl(&["get", "namespace", &namespace, "--ignore-not-found", "-o", "name"]);
    ensure!(!there()?.is_empty(), "it is there");
    anna.stop_server("anna").await?;
    nothing_is_left(&cluster).await?;
    until("its executors go with it", SOON, async || Ok(there()?.is_empty().then_some(()))).await
}
