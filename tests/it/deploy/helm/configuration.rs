//! What values come to: the configuration of hub and proxy, and what is refused.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::{need, place};

use super::super::run;
use super::{Rendered, VALUES, helm, keep, name};

/// What `check-config` says of a configuration.
fn checked(path: &Path, environment: &[(String, String)]) -> Result<String> {
    let mut command = Command::new(place::binary()?);
    command.arg("check-config").arg("--config").arg(path).env_clear();
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    run(&mut command)
}
#[test]
fn the_chart_is_linted_with_all_kinds_of_values_and_its_hub_and_proxy_take_their_configuration() -> Result<()> {
    let helm = helm!();
    for values in VALUES {
        run(&mut helm.with(&["lint", "--strict", "--quiet"], values, &[])).with_context(|| format!("{values:?}"))?;
        let rendered = helm.render(values, &[])?;
        let folder = tempfile::tempdir()?;
        let hub = rendered.of("Deployment").map(name).find(|name| name.ends_with("hub")).context("a hub")?;
        let proxy = rendered.of("Deployment").map(name).find(|name| name.ends_with("proxy")).context("a proxy")?;
        for component in [hub, proxy] {
            let (path, mut environment) = rendered.configuration(component, folder.path())?;
            if values == ["secret"] {
                let secrets = folder.path().join("secrets");
                for key in ["hub.config.ConfigurableHTTPProxy.auth_token", "hub.services.prometheus.apiToken"] {
                    keep(&secrets.join(key), b"made elsewhere")?;
                }
                environment.push(("JUPYTERHUB_CRYPT_KEY".to_owned(), "00".repeat(32)));
            }
            let told = checked(&path, &environment)
                .with_context(|| format!("{values:?}\n{}", fs::read_to_string(&path).unwrap_or_default()))?;
            let shown = if component == hub { "kubernetes" } else { ":8" };
            ensure!(told.contains(shown), "{values:?} {component}: {told}");
        }
        // An object is there once, and each belongs to the release.
        let mut seen = BTreeSet::new();
        for object in &rendered.objects {
            let labels = &object["metadata"]["labels"];
            ensure!(labels["app.kubernetes.io/instance"] == "here" && labels["app"] == "jupyterhub", "{object}");
            ensure!(seen.insert((object["kind"].to_string(), name(object).to_owned())), "twice: {}", name(object));
        }
    }
    Ok(())
}

#[test]
fn what_the_values_say_is_what_the_hub_reads() -> Result<()> {
    let helm = helm!();
    let rendered = helm.render(&["everything"], &[])?;
    let text = rendered.get("ConfigMap", "lab-hub")?["data"]["specola.toml"].as_str().context("a text")?.to_owned();
    // Whole numbers stay whole, others do not; texts keep their quotes; what is null is not there.
    for line in [
        "uid = 1000",
        "worker_threads = 2",
        "poll_interval = 12.5",
        "cpu_guarantee = 0.5",
        "cmd = []",
        "base_url",
        "storage_class = \"fast\"",
        "redirect_to_server = false",
        "group_timeouts",
        "public_url = \"https://hub.example.org/lab/\"",
        "hub_connect_url = \"http://lab-hub.labs:8081\"",
        "control_address = \"0.0.0.0:8001\"",
        "schedulerName",
        "Large \\\"and\\\" \\u003cfine\\u003e ü",
        "level = \"debug\"",
    ] {
        let is_there = text.contains(line);
        // Names of Kubernetes and of JupyterHub that are not ours are not there.
        ensure!(is_there != matches!(line, "base_url" | "schedulerName"), "{line} in\n{text}");
    }
    // `hub.config` has the last word, also where it says false or nothing.
    let more = ["--set", "hub.config.culler.enabled=false", "--set", "hub.config.hub.concurrent_spawn_limit=0"];
    let rendered = helm.render(&[], &more)?;
    let text = rendered.get("ConfigMap", "hub")?["data"]["specola.toml"].as_str().context("a text")?;
    ensure!(text.contains("enabled = false") && text.contains("concurrent_spawn_limit = 0"), "{text}");
    // The proxy has nothing of people.
    let everything = helm.render(&["everything"], &[])?;
    let proxy = everything.get("ConfigMap", "lab-proxy")?["data"]["specola.toml"].as_str().context("a text")?;
    for word in ["auth", "spawner", "db_url", "services", "iam.example.org"] {
        ensure!(!proxy.contains(&format!("[{word}")) && !proxy.contains(&format!("{word} =")), "{word} in {proxy}");
    }
    ensure!(proxy.contains("http2 = false") && proxy.contains("cookie_firewall = true"), "{proxy}");
    Ok(())
}

#[test]
fn hub_and_proxy_know_the_sites_and_the_proxy_no_more_than_the_way_to_them() -> Result<()> {
    let helm = helm!();
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("bari");
    keep(&kubeconfig, b"{}")?;
    let there = format!("hub.config.sites[1].spawner.kubeconfig={}", kubeconfig.display());
    let more = [
        "hub.config.hub.site=cnaf",
        "hub.config.sites[0].name=cnaf",
        "hub.config.sites[0].proxy_url=https://cnaf.example.org",
        "hub.config.sites[1].name=bari",
        "hub.config.sites[1].proxy_url=https://bari.example.org",
        &there,
    ];
    let more: Vec<&str> = more.iter().flat_map(|value| ["--set", value]).collect();
    let rendered = helm.render(&[], &more)?;
    for (component, shown) in [("hub", "cnaf (this hub), bari"), ("proxy", ":8")] {
        let folder = tempfile::tempdir()?;
        let (path, environment) = rendered.configuration(component, folder.path())?;
        let told = checked(&path, &environment).with_context(|| fs::read_to_string(&path).unwrap_or_default())?;
        ensure!(told.contains(shown), "{component}: {told}");
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains("https://bari.example.org") && text.contains("site = \"cnaf\""), "{text}");
        ensure!(text.contains("kubeconfig") == (component == "hub"), "{text}");
    }
    // The proxy is let to the other site, and to hubs that a name of the operator's leads to; nowhere else.
    let ports = |rendered: &Rendered| -> Result<Vec<u64>> {
        let rules = rendered.get("NetworkPolicy", "proxy")?["spec"]["egress"].as_array().context("egress")?.clone();
        let anywhere = rules.iter().filter(|rule| rule.get("to").is_none());
        let ports = anywhere.flat_map(|rule| rule["ports"].as_array()).flatten();
        Ok(ports.filter(|port| port["protocol"] == "TCP").filter_map(|port| port["port"].as_u64()).collect())
    };
    assert_eq!(ports(&helm.render(&[], &[])?)?, [0; 0]);
    assert_eq!(ports(&rendered)?, [443]);
    let names = [
        "--set",
        "hub.config.hub.hub_connect_url=http://hubs.example.org",
        "--set",
        "proxy.config.control_url=http://hubs.example.org:8001",
        "--set",
        "hub.config.sites[1].proxy_url=https://[fd00::7]:8443",
        "--set",
        "hub.config.sites[0].proxy_url=https://cnaf.example.org:9443",
    ];
    let mut named = ports(&helm.render(&[], &[&more[..], &names].concat())?)?;
    named.sort_unstable();
    assert_eq!(named, [80, 8001, 8443], "and not to its own site");
    Ok(())
}

#[test]
fn values_that_are_not_known_or_cannot_be_are_refused_by_name() -> Result<()> {
    let helm = helm!();
    let cases: &[(&[&str], &str)] = &[
        (&["hub.imge.name=x"], "imge"),
        (&["singeluser.uid=1"], "singeluser"),
        (
            &["hub.config.hub.internal_ssl=true", "hub.db.type=postgres", "hub.db.url=postgresql://hub@db/hub"],
            "the authorities are lost with its pod",
        ),
        (&["hub.config.hub.internal_ssl=true", "hub.db.type=sqlite-memory"], "the authorities are lost with its pod"),
        (
            &["hub.config.hub.internal_ssl=true", "monitoring.serviceMonitor.enabled=true"],
            "hears nobody without a certificate",
        ),
        // SQLite is for one hub.
        (&["hub.replicas=2"], "hub.replicas above 1 is for hub.db.type postgres"),
        (&["hub.replicas=2", "hub.db.type=sqlite-memory"], "hub.replicas above 1 is for hub.db.type postgres"),
        (&["hub.replicas=-1"], "replicas"),
        (&["hub.replicas=two"], "replicas"),
        (&["hub.configCheck.enabled=perhaps"], "configCheck"),
        (&["hub.config.JupyterHub.admin_access=true"], "JupyterHub"),
        (&["hub.db.type=mysql"], "type"),
        (&["hub.db.type=postgres"], "hub.db.url is needed"),
        (&["hub.db.type=postgres", "hub.db.url=mysql://x"], "url"),
        (&["hub.cookieSecret=short"], "cookieSecret"),
        (&["network.ipFamily=ipv6"], "ipFamily"),
        (&["proxy.https.enabled=true"], "proxy.https.hosts is needed"),
        (&["proxy.https.enabled=true", "proxy.https.hosts[0]=a.example"], "contactEmail is needed"),
        (&["proxy.https.enabled=true", "proxy.https.type=secret"], "proxy.https.secret.name is needed"),
        (&["singleuser.storage.type=static"], "pvcName is needed"),
        (&["singleuser.cloudMetadata.blockWithIptables=true"], "networkTools.image is needed"),
        (&["scheduling.userPlaceholder.flavours.x.replicas=1"], "resources"),
        (&["httpRoute.enabled=true"], "parentRefs is needed"),
        (&["resourceQuota.enabled=true"], "resourceQuota.hard is needed"),
        (&["limitRange.enabled=true"], "limitRange.limits is needed"),
    ];
    for (set, word) in cases {
        let more: Vec<&str> = set.iter().flat_map(|one| ["--set", one]).collect();
        let done = helm.with(&["template", "here"], &[], &more).output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(!done.status.success() && said.contains(word), "{set:?}: {said}");
        ensure!(!said.contains("nil pointer") && !said.contains("wrong type"), "{set:?}: {said}");
    }
    Ok(())
}

#[test]
fn what_is_checked_before_an_upgrade_is_what_the_hub_would_read() -> Result<()> {
    let helm = helm!();
    for values in VALUES {
        let rendered = helm.render(values, &[])?;
        let called = |kind: &str, end: &str| -> Result<&Value> {
            rendered
                .of(kind)
                .find(|object| name(object).ends_with(end))
                .with_context(|| format!("{values:?} {kind} {end}"))
        };
        let (job, hub) = (called("Job", "hub-check-config")?, called("Deployment", "hub")?);
        let (checked, read) = (called("ConfigMap", "hub-check-config")?, called("ConfigMap", "hub")?);
        let text = |map: &Value| -> Result<String> {
            let text = map["data"]["specola.toml"].as_str().context("a text")?;
            Ok(text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n").trim().to_owned())
        };
        assert_eq!(text(checked)?, text(read)?, "{values:?}");
        // It comes before an upgrade alone: at first there is no hub to be spared. What it reads is made before it.
        let annotations = |object: &Value| -> Result<i64> {
            let of = &object["metadata"]["annotations"];
            ensure!(of["helm.sh/hook"] == "pre-upgrade", "{of}");
            Ok(of["helm.sh/hook-weight"].as_str().context("a weight")?.parse()?)
        };
        ensure!(annotations(checked)? < annotations(job)?);
        if !values.contains(&"secret") {
            ensure!(annotations(called("Secret", "hub-check-config")?)? < annotations(job)?);
        }
        // The same container as before each hub, but for whose secrets and files it has, and a folder that is nobody's.
        let container = |of: &Value, which: &str| -> Result<Value> {
            let all = of.pointer("/spec/template/spec").and_then(|pod| pod[which].as_array()).context("containers")?;
            let mut found = all.iter().find(|one| one["name"] == "check-config").context("the check")?.clone();
            for variable in found["env"].as_array_mut().into_iter().flatten() {
                if let Some(secret) = variable.pointer_mut("/valueFrom/secretKeyRef/name") {
                    *secret = Value::Null;
                }
            }
            Ok(found)
        };
        assert_eq!(container(job, "containers")?, container(hub, "initContainers")?, "{values:?}");
        let data = job.pointer("/spec/template/spec/volumes/0").context("a volume")?;
        assert_eq!(data, &json!({"name": "data", "emptyDir": {}}));
    }
    let without = helm.render(&[], &["--set", "hub.configCheck.enabled=false"])?;
    ensure!(without.get("Job", "hub-check-config").is_err() && without.get("Secret", "hub-check-config").is_err());
    Ok(())
}
