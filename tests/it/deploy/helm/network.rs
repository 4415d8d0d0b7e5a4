//! Who reaches whom.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::need;

use super::{Rendered, helm};

/// Whether an address is in a network.
fn holds(network: &str, address: IpAddr) -> Result<bool> {
    let (base, bits) = network.split_once('/').context("a network")?;
    let bits: u32 = bits.parse()?;
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    };
    let base: IpAddr = base.parse()?;
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    Ok(base.is_ipv4() == address.is_ipv4() && number(base) & mask == number(address) & mask)
}

/// Whether a policy lets its pods go to a port of an address outside of the cluster.
fn goes_out(policy: &Value, address: &str, port: u16) -> Result<bool> {
    let address: IpAddr = address.parse()?;
    for rule in policy["spec"]["egress"].as_array().context("egress")? {
        let ports = rule["ports"].as_array();
        if ports.is_some_and(|ports| !ports.iter().any(|one| one["port"] == port)) {
            continue;
        }
        if rule["to"].is_null() {
            return Ok(true);
        }
        for block in rule["to"].as_array().into_iter().flatten().filter_map(|to| to.get("ipBlock")) {
            let except = block["except"].as_array().cloned().unwrap_or_default();
            let excluded = except.iter().filter_map(Value::as_str).map(|network| holds(network, address));
            if holds(block["cidr"].as_str().context("cidr")?, address)?
                && !excluded.collect::<Result<Vec<_>>>()?.contains(&true)
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[test]
fn servers_reach_the_world_in_both_families_and_neither_private_networks_nor_the_clouds_metadata() -> Result<()> {
    let helm = helm!();
    let rendered = helm.render(&[], &[])?;
    let labs = rendered.get("NetworkPolicy", "singleuser")?;
    let world = ["192.0.2.1", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"];
    let private = ["10.1.2.3", "172.20.0.1", "192.168.1.1", "100.64.0.9", "fd12::1", "fe80::1", "::1", "127.0.0.1"];
    let metadata = ["169.254.169.254", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "64:ff9b::a00:1"];
    for address in world {
        ensure!(goes_out(labs, address, 443)?, "{address}");
    }
    for address in private.iter().chain(&metadata) {
        ensure!(!goes_out(labs, address, 443)? && !goes_out(labs, address, 80)?, "{address}");
    }
    ensure!(goes_out(labs, "10.0.0.10", 53)? && goes_out(labs, "fd00::10", 53)?, "the cluster's DNS");
    // Each switch by itself.
    let with = |set: &str, addresses: &[&str]| -> Result<Vec<bool>> {
        let rendered = helm.render(&[], &["--set", &format!("singleuser.networkPolicy.egressAllowRules.{set}")])?;
        let policy = rendered.get("NetworkPolicy", "singleuser")?;
        addresses.iter().map(|address| goes_out(policy, address, 80)).collect()
    };
    assert_eq!(
        with("privateIPs=true", &["10.1.2.3", "fd12::1", "169.254.169.254", "fd00:ec2::254"])?,
        [true, true, false, false]
    );
    assert_eq!(
        with("cloudMetadataServer=true", &["169.254.169.254", "fd00:ec2::254", "10.1.2.3"])?,
        [true, true, false]
    );
    assert_eq!(with("nonPrivateIPs=false", &["8.8.8.8", "2606:4700::1111"])?, [false, false]);
    // The proxy goes nowhere but to the hub and to servers, unless it has to order a certificate.
    let proxy = rendered.get("NetworkPolicy", "proxy")?;
    ensure!(!goes_out(proxy, "8.8.8.8", 443)? && !goes_out(proxy, "10.1.2.3", 5432)?, "{proxy}");
    let acme = helm.render(&["everything"], &[])?;
    let ordering = acme.get("NetworkPolicy", "lab-proxy")?;
    ensure!(goes_out(ordering, "2606:4700::1111", 443)?);
    ensure!(goes_out(ordering, "10.0.0.1", 6443)? && !goes_out(ordering, "10.1.2.3", 5432)?, "the API server");
    // The route stream is for proxies alone.
    let hub = rendered.get("NetworkPolicy", "hub")?;
    let control: Vec<&Value> = hub["spec"]["ingress"]
        .as_array()
        .context("ingress")?
        .iter()
        .filter(|rule| rule["ports"].as_array().is_none_or(|ports| ports.iter().any(|port| port["port"] == "control")))
        .collect();
    assert_eq!(control.len(), 1, "{hub}");
    assert_eq!(
        control[0]["from"],
        json!([{"podSelector": {"matchLabels": {"app": "jupyterhub", "release": "here", "component": "proxy"}}}])
    );
    Ok(())
}

#[test]
fn executors_go_where_servers_go_and_nobody_elses_reach_a_server_by_policy() -> Result<()> {
    let helm = helm!();
    let rendered = helm.render(&["executors"], &[])?;
    let text = rendered.get("ConfigMap", "hub")?["data"]["specola.toml"].as_str().context("a text")?;
    let config: Value = serde_json::to_value(text.parse::<toml::Table>()?)?;
    let namespaces = &config["spawner"]["kubernetes"]["executor_namespaces"];
    let (of_executors, labs) = (&namespaces["egress"], rendered.get("NetworkPolicy", "singleuser")?);
    let policy = json!({ "spec": { "egress": of_executors } });
    for (address, port) in [("8.8.8.8", 443), ("10.20.0.7", 443), ("10.0.0.10", 53)] {
        ensure!(goes_out(&policy, address, port)? && goes_out(labs, address, port)?, "{address}");
    }
    for address in ["10.1.2.3", "192.168.1.1", "169.254.169.254", "10.96.0.1"] {
        ensure!(!goes_out(&policy, address, 443)?, "{address}: it is no executor's");
    }
    ensure!(goes_out(labs, "10.96.0.1", 443)? && goes_out(labs, "fd00:10:96::1", 6443)?, "the API server");
    ensure!(!goes_out(labs, "10.96.0.1", 80)?);
    // The labels that the hub writes are those that are let in.
    let theirs = json!([{ "namespaceSelector": { "matchLabels": { "specola.executors": "yes", "release": "here" } } }]);
    assert_eq!(namespaces["labels"]["release"], "here");
    for (policy, way) in [("singleuser", "ingress"), ("singleuser", "egress"), ("hub", "ingress")] {
        let rules = rendered.get("NetworkPolicy", policy)?["spec"][way].as_array().context("rules")?;
        let whom = if way == "ingress" { "from" } else { "to" };
        ensure!(rules.iter().any(|rule| rule[whom] == theirs), "{policy} {way}: {rules:?}");
    }
    // Without executors nothing of this is there; and where servers have no policy, executors have none.
    let plain = helm.render(&[], &[])?;
    ensure!(!plain.objects.iter().any(|object| object.to_string().contains("specola.executors")));
    let open = helm.render(&["executors"], &["--set", "singleuser.networkPolicy.enabled=false"])?;
    let text = open.get("ConfigMap", "hub")?["data"]["specola.toml"].as_str().context("a text")?.to_owned();
    ensure!(text.contains("executor_namespaces") && !text.contains("egress"), "{text}");
    // Nor do executors go where an operator lets servers go without having thought of them.
    for (set, word) in [
        (
            "singleuser.networkPolicy.egressAllowRules.privateIPs=true",
            "egressAllowRules.privateIPs would let executors",
        ),
        ("singleuser.cloudMetadata.blockWithIptables=true", "blockWithIptables keeps servers"),
    ] {
        let tools = [
            "--set",
            set,
            "--set",
            "singleuser.networkTools.image.name=tools",
            "--set",
            "singleuser.networkTools.image.tag=1",
        ];
        let told = format!("{:#}", helm.render(&["executors"], &tools).err().context("it is refused")?);
        ensure!(told.contains(word), "{told}");
        helm.render(&[], &tools).with_context(|| format!("{set} without executors"))?;
    }
    assert_eq!(namespaces["hub_user"], "system:serviceaccount:labs:hub");
    assert_eq!(namespaces["pod_security"], "restricted");
    // Where the API server is has to be said, or nobody reaches it.
    let nowhere = helm.render(&["executors"], &["--set", "singleuser.executors.apiServer=null"]);
    let told = format!("{:#}", nowhere.err().context("it is refused")?);
    ensure!(told.contains("singleuser.executors.apiServer"), "{told}");
    Ok(())
}

#[test]
fn an_ingress_and_a_gateway_lead_to_a_port_that_is_there_and_are_the_public_address() -> Result<()> {
    let helm = helm!();
    let with = |set: &[&str]| helm.render(&[], &set.iter().flat_map(|one| ["--set", one]).collect::<Vec<_>>());
    let address = |rendered: &Rendered| -> Result<Option<String>> {
        let text = rendered.get("ConfigMap", "hub")?["data"]["specola.toml"].as_str().context("a text")?;
        let config: Value = serde_json::to_value(text.parse::<toml::Table>()?)?;
        Ok(config["hub"]["public_url"].as_str().map(str::to_owned))
    };
    let route = ["httpRoute.enabled=true", "httpRoute.parentRefs[0].name=gateway", "hub.baseUrl=/lab/"];
    let host = "httpRoute.hostnames[0]=hub.example.org";
    for (more, public) in [
        (&[][..], None),
        (&[host][..], Some("https://hub.example.org/lab/")),
        (&[host, "httpRoute.parentRefs[0].port=80"], Some("http://hub.example.org/lab/")),
        (&[host, "httpRoute.parentRefs[0].sectionName=http"], Some("http://hub.example.org/lab/")),
        (
            &["httpRoute.hostnames[0]=*.example.org", "httpRoute.hostnames[1]=a.example.org"],
            Some("https://a.example.org/lab/"),
        ),
        (&["httpRoute.hostnames[0]=*.example.org"], None),
        (&[host, "publicUrl=https://other.example.org/lab/"], Some("https://other.example.org/lab/")),
    ] {
        assert_eq!(address(&with(&[&route[..], more].concat())?)?.as_deref(), public, "{more:?}");
    }
    let ingress = with(&["ingress.enabled=true", "ingress.hosts[0]=hub.example.org"])?;
    assert_eq!(address(&ingress)?.as_deref(), Some("http://hub.example.org/"));
    // The port that is named is one of the service's.
    let offload = ["proxy.https.enabled=true", "proxy.https.type=offload", "ingress.enabled=true"];
    for more in [&[][..], &["proxy.service.disableHttpPort=true"]] {
        let rendered = with(&[&route[..], &offload, more].concat())?;
        let service = rendered.get("Service", "proxy-public")?["spec"]["ports"].as_array().context("ports")?.clone();
        let used = rendered.get("HTTPRoute", "jupyterhub")?.pointer("/spec/rules/0/backendRefs/0/port").cloned();
        ensure!(service.iter().any(|port| Some(&port["port"]) == used.as_ref()), "{used:?} of {service:?}");
        let used = rendered.get("Ingress", "jupyterhub")?;
        let used = used.pointer("/spec/rules/0/http/paths/0/backend/service/port/name").cloned();
        ensure!(service.iter().any(|port| Some(&port["name"]) == used.as_ref()), "{used:?} of {service:?}");
    }
    Ok(())
}

#[test]
fn servers_listen_on_the_addresses_that_the_cluster_gives_them() -> Result<()> {
    let helm = helm!();
    for (family, ip) in [("IPv4", None), ("IPv6", Some("::")), ("DualStack", Some(""))] {
        let rendered = helm.render(&[], &["--set", &format!("network.ipFamily={family}")])?;
        let text = rendered.get("ConfigMap", "hub")?["data"]["specola.toml"].as_str().context("a text")?;
        let config: Value = serde_json::to_value(text.parse::<toml::Table>()?)?;
        assert_eq!(config["spawner"]["kubernetes"]["ip"].as_str(), ip, "{family}");
    }
    Ok(())
}

#[test]
fn servers_in_namespaces_of_people_are_bound_as_those_beside_the_hub() -> Result<()> {
    let helm = helm!();
    let each = ["--set", "hub.config.spawner.kubernetes.enable_user_namespaces=true"];
    let policy = |rendered: &Rendered| -> Result<Value> {
        let text = rendered.get("ConfigMap", "hub")?["data"]["specola.toml"].as_str().context("a text")?;
        let config: Value = serde_json::to_value(text.parse::<toml::Table>()?)?;
        Ok(config["spawner"]["kubernetes"]["user_namespace_network_policy"].clone())
    };
    for values in [&[][..], &["executors"]] {
        let rendered = helm.render(values, &each)?;
        let (theirs, beside) = (policy(&rendered)?, rendered.get("NetworkPolicy", "singleuser")?["spec"].clone());
        let of = json!({ "spec": theirs });
        for (address, port) in [("8.8.8.8", 443), ("10.0.0.10", 53), ("10.1.2.3", 443), ("169.254.169.254", 80)] {
            assert_eq!(
                goes_out(&of, address, port)?,
                goes_out(&json!({ "spec": beside }), address, port)?,
                "{address}"
            );
        }
        // The same, but for where hub and proxy are.
        let here = json!({ "matchLabels": { "kubernetes.io/metadata.name": "labs" } });
        let mut expected = json!({ "ingress": beside["ingress"], "egress": beside["egress"] });
        for rule in ["/ingress/0/from/0", "/egress/0/to/0", "/egress/1/to/0"] {
            expected.pointer_mut(rule).context("a peer")?["namespaceSelector"] = here.clone();
        }
        assert_eq!(theirs, expected);
    }
    assert_eq!(policy(&helm.render(&[], &[])?)?, Value::Null, "theirs is the one beside the hub");
    let open = helm.render(&[], &[&each[..], &["--set", "singleuser.networkPolicy.enabled=false"]].concat())?;
    assert_eq!(policy(&open)?, Value::Null);
    Ok(())
}
