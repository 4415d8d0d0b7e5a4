//! Who knows which secret, and what pods may do.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tests::need;

use super::super::file;
use super::{Rendered, VALUES, helm, name};

#[test]
fn secrets_are_in_secrets_alone_and_the_proxy_has_but_its_own() -> Result<()> {
    let helm = helm!();
    let told = [
        "0123456789abcdef0123456789abcdef",
        "fedcba9876543210fedcba9876543210",
        "the-token-of-the-grader",
        "the-token-of-hub-and-proxy",
        "the-password-of-the-registry",
        "the-password-of-the-database",
        "the-key-of-the-certificate",
    ];
    let mut found: BTreeSet<&str> = BTreeSet::new();
    for values in VALUES {
        let rendered = helm.render(values, &[])?;
        for object in &rendered.objects {
            let text = object.to_string();
            for word in told {
                ensure!(!text.contains(word), "{word} in {} {}", object["kind"], name(object));
            }
            for value in object["data"].as_object().into_iter().flatten().map(|(_, value)| value) {
                let value = value.as_str().and_then(|value| BASE64_STANDARD.decode(value).ok()).unwrap_or_default();
                found.extend(told.iter().filter(|word| String::from_utf8_lossy(&value).contains(**word)));
            }
        }
        for proxy in rendered.of("Deployment").filter(|object| name(object).ends_with("proxy")) {
            let volumes = proxy.pointer("/spec/template/spec/volumes").and_then(Value::as_array).context("volumes")?;
            let secret = volumes.iter().find(|volume| volume["name"] == "secret").context("its secret")?;
            let items = secret["secret"]["items"].as_array().context("items")?;
            ensure!(items.len() == 1 && items[0]["key"] == "hub.config.ConfigurableHTTPProxy.auth_token", "{items:?}");
            // With letsencrypt it has the right to one secret, and otherwise none.
            let pod = proxy.pointer("/spec/template/spec").context("a pod")?;
            match rendered.of("Role").find(|role| name(role).ends_with("proxy-acme")) {
                Some(_) => ensure!(pod["serviceAccountName"] == "lab-proxy", "{pod}"),
                None => ensure!(pod["automountServiceAccountToken"] == false, "{pod}"),
            }
        }
    }
    assert_eq!(found.len(), told.len(), "each was given in some of the values: {found:?}");
    // What nobody gives is made, long enough, and another each time.
    let (one, other) = (helm.render(&[], &[])?, helm.render(&[], &[])?);
    for key in ["JupyterHub.cookie_secret", "ConfigurableHTTPProxy.auth_token", "CryptKeeper.keys"] {
        let of = |rendered: &Rendered| -> Result<Vec<u8>> {
            let value = &rendered.get("Secret", "hub")?["data"][format!("hub.config.{key}")];
            Ok(BASE64_STANDARD.decode(value.as_str().context("a text")?)?)
        };
        let (one, other) = (of(&one)?, of(&other)?);
        ensure!(one.len() == 64 && other.len() == 64 && one != other, "{key}");
    }
    Ok(())
}

#[test]
fn proxies_share_the_certificate_of_an_authority_in_a_secret_that_they_may_change_and_no_other() -> Result<()> {
    let helm = helm!();
    let rights: Value = serde_json::from_str(&fs::read_to_string(file("deploy/helm/files/rights.json"))?)?;
    let more = ["--set", "proxy.replicas=3", "--set", "proxy.autoscaling.enabled=true"];
    let rendered = helm.render(&["everything"], &more)?;
    let secret = rendered.get("Secret", "lab-proxy-acme")?;
    assert_eq!(secret["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    ensure!(
        secret.get("data").is_none() && secret.get("stringData").is_none(),
        "an upgrade leaves what is in it: {secret}"
    );
    let mut expected = rights["certificate"].clone();
    for rule in expected.as_array_mut().context("rules")? {
        ensure!(rule["verbs"] == json!(["get", "patch"]), "{rule}");
        rule["resourceNames"] = json!(["lab-proxy-acme"]);
    }
    assert_eq!(rendered.get("Role", "lab-proxy-acme")?["rules"], expected);
    let binding = rendered.get("RoleBinding", "lab-proxy-acme")?;
    assert_eq!(binding["subjects"], json!([{ "kind": "ServiceAccount", "name": "lab-proxy", "namespace": "labs" }]));
    rendered.get("ServiceAccount", "lab-proxy")?;
    let text = rendered.get("ConfigMap", "lab-proxy")?["data"]["specola.toml"].as_str().context("a text")?;
    ensure!(text.contains("acme_secret = \"lab-proxy-acme\""), "{text}");
    let proxy = rendered.get("Deployment", "lab-proxy")?;
    assert_eq!(proxy["spec"]["strategy"]["type"], "RollingUpdate");
    ensure!(
        rendered.of("PersistentVolumeClaim").all(|claim| name(claim) != "lab-proxy-acme"),
        "no volume is for one alone"
    );
    // Others have no account.
    let none = helm.render(&[], &[])?;
    ensure!(none.of("ServiceAccount").all(|account| name(account) != "proxy"));
    Ok(())
}

#[test]
fn every_pod_is_without_rights_but_the_one_that_blocks_with_iptables() -> Result<()> {
    let helm = helm!();
    for values in VALUES {
        let rendered = helm.render(values, &[])?;
        for (whose, pod) in rendered.pods() {
            let containers = |of: &str| pod[of].as_array().cloned().unwrap_or_default();
            // Those that an operator adds are their own business.
            let ours = containers("initContainers").into_iter().chain(containers("containers"));
            for container in ours.filter(|one| one["image"] != "busybox:1") {
                let context = &container["securityContext"];
                let right = context["runAsNonRoot"] == true
                    && context["allowPrivilegeEscalation"] == false
                    && context["readOnlyRootFilesystem"] == true
                    && context["capabilities"] == json!({"drop": ["ALL"]});
                let confined = [context, &pod["securityContext"]]
                    .iter()
                    .any(|context| context["seccompProfile"]["type"] == "RuntimeDefault");
                ensure!(right && confined, "{whose} {}: {context}", container["name"]);
                ensure!(container["resources"].is_object(), "{whose} {}: no resources", container["name"]);
            }
            ensure!(pod.pointer("/hostNetwork").is_none(), "{whose}");
        }
    }
    // Servers: blocked by policy; with a privileged container where that is asked for.
    let config = |values: &[&str], called: &str| -> Result<String> {
        let rendered = helm.render(values, &[])?;
        Ok(rendered.get("ConfigMap", called)?["data"]["specola.toml"].as_str().context("a text")?.to_owned())
    };
    ensure!(!config(&[], "hub")?.contains("privileged = true"));
    ensure!(config(&["ipv6"], "here-specola-hub")?.contains("\"ip6tables\""));
    ensure!(config(&["everything"], "lab-hub")?.contains("\"iptables\""));
    Ok(())
}
#[test]
fn rights_are_those_that_the_driver_is_held_to_where_they_are_needed() -> Result<()> {
    let helm = helm!();
    let rights: Value = serde_json::from_str(&fs::read_to_string(file("deploy/helm/files/rights.json"))?)?;
    let rules = |rendered: &Rendered, kind: &str, name: &str| -> Result<Value> {
        Ok(rendered.get(kind, name)?["rules"].clone())
    };
    let joined = |parts: &[&str]| -> Value {
        parts.iter().flat_map(|part| rights[*part].as_array()).flatten().cloned().collect()
    };
    assert_eq!(rules(&helm.render(&[], &[])?, "Role", "hub")?, joined(&["servers"]));
    assert_eq!(rules(&helm.render(&["everything"], &[])?, "Role", "lab-hub")?, joined(&["servers", "services"]));
    // Services for the servers of one profile are services too, wherever it stands.
    let with = json!({ "services_enabled": true });
    let choices = json!({ "x": { "choices": { "y": { "kubespawner_override": with } } } });
    let folder = tempfile::tempdir()?;
    for values in [
        json!({ "singleuser": { "profileList": [{ "display_name": "P", "kubespawner_override": with }] } }),
        json!({ "singleuser": { "profileList": { "a": { "display_name": "P", "profile_options": choices } } } }),
        json!({ "hub": { "config": { "options": { "profile_list": [{ "kubespawner_override": with }] } } } }),
        json!({ "hub": { "config": { "options": { "flavours": [{ "name": "f", "spawner_override": with }] } } } }),
        json!({ "hub": { "config": { "sites": [{ "name": "s", "spawner": with }] } } }),
        json!({ "hub": { "extraFiles": { "p": { "mountPath": "/p", "stringData": "a: {services_enabled: true}" } } } }),
        json!({ "hub": { "extraFiles": { "p": { "mountPath": "/p", "stringData": with.to_string() } } } }),
        json!({ "hub": { "extraFiles": { "p": { "mountPath": "/p", "data": with } } } }),
    ] {
        let file = folder.path().join("values.json");
        fs::write(&file, values.to_string())?;
        let one = helm.render(&[], &["--values", &file.display().to_string()])?;
        assert_eq!(rules(&one, "Role", "hub")?, joined(&["servers", "services"]), "{values}");
    }
    // With a namespace for each person: of the whole cluster the hub sees, and changes nothing but by binding one role.
    let bind = |role: &str| {
        json!({
            "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"],
            "resourceNames": [role], "verbs": ["bind"],
        })
    };
    let wide = helm.render(&["postgres"], &[])?;
    let mut expected = joined(&["watching", "namespaces"]);
    expected.as_array_mut().context("rules")?.push(bind("labs-here-hub-servers"));
    assert_eq!(rules(&wide, "ClusterRole", "labs-here-hub")?, expected);
    assert_eq!(rules(&wide, "ClusterRole", "labs-here-hub-servers")?, joined(&["servers", "policies"]));
    let here = wide.get("RoleBinding", "hub-servers")?;
    assert_eq!(here["roleRef"]["name"], "labs-here-hub-servers", "servers of before are in its own namespace");
    for binding in wide.of("ClusterRoleBinding") {
        ensure!(binding["roleRef"]["name"] != "labs-here-hub-servers", "bound in the whole cluster: {binding}");
    }
    let text = wide.get("ConfigMap", "hub")?["data"]["specola.toml"].as_str().context("a text")?;
    let config: Value = serde_json::to_value(text.parse::<toml::Table>()?)?;
    assert_eq!(
        config["spawner"]["kubernetes"]["user_namespace_binding"],
        json!({ "role": "labs-here-hub-servers", "hub_user": "system:serviceaccount:labs:hub" })
    );
    ensure!(wide.get("Role", "hub").is_err());
    // Executors: the hub gives a role out without having it, and only that one.
    let executors = helm.render(&["executors"], &[])?;
    assert_eq!(
        rules(&executors, "Role", "hub")?,
        joined(&["servers", "accounts"]),
        "accounts where servers are, no others"
    );
    let each = helm.render(&["executors"], &["--set", "hub.config.spawner.kubernetes.enable_user_namespaces=true"])?;
    assert_eq!(rules(&each, "ClusterRole", "labs-here-hub-servers")?, joined(&["servers", "accounts", "policies"]));
    let mut expected = joined(&["executors"]);
    expected.as_array_mut().context("rules")?.push(bind("labs-here-executors"));
    assert_eq!(rules(&executors, "ClusterRole", "labs-here-hub-executors")?, expected);
    let of_labs: Value = serde_json::from_str(&fs::read_to_string(file("deploy/helm/files/executors.json"))?)?;
    let given = rules(&executors, "ClusterRole", "labs-here-executors")?;
    let given = given.as_array().context("rules")?;
    ensure!(of_labs.as_array().context("rules")?.iter().all(|rule| given.contains(rule)), "{given:?}");
    ensure!(given.iter().any(|rule| rule["apiGroups"] == json!(["kubernetes.dask.org"])), "what was added: {given:?}");
    let reaching =
        ["secrets", "pods/exec", "rolebindings", "roles", "resourcequotas", "networkpolicies", "namespaces", "*"];
    for rule in given {
        let resources = rule["resources"].as_array().context("resources")?;
        ensure!(!resources.iter().any(|one| reaching.iter().any(|far| one == far)), "{rule}");
    }
    let none = helm.render(&["secret"], &[])?;
    ensure!(none.of("Role").chain(none.of("ClusterRole")).chain(none.of("ServiceAccount")).next().is_none());
    assert_eq!(
        none.get("Deployment", "hub")?.pointer("/spec/template/spec/serviceAccountName"),
        Some(&json!("theirs"))
    );
    Ok(())
}
