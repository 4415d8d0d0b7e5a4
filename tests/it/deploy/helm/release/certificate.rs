//! The secret of the proxies' certificate, over the life of a release.

use anyhow::{Result, ensure};
use serde_json::json;
use tests::kubernetes::{Cluster, kubeconfig};
use tests::need;

use super::super::super::run;
use super::super::helm;
use super::Release;

#[test]
fn what_proxies_keep_of_an_authority_outlives_upgrades_and_the_release() -> Result<()> {
    let helm = helm!();
    let speaks = helm.command().arg("version").output()?.status.success();
    let helm = need!(speaks.then_some(helm), "the whole of Helm", "SPECOLA_REQUIRE_KUBERNETES");
    let cluster = Cluster::new(&need!(kubeconfig(), "a Kubernetes cluster", "SPECOLA_REQUIRE_KUBERNETES"))?;
    // Nothing of it has to run.
    let values = json!({
        "hub": { "image": { "name": "none", "tag": "1", "pullPolicy": "Never" }, "db": { "type": "sqlite-memory" } },
        "proxy": {
            "replicas": 2, "service": { "type": "ClusterIP" },
            "https": {
                "enabled": true, "hosts": ["hub.example.org"],
                "letsencrypt": { "contactEmail": "ada@example.org", "acmeServer": "https://127.0.0.1:9/dir" },
            },
        },
        "prePuller": { "continuous": { "enabled": false } },
    });
    let release = Release::new(&helm, &cluster, &values)?;
    let (chart, file) = (release.chart().display().to_string(), release.values.display().to_string());
    let upgrade = |more: &[&str]| {
        let mut command =
            release.command(&["upgrade", "--install", "here", &chart, "--no-hooks", "--values", &file])?;
        run(command.args(more))
    };
    upgrade(&[])?;
    let kept = || cluster.kubectl(&["get", "secret", "proxy-acme", "-o", "jsonpath={.data}"]);
    ensure!(kept()?.is_empty(), "{}", kept()?);
    cluster.kubectl(&[
        "patch",
        "secret",
        "proxy-acme",
        "--type=merge",
        "--patch",
        r#"{"data":{"a.account.json":"e30="}}"#,
    ])?;
    upgrade(&["--set", "proxy.labels.a=b"])?;
    ensure!(kept()?.contains("e30="), "{}", kept()?);
    run(&mut release.command(&["uninstall", "here", "--no-hooks"])?)?;
    ensure!(kept()?.contains("e30="), "{}", kept()?);
    // And the next release of that name has it.
    upgrade(&[])?;
    ensure!(kept()?.contains("e30="), "{}", kept()?);
    Ok(())
}
