//! Several hubs on one PostgreSQL: rolled, killed, and spared a wrong configuration, while people work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::kubernetes::Cluster;
use tests::postgres::{Postgres, programs};
use tests::{Session, need, until};
use tokio::task::JoinHandle;
use url::Url;

use super::super::super::{base, docker, hub};
use super::super::helm;
use super::services::Services;
use super::{PASSWORD, Release, values};

const SOON: Duration = Duration::from_secs(90);

/// Somebody who asks hub and lab, over and over, and counts.
struct Visitor {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    asks: JoinHandle<Result<()>>,
}

impl Visitor {
    /// Every answer has to be right.
    fn new(mut session: Session) -> Visitor {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (told, count) = (stop.clone(), asked.clone());
        let asks = tokio::spawn(async move {
            // As fast as a person who is in a hurry, not as fast as can be: hubs start on the same machine.
            let mut pace = tokio::time::interval(Duration::from_millis(50));
            while !told.load(Ordering::Relaxed) {
                pace.tick().await;
                for path in ["/hub/api/user", "/hub/api/users/ada", "/user/ada/"] {
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    session
                        .get(path)
                        .await
                        .and_then(|answer| answer.expect(&[200]))
                        .with_context(|| format!("request {number}, {path} by {}", session.origin()))?;
                }
            }
            Ok(())
        });
        Visitor { stop, asked, asks }
    }

    /// How many requests were answered, all of them.
    async fn end(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.asks.await??;
        Ok(self.asked.load(Ordering::Relaxed))
    }
}

/// What they are told apart by.
fn uids(pods: &[Value]) -> Vec<&str> {
    pods.iter().filter_map(|pod| pod["metadata"]["uid"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_hubs_are_rolled_and_killed_while_people_work_and_a_wrong_configuration_changes_nothing() -> Result<()>
{
    let helm = helm!();
    let speaks = helm.command().arg("version").output()?.status.success();
    let helm = need!(speaks.then_some(helm), "the whole of Helm", "SPECOLA_REQUIRE_KUBERNETES");
    let cluster =
        Cluster::new(&need!(tests::kubernetes::kubeconfig(), "a Kubernetes cluster", "SPECOLA_REQUIRE_KUBERNETES"))?;
    let lab = need!(base(), "an engine with a base image", "SPECOLA_REQUIRE_KUBERNETES");
    let database = Postgres::start(&need!(programs(), "PostgreSQL", "SPECOLA_REQUIRE_POSTGRES"))?;

    let gateway = tests::docker::gateway()?;
    let mut services = Services::new(&cluster)?;
    let server = cluster.kubectl(&["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"])?;
    let [server, sql] = [&server, &database.url()].map(|url| -> Result<String> {
        let url: Url = url.parse()?;
        Ok(format!("{}:{}", url.host_str().context("a host")?, url.port_or_known_default().context("a port")?))
    });
    let api = services.pass(&gateway, server?).await?;
    let sql = services.pass(&gateway, sql?).await?;
    let (http, control) = (services.open(&gateway, "hub").await?, services.open(&gateway, "hub-control").await?);

    let mut values = values(&hub()?, &lab)?;
    values["hub"]["replicas"] = json!(2);
    values["hub"]["db"] =
        json!({ "type": "postgres", "url": format!("postgresql://postgres@{gateway}:{sql}/postgres") });
    values["hub"]["config"]["hub"] = json!({ "hub_connect_url": format!("http://{gateway}:{http}") });
    // By the name that the certificate of every API server has.
    let name = "kubernetes.default.svc";
    values["hub"]["config"]["spawner"]["kubernetes"]["k8s_api_host"] = json!(format!("https://{name}:{api}"));
    values["hub"]["extraPodSpec"] = json!({ "hostAliases": [{ "ip": gateway, "hostnames": [name] }] });
    values["proxy"]["config"] = json!({ "control_url": format!("http://{gateway}:{control}") });
    let release = Release::new(&helm, &cluster, &values)?;
    release.upgrade(&[]).with_context(|| release.state())?;
    let first = release.pods("hub")?;
    assert_eq!((first.len(), services.count("hub")), (2, 2), "{}", release.state());
    ensure!(cluster.kubectl(&["get", "pdb", "hub", "-o", "jsonpath={.spec.minAvailable}"])? == "1");

    // What one hub is told the other knows; a login holds at both, and a server that one starts is reached by each proxy.
    release.specola(&["user", "add", "ada", "--admin"], "")?;
    release.specola(&["user", "password", "ada"], &format!("{PASSWORD}\n"))?;
    let proxies = release.proxies()?;
    assert_eq!(proxies.len(), 2, "{proxies:?}");
    let mut ada = Session::new(&proxies[0])?;
    ada.log_in("ada", PASSWORD).await?.expect(&[302, 303])?;
    ada.start_server("ada").await.with_context(|| release.state())?;
    let token = ada.new_token("ada").await?;
    let mut pids = Vec::new();
    for proxy in &proxies {
        pids.push(ada.at(proxy)?.get("/user/ada/").await?.expect(&[200])?.json()?["pid"].clone());
    }
    assert_eq!(pids[0], pids[1]);
    for pod in &first {
        let address = pod["status"]["podIP"].as_str().context("an address")?;
        ada.at(&format!("http://{address}:8081"))?.get("/hub/home").await?.expect(&[200])?;
    }

    // A configuration that no hub would take fails before anything is changed, and Helm tells what is wrong with it.
    let visitors = |proxies: &[String]| -> Result<Vec<Visitor>> {
        proxies.iter().map(|proxy| Ok(Visitor::new(Session::new(proxy)?.with_token(&token)))).collect()
    };
    let those = visitors(&proxies)?;
    let refused = release.upgrade(&["--set", "hub.config.hub.concurent_spawn_limit=3"]).map(drop).unwrap_err();
    let told = "jsonpath={.items[0].status.containerStatuses[0].state.terminated.message}";
    let log = cluster.kubectl(&["get", "pods", "-l", "component=hub-check-config", "-o", told])?;
    ensure!(format!("{refused:#}").contains("hub-check-config"), "{refused:#}");
    ensure!(log.contains("concurent_spawn_limit"), "{log}");
    assert_eq!(uids(&release.pods("hub")?), uids(&first));
    let read = cluster.kubectl(&["get", "configmap", "hub", "-o", "jsonpath={.data}"])?;
    ensure!(!read.contains("concurent"), "{read}");

    // A right one: the hubs are replaced one after the other, and nobody's request fails meanwhile.
    release.upgrade(&["--set", "hub.config.pages.name=Observatory"]).with_context(|| release.state())?;
    let gone = async || {
        let there = release.pods("hub")?;
        let old = uids(&first);
        Ok((there.len() == 2 && uids(&there).iter().all(|uid| !old.contains(uid))).then_some(there))
    };
    let second = until("the hubs of before are gone", SOON, gone).await?;
    let mut answered = 0;
    for visitor in those {
        answered += visitor.end().await.with_context(|| release.state())?;
    }
    ensure!(answered > 50, "only {answered} requests were made");
    assert_eq!(release.proxies()?, proxies, "nothing of theirs was changed");
    for pod in &second {
        let address = pod["status"]["podIP"].as_str().context("an address")?;
        let home = ada.at(&format!("http://{address}:8081"))?.get("/hub/home").await?.expect(&[200])?.text();
        ensure!(home.contains("Observatory"), "{home}");
    }
    let said = ada.get("/user/ada/").await?.expect(&[200])?.json()?;
    assert_eq!(said["pid"], pids[0]);

    // One is killed in the midst of its work: the other does all of it, and soon there are two again.
    docker(&["kill", &release.container("hub")?])?;
    ada.stop_server("ada").await.with_context(|| release.state())?;
    ada.start_server("ada").await.with_context(|| release.state())?;
    until("both hubs are ready", SOON, async || Ok((services.count("hub") == 2).then_some(()))).await?;
    assert_eq!(release.pods("hub")?.len(), 2);
    ada.stop_server("ada").await.with_context(|| release.state())
}
