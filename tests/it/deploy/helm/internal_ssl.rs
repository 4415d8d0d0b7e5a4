//! TLS between hub, proxies and servers.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::need;

use super::super::file;
use super::{Rendered, helm};

fn config(rendered: &Rendered, of: &str) -> Result<Value> {
    let text = rendered.get("ConfigMap", of)?["data"]["specola.toml"].as_str().context("a text")?;
    Ok(serde_json::to_value(text.parse::<toml::Table>()?)?)
}

#[test]
fn hub_proxies_and_servers_speak_tls_with_what_the_hub_signs() -> Result<()> {
    let helm = helm!();
    let rendered = helm.render(&[], &["--set", "hub.config.hub.internal_ssl=true"])?;
    let (hub, proxy) = (config(&rendered, "hub")?, config(&rendered, "proxy")?);
    for config in [&hub, &proxy] {
        assert_eq!(config["hub"]["internal_ssl"], true);
        assert_eq!(config["hub"]["hub_connect_url"], "https://hub.labs:8081");
    }
    assert_eq!(hub["proxy"]["internal_ssl_secret"], "labs/proxy-internal-ssl");
    // The hub may write that secret, and those of servers; proxies mount it, where they look.
    ensure!(rendered.get("Secret", "proxy-internal-ssl")?.get("data").is_none());
    let rights: Value = serde_json::from_str(&fs::read_to_string(file("deploy/helm/files/rights.json"))?)?;
    let rules = rendered.get("Role", "hub")?["rules"].clone();
    let expected = ["servers", "services", "secrets"].iter().flat_map(|part| rights[*part].as_array()).flatten();
    assert_eq!(rules, expected.cloned().collect::<Value>());
    let pod = |of: &str| rendered.get("Deployment", of)?.pointer("/spec/template/spec").context("a pod");
    let mounts = pod("proxy")?["containers"][0]["volumeMounts"].as_array().context("mounts")?;
    let folder = mounts.iter().find(|mount| mount["name"] == "internal-ssl").context("the folder")?;
    assert_eq!(folder["mountPath"], proxy["proxy"]["internal_ssl_folder"]);
    let volumes = pod("proxy")?["volumes"].as_array().context("volumes")?;
    let volume = volumes.iter().find(|volume| volume["name"] == "internal-ssl").context("the volume")?;
    assert_eq!(volume["secret"]["secretName"], "proxy-internal-ssl");
    // The kubelet has no certificate.
    for (probe, path) in
        [("startupProbe", "/health"), ("livenessProbe", "/health"), ("readinessProbe", "/health/ready")]
    {
        let asked = &pod("hub")?["containers"][0][probe]["httpGet"];
        assert_eq!(asked, &json!({ "path": path, "port": "control" }), "{probe}");
    }
    // With several hubs the authorities are given.
    let more =
        ["--set", "hub.config.hub.internal_ssl=true", "--set", "hub.config.hub.internal_certs_location=/authorities"];
    let several = helm.render(&["postgres"], &more)?;
    assert_eq!(config(&several, "hub")?["hub"]["internal_certs_location"], "/authorities");
    // And without it nothing of this is there.
    let plain = helm.render(&[], &[])?;
    ensure!(plain.get("Secret", "proxy-internal-ssl").is_err());
    assert_eq!(config(&plain, "hub")?["hub"]["hub_connect_url"], "http://hub.labs:8081");
    Ok(())
}
