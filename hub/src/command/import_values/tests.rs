//! Values as sites write them.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

fn imported(text: &str) -> (Value, BTreeMap<String, String>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let (file, draft) = (folder.path().join("values.yaml"), folder.path().join("draft"));
    std::fs::write(&file, text).unwrap();
    let carried = carry::carry(read(&file).unwrap(), &draft).unwrap();
    assert!(!draft.exists(), "the draft was left");
    let left = carried.left.into_iter().map(|left| (left.path, format!("{}: {}", left.why, left.instead))).collect();
    (Value::Object(carried.values), left, carried.count)
}

#[test]
fn the_values_of_a_site_are_carried_but_for_what_is_their_programs_own() {
    let (values, left, count) = imported(include_str!("samples/university.yaml"));
    assert_eq!(
        left.keys().map(String::as_str).collect::<Vec<_>>(),
        [
            "cull.concurrency",
            "hub.config.JupyterHub.admin_access",
            "hub.config.JupyterHub.authenticator_class",
            "hub.config.KubeSpawner.delete_stopped_pods",
            "hub.config.KubeSpawner.image",
            "hub.consecutiveFailureLimit",
            "hub.db.type",
            "hub.db.url",
            "hub.extraConfig",
            "hub.image",
            "hub.livenessProbe.enabled",
            "prePuller.hook.image",
            "prePuller.pause",
            "proxy.chp.extraCommandLineFlags",
            "proxy.chp.image",
            "proxy.traefik",
            "scheduling.userScheduler",
            "singleuser.allowPrivilegeEscalation",
            "singleuser.cpu.guarantee",
            "singleuser.extraFiles",
            "singleuser.profileList (null in it)",
            "singleuser.profileLst",
            "singleuser.storage.dynamic.volumeNameTemplate",
        ]
    );
    assert!(left["hub.extraConfig"].contains("specola import-config"), "{left:?}");
    assert!(left["singleuser.cpu.guarantee"].contains("it has to be a number or nothing"), "{left:?}");
    assert!(left["hub.config.JupyterHub.authenticator_class"].contains("auth.providers"), "{left:?}");
    assert!(left["hub.db.url"].contains("form"), "{left:?}");
    let at = |path: &str| values.pointer(path).cloned().unwrap_or_default();
    for (path, value) in [
        ("/publicUrl", json!("https://hub.example.org/jupyter/")),
        ("/hub/baseUrl", json!("/jupyter/")),
        ("/hub/cryptKey", json!("aa;bb")),
        ("/hub/db", json!({ "pvc": { "storage": "2Gi" } })),
        ("/hub/services/grader/apiToken", json!("0123456789abcdef")),
        ("/hub/services/grader/url", json!("http://grader:5000")),
        ("/hub/livenessProbe", json!({ "periodSeconds": 20 })),
        ("/hub/annotations", json!({ "prometheus.io/scrape": "true" })),
        ("/hub/config/auth/admin_users", json!(["ada"])),
        ("/hub/config/auth/allowed_users", json!(["ada", "grace"])),
        (
            "/hub/config/spawner/kubernetes",
            json!({ "k8s_api_request_timeout": 5, "delete_pvc": false, "working_dir": "/x" }),
        ),
        ("/proxy/resources/requests/cpu", json!("200m")),
        ("/proxy/networkPolicy/egressAllowRules/privateIPs", json!(true)),
        ("/proxy/https/hosts", json!(["hub.example.org"])),
        ("/singleuser/image/tag", json!("2026-11-01")),
        ("/singleuser/cpu", json!({ "limit": 2 })),
        ("/singleuser/memory", json!({ "limit": "4G", "guarantee": null })),
        ("/singleuser/extraLabels", json!({ "hub.jupyter.org/network-access-hub": null })),
        ("/singleuser/profileList/0/kubespawner_override/cpu_limit", json!(1)),
        ("/scheduling", json!({ "podPriority": { "enabled": true }, "userPlaceholder": { "replicas": 3 } })),
        ("/rbac", json!({ "create": true })),
        ("/custom/place", json!("Bologna")),
    ] {
        assert_eq!(at(path), value, "{path} in {values:#}");
    }
    // Null takes away what the chart would have: the image's own command, user and group.
    for name in ["cmd", "uid", "fsGid"] {
        assert_eq!(values["singleuser"].get(name), Some(&Value::Null), "{name}");
    }
    assert_eq!(values["singleuser"].get("lifecycleHooks"), None, "there are none anyway");
    assert!(count > 25, "{count}");
    assert_eq!(at("/jupyterhub"), Value::Null);
}

#[test]
fn their_usual_values_and_ours_are_carried_whole() {
    // Ours go through unchanged, but for what is free in its own way.
    let text = include_str!("../../../../deploy/helm/values.yaml");
    let (values, left, _) = imported(text);
    assert_eq!(
        left.keys().map(String::as_str).collect::<Vec<_>>(),
        ["hub.args", "hub.command", "hub.image", "singleuser.networkTools.image"]
    );
    let ours: Value = serde_saphyr::from_str(text).unwrap();
    // What is null without being said is not said.
    let mut all = ours.clone();
    lay(&mut all, values);
    assert_eq!(all, ours);
    // And what the chart has is taken away, one after the other, or told.
    let mut at = Vec::new();
    leaves("", &ours, &mut at);
    for path in at.iter().filter(|path| !path.starts_with("/hub/config") && !path.contains("/image/")) {
        let mut text = String::new();
        for (depth, name) in path.split('/').skip(1).enumerate() {
            text += &format!("\n{:indent$}{}:", "", Value::from(name.replace("~1", "/")), indent = depth * 2);
        }
        let (values, left, _) = imported(&format!("{text} null"));
        let is_carried = values.pointer(path).is_some_and(Value::is_null);
        assert!(is_carried || left.len() == 1, "{path}: {values} {left:?}");
    }
}

/// Lays values over others, as Helm does.
fn lay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            over.into_iter().for_each(|(name, value)| lay(under.entry(name).or_insert(Value::Null), value));
        }
        (under, over) => *under = over,
    }
}

/// Where there is something.
fn leaves(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                leaves(&format!("{path}/{}", name.replace('/', "~1")), value, found);
            }
        }
        Value::Null => {}
        Value::Array(items) if items.is_empty() => {}
        Value::String(text) if text.is_empty() => {}
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn what_is_no_table_of_values_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    for (text, said) in
        [("a: [", "is not YAML"), ("- a", "is not a table"), ("text", "is not a table"), ("", "is not a table")]
    {
        std::fs::write(&file, text).unwrap();
        let told = format!("{:#}", read(&file).unwrap_err());
        assert!(told.contains(said), "{text}: {told}");
    }
    assert!(format!("{:#}", read(&folder.path().join("none")).unwrap_err()).contains("cannot read"));
    // Odd shapes where tables are expected are told, not followed.
    let (values, left, _) =
        imported("hub: 1\nproxy: {chp: [1]}\nsingleuser: {image: x, extraLabels: {a.b/c: d}}\nscheduling:\n");
    assert_eq!(left.keys().map(String::as_str).collect::<Vec<_>>(), ["hub", "proxy.chp", "singleuser.image"]);
    assert_eq!(values, serde_json::json!({ "singleuser": { "extraLabels": { "a.b/c": "d" } } }));
}
