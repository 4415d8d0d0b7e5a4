//! Hub and proxies that speak TLS with each other.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::kubernetes::{Cluster, kubeconfig};
use tests::{Session, need, until};

use super::super::super::{base, hub};
use super::super::helm;
use super::{PASSWORD, Release};

/// A machine looks at secrets once in a minute or two.
const SOON: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_is_reached_by_its_proxies_alone_and_by_who_looks_after_it() -> Result<()> {
    let helm = helm!();
    let speaks = helm.command().arg("version").output()?.status.success();
    let helm = need!(speaks.then_some(helm), "the whole of Helm", "SPECOLA_REQUIRE_KUBERNETES");
    let cluster = Cluster::new(&need!(kubeconfig(), "a Kubernetes cluster", "SPECOLA_REQUIRE_KUBERNETES"))?;
    let lab = need!(base(), "an engine with a base image", "SPECOLA_REQUIRE_KUBERNETES");
    let release = Release::of_one(&helm, &cluster, &hub()?, &lab)?;
    let address = format!("{}:8081", tests::docker::gateway()?);
    let reached = format!("hub.config.hub.hub_connect_url=https://{address}");
    let more =
        ["--set", "hub.config.hub.internal_ssl=true", "--set", &reached, "--set", "prePuller.hook.enabled=false"];
    // Its probes and those of the proxies tell that all is well.
    release.upgrade(&more).with_context(|| release.state())?;
    ensure!(Session::new(&format!("http://{address}"))?.get("/hub/api").await.is_err(), "it speaks TLS alone");
    release.specola(&["user", "add", "ada", "--admin"], "")?;
    release.specola(&["user", "password", "ada"], &format!("{PASSWORD}\n"))?;
    for proxy in release.proxies()? {
        let session = Session::new(&proxy)?;
        let login = async || Ok((session.clone().get("/hub/login").await?.status == 200).then_some(()));
        until("a proxy that the hub hears", SOON, login).await.with_context(|| release.state())?;
    }
    let mut ada = Session::new(release.proxies()?.first().context("a proxy")?)?;
    ada.log_in("ada", PASSWORD).await?.expect(&[302, 303])?;
    ada.get("/hub/home").await?.expect(&[200])?;
    Ok(())
}
