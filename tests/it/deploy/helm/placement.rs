//! How many pods there are, how they are replaced, and where room is kept.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::need;

use super::{VALUES, helm, name};

#[test]
fn one_hub_is_replaced_and_several_proxies_are_rolled_and_scaled() -> Result<()> {
    let helm = helm!();
    for values in VALUES {
        let rendered = helm.render(values, &[])?;
        let called = |end: &str| rendered.of("Deployment").find(|object| name(object).ends_with(end)).context("it");
        let (hub, proxy) = (called("hub")?, called("proxy")?);
        let (replicas, how) = if values == ["postgres"] { (2, "RollingUpdate") } else { (1, "Recreate") };
        assert_eq!((&hub["spec"]["replicas"], &hub["spec"]["strategy"]["type"]), (&json!(replicas), &json!(how)));
        let replicas = &proxy["spec"]["replicas"];
        let strategy = &proxy["spec"]["strategy"];
        match values {
            ["postgres"] => {
                ensure!(replicas.is_null(), "the autoscaler's: {replicas}");
                let scaler = rendered.get("HorizontalPodAutoscaler", "proxy")?;
                assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], "proxy");
                assert_eq!(scaler["spec"]["minReplicas"], 2);
            }
            _ => assert_eq!(strategy["rollingUpdate"], json!({"maxUnavailable": 0, "maxSurge": 1}), "{values:?}"),
        }
        // A proxy whose hub is away stays ready; the hub is reached by proxies while it is not, or it never would be. By all
        // others it is when there is no other hub to be reached.
        let probes = &proxy.pointer("/spec/template/spec/containers/0").context("a container")?;
        assert_eq!(probes["readinessProbe"]["httpGet"], json!({"path": "/ready", "port": "metrics"}));
        let reached = |end: &str| -> Result<&Value> {
            let service = rendered.of("Service").find(|object| name(object).ends_with(end)).context("a service")?;
            Ok(&service["spec"]["publishNotReadyAddresses"])
        };
        assert_eq!(reached("hub-control")?, true);
        assert_eq!(reached("hub")?, &if values == ["postgres"] { Value::Null } else { json!(true) });
    }
    let old = helm.render(&["postgres"], &["--kube-version", "1.20.2"])?;
    assert_eq!(old.get("PodDisruptionBudget", "proxy")?["apiVersion"], "policy/v1beta1");
    assert_eq!(old.get("HorizontalPodAutoscaler", "proxy")?["apiVersion"], "autoscaling/v2beta2");
    Ok(())
}
#[test]
fn several_hubs_on_postgresql_are_rolled_spread_and_kept_up() -> Result<()> {
    let helm = helm!();
    let rendered = helm.render(&["postgres"], &[])?;
    let hub = rendered.get("Deployment", "hub")?;
    assert_eq!(hub["spec"]["strategy"]["rollingUpdate"], json!({"maxUnavailable": 0, "maxSurge": 1}));
    let pod = hub.pointer("/spec/template/spec").context("a pod")?;
    let spread = pod["topologySpreadConstraints"].as_array().context("constraints")?;
    let over: Vec<&Value> = spread.iter().map(|one| &one["topologyKey"]).collect();
    assert_eq!(over, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]);
    let labels = &hub.pointer("/spec/template/metadata/labels").context("labels")?;
    for constraint in spread {
        assert_eq!(constraint["whenUnsatisfiable"], "ScheduleAnyway", "a cluster of one machine has room for all");
        let wanted = constraint["labelSelector"]["matchLabels"].as_object().context("labels")?;
        ensure!(!wanted.is_empty() && wanted.iter().all(|(key, value)| labels[key] == *value), "{constraint}");
    }
    assert_eq!(rendered.get("PodDisruptionBudget", "hub")?["spec"]["minAvailable"], 1);
    // What they share is in the database and in the secret; their own folders end with them.
    let volumes = pod["volumes"].as_array().context("volumes")?;
    let data = volumes.iter().find(|volume| volume["name"] == "data").context("data")?;
    assert_eq!(data["emptyDir"], json!({}));
    ensure!(rendered.of("PersistentVolumeClaim").next().is_none());
    let before = &pod.pointer("/containers/0/lifecycle/preStop/exec/command/0");
    assert_eq!(before, &Some(&json!("sleep")), "requests find the others before it ends");
    // What the values say of these things counts.
    let more = ["--set", "hub.pdb.enabled=false", "--set", "hub.topologySpreadConstraints[0].maxSkew=2"];
    let told = helm.render(&["postgres"], &more)?;
    ensure!(told.get("PodDisruptionBudget", "hub").is_err());
    let spread = told.get("Deployment", "hub")?.pointer("/spec/template/spec/topologySpreadConstraints").cloned();
    assert_eq!(spread, Some(json!([{"maxSkew": 2}])));
    // One alone is neither spread nor kept where it is, and PostgreSQL that only `hub.config` names is enough for several.
    let one = helm.render(&[], &[])?;
    ensure!(one.of("PodDisruptionBudget").next().is_none());
    let pod = one.get("Deployment", "hub")?.pointer("/spec/template/spec").context("a pod")?;
    ensure!(
        pod.get("topologySpreadConstraints").is_none() && pod.pointer("/containers/0/lifecycle").is_none(),
        "{pod}"
    );
    let more = ["--set", "hub.replicas=3", "--set", "hub.db.type=sqlite-memory"];
    let more = [&more[..], &["--set", "hub.config.hub.db_url=postgresql://hub@db/hub"]].concat();
    let three = helm.render(&[], &more)?;
    assert_eq!(three.get("Deployment", "hub")?["spec"]["replicas"], 3);
    Ok(())
}

#[test]
fn room_is_kept_for_each_size_of_server() -> Result<()> {
    let helm = helm!();
    let rendered = helm.render(&["everything"], &[])?;
    let usual = rendered.get("Deployment", "lab-user-placeholder")?;
    let requests = usual.pointer("/spec/template/spec/containers/0/resources/requests").context("requests")?;
    assert_eq!(requests, &json!({"cpu": "0.5", "memory": "1G", "nvidia.com/gpu": "1"}));
    assert_eq!(usual["spec"]["replicas"], 2);
    let gpu = rendered.get("Deployment", "lab-user-placeholder-gpu")?;
    assert_eq!(gpu.pointer("/spec/template/spec/nodeSelector"), Some(&json!({"pool": "gpu"})));
    let priorities: Vec<(&str, i64)> =
        rendered.of("PriorityClass").filter_map(|class| Some((name(class), class["value"].as_i64()?))).collect();
    assert_eq!(
        priorities,
        [("labs-here-default", 0), ("labs-here-image-puller", -5), ("labs-here-user-placeholder", -10)]
    );
    let placed = |object: &Value| object.pointer("/spec/template/spec/priorityClassName").cloned();
    assert_eq!(placed(gpu), Some(json!("labs-here-user-placeholder")));
    assert_eq!(placed(rendered.get("Deployment", "lab-hub")?), Some(json!("labs-here-default")));
    let none = helm.render(&[], &[])?;
    ensure!(none.of("PriorityClass").next().is_none() && none.get("Deployment", "user-placeholder").is_err());
    Ok(())
}
