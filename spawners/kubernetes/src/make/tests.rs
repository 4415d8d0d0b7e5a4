use hub_core::id::{Generation, SpawnerId};

use super::*;

fn plan(server: &str) -> Plan {
    let identity = Identity {
        hub: "mark".into(),
        spawner: SpawnerId(7),
        generation: Generation(3),
        user: "Ann@x.it".into(),
        server: server.into(),
        account: Some("5-1764424899123".into()),
    };
    let mut plan = Plan::new(identity, "/user/Ann@x.it/", vec!["jupyterhub-singleuser".into()]);
    plan.environment = vec![("JUPYTERHUB_API_TOKEN".into(), "secret".into())];
    plan.image = Some("quay.io/a/b:1".into());
    plan
}

fn config(shape: Value) -> Config {
    let mut config = Config::new("mark");
    let mut changes = shape.as_object().unwrap().clone();
    // Not for one server.
    if let Some(template) = changes.remove("pvc_name_template") {
        config.shape.pvc_name_template = template.as_str().unwrap().to_owned();
    }
    config.shape = config.shape.with(&changes).unwrap();
    config
}

fn made(config: &Config, plan: &Plan) -> Value {
    let recipe = Recipe::new(config, plan, "labs").unwrap();
    serde_json::to_value(recipe.pod(config, plan, None).unwrap()).unwrap()
}

fn refused(config: &Config, plan: &Plan) -> &'static str {
    let recipe = Recipe::new(config, plan, "labs");
    match recipe.and_then(|recipe| recipe.pod(config, plan, None)) {
        Err(StartError::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

fn variables(pod: &Value) -> Vec<&str> {
    pod["spec"]["containers"][0]["env"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect()
}

#[test]
fn the_usual_pod_is_kubespawners() {
    let pod = made(&config(json!({})), &plan(""));
    assert_eq!(pod["metadata"]["name"], "jupyter-ann-x-it---e5547e34");
    assert_eq!(pod["metadata"]["namespace"], "labs");
    assert_eq!(pod["metadata"]["annotations"]["hub.jupyter.org/username"], "Ann@x.it");
    assert_eq!(pod["metadata"]["labels"]["component"], "singleuser-server");
    assert_eq!(pod["metadata"]["labels"]["specola.generation"], "3");
    let (spec, container) = (&pod["spec"], &pod["spec"]["containers"][0]);
    assert_eq!(container["args"], json!(["jupyterhub-singleuser"]));
    assert_eq!(container["ports"], json!([{"name": "notebook-port", "containerPort": 8888}]));
    assert_eq!(container["securityContext"], json!({"allowPrivilegeEscalation": false}));
    assert_eq!(spec["automountServiceAccountToken"], false);
    assert_eq!(spec["restartPolicy"], "Never");
    assert_eq!(spec["terminationGracePeriodSeconds"], 30);
    let url = container["env"].as_array().unwrap().iter().find(|one| one["name"] == "JUPYTERHUB_SERVICE_URL").unwrap();
    assert_eq!(url["value"], "http://0.0.0.0:8888/user/Ann@x.it/");
}

#[test]
fn variables_of_an_operator_are_templates_and_those_of_the_hub_are_not() {
    let mut plan = plan("gpu");
    let written = [
        ("DATA", "/data/{username}/{servername}", "/data/ann-x-it---e5547e34/gpu"),
        ("WHO", "{unescaped_username} is {userid} in {namespace}, {pod_name}", ""),
        ("JSON", r#"{"a": {"b": [1]}}"#, r#"{"a": {"b": [1]}}"#),
        ("BRACES", r#"{{"user": "{unescaped_username}"}}"#, r#"{"user": "Ann@x.it"}"#),
        ("SHELL", "${HOME}", "${HOME}"),
    ];
    for (name, value, _) in written {
        plan.environment.push((name.into(), value.into()));
        plan.templates.insert(name.into());
    }
    plan.environment.push(("OF_THE_HUB".into(), "{username}".into()));
    let pod = made(&config(json!({})), &plan);
    let env = pod["spec"]["containers"][0]["env"].as_array().unwrap();
    let value = |name: &str| env.iter().find(|one| one["name"] == name).unwrap()["value"].as_str().unwrap();
    for (name, _, expected) in written.into_iter().filter(|(_, _, expected)| !expected.is_empty()) {
        assert_eq!(value(name), expected, "{name}");
    }
    let name = pod["metadata"]["name"].as_str().unwrap();
    assert_eq!(value("WHO"), format!("Ann@x.it is 5 in labs, {name}"));
    assert_eq!(value("OF_THE_HUB"), "{username}");
}

#[test]
fn a_server_listens_where_it_is_told_to() {
    for (ip, host) in [("0.0.0.0", "0.0.0.0"), ("::", "[::]"), ("", "")] {
        let pod = made(&Config { ip: ip.into(), ..config(json!({})) }, &plan(""));
        let env = pod["spec"]["containers"][0]["env"].as_array().unwrap();
        let url = env.iter().find(|one| one["name"] == "JUPYTERHUB_SERVICE_URL").unwrap();
        assert_eq!(url["value"], format!("http://{host}:8888/user/Ann@x.it/"), "{ip:?}");
    }
}

#[test]
fn a_server_starts_in_a_folder_that_is_named() {
    let folder = |shape: Value| made(&config(shape), &plan(""))["spec"]["containers"][0]["workingDir"].clone();
    assert_eq!(folder(json!({})), Value::Null);
    assert_eq!(folder(json!({"working_dir": "/work/{userid}/{username}"})), "/work/5/ann-x-it---e5547e34");
}

#[test]
fn a_claim_by_the_number_of_a_person_is_theirs_alone() {
    let config =
        config(json!({"storage_pvc_ensure": true, "storage_capacity": "1Gi", "pvc_name_template": "claim-{userid}"}));
    check(&Config { shape: Shape { image: Some("i".into()), ..config.shape.clone() }, ..config.clone() }).unwrap();
    let server = plan("").identity;
    assert!(!is_everybodys(&config, &server, "labs") && is_common(&config, &server, "labs"));
    assert_eq!(own_claim(&config, &server, "labs").unwrap().1.usual, "claim-5");
}

#[test]
fn resources_are_requests_and_limits() {
    let mut plan = plan("");
    (plan.cpu_guarantee, plan.cpu_limit) = (Some(0.5), Some(2.0));
    (plan.mem_guarantee, plan.mem_limit) = (Some(1 << 20), Some(1 << 30));
    plan.gpus.insert("nvidia.com/gpu".into(), 1);
    let shape = json!({
        "extra_resource_guarantees": {"ephemeral-storage": "1Gi"}, "extra_resource_limits": {"nvidia.com/gpu": "4"},
    });
    let resources = made(&config(shape), &plan)["spec"]["containers"][0]["resources"].clone();
    assert_eq!(
        resources,
        json!({
            "requests": {"cpu": "500m", "memory": "1048576", "ephemeral-storage": "1Gi", "nvidia.com/gpu": "1"},
            "limits": {"cpu": "2000m", "memory": "1073741824", "nvidia.com/gpu": "1"},
        })
    );
}

#[test]
fn scheduling_identity_and_rights_go_where_kubernetes_has_them() {
    let pod = made(
        &config(json!({
            "image_pull_policy": "Always", "image_pull_secrets": ["reg"], "node_selector": {"pool": "users"},
            "tolerations": [{"key": "users", "operator": "Exists"}],
            "node_affinity_required": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}],
            "pod_anti_affinity_preferred": [{"weight": 5, "podAffinityTerm": {"topologyKey": "host"}}],
            "scheduler_name": "packer", "priority_class_name": "users", "service_account": "lab-{username}",
            "uid": 1000, "gid": 100, "fs_gid": 100, "supplemental_gids": [5],
            "container_security_context": {"runAsUser": 2000, "capabilities": {"drop": ["ALL"]}},
            "pod_security_context": {"fsGroupChangePolicy": "OnRootMismatch"},
            "lifecycle_hooks": {"post_start": {"exec": {"command": ["true"]}}},
            "extra_labels": {"of": "{username}"}, "extra_annotations": {"who": "{unescaped_username}"},
        })),
        &plan("gpu"),
    );
    let (spec, container) = (&pod["spec"], &pod["spec"]["containers"][0]);
    assert_eq!(pod["metadata"]["labels"]["of"], "ann-x-it---e5547e34");
    assert_eq!(pod["metadata"]["annotations"]["who"], "Ann@x.it");
    assert_eq!(pod["metadata"]["annotations"]["hub.jupyter.org/servername"], "gpu");
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(container["lifecycle"]["postStart"]["exec"]["command"], json!(["true"]));
    assert_eq!(container["securityContext"]["runAsUser"], 2000, "the context comes before uid");
    assert_eq!(container["securityContext"]["runAsGroup"], 100);
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "reg"}]));
    assert_eq!(spec["nodeSelector"]["pool"], "users");
    assert_eq!(spec["tolerations"][0]["operator"], "Exists");
    let required = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(required["nodeSelectorTerms"][0]["matchExpressions"][0]["key"], "a");
    let preferred = &spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(preferred[0]["weight"], 5);
    assert_eq!((&spec["schedulerName"], &spec["priorityClassName"]), (&json!("packer"), &json!("users")));
    assert_eq!(spec["serviceAccountName"], "lab-ann-x-it---e5547e34");
    assert!(spec.get("automountServiceAccountToken").is_none(), "as the account has it");
    assert_eq!(spec["securityContext"]["fsGroup"], 100);
    assert_eq!(spec["securityContext"]["supplementalGroups"], json!([5]));
    assert_eq!(spec["securityContext"]["fsGroupChangePolicy"], "OnRootMismatch");
}

#[test]
fn storage_is_claimed_and_mounted_by_its_name() {
    let config = config(json!({
        "storage_pvc_ensure": true, "storage_capacity": "10Gi", "storage_class": "",
        "storage_selector": {"matchLabels": {"of": "{username}"}}, "storage_extra_labels": {"a": "b"},
        "volumes": [{"name": "home", "persistent_volume_claim": {"claimName": "{pvc_name}"}}],
        "volume_mounts": {"home": {"name": "home", "mountPath": "/home/jovyan", "subPath": "{username}"}},
    }));
    let plan = plan("gpu");
    let recipe = Recipe::new(&config, &plan, "labs").unwrap();
    let names = recipe.claim.clone().unwrap();
    assert_eq!(names.usual, "claim-ann-x-it---e5547e34--gpu");
    assert_eq!(names.legacy.as_deref(), Some("claim--41nn-40x-2eit--gpu"));
    assert_eq!(recipe.state(Some("old"))["pvc_name"], "old");
    let pod = serde_json::to_value(recipe.pod(&config, &plan, Some("old")).unwrap()).unwrap();
    assert_eq!(pod["spec"]["volumes"], json!([{"name": "home", "persistentVolumeClaim": {"claimName": "old"}}]));
    assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["subPath"], "ann-x-it---e5547e34");
    let claim = serde_json::to_value(recipe.storage(&plan.identity, "old").unwrap()).unwrap();
    assert_eq!(claim["spec"]["storageClassName"], "");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "10Gi");
    assert_eq!(claim["spec"]["selector"]["matchLabels"]["of"], "ann-x-it---e5547e34");
    assert_eq!(claim["metadata"]["labels"]["specola.spawner"], "7");
    assert_eq!(claim["metadata"]["labels"]["specola.user"], "5-1764424899123", "names change");
    assert!(claim["metadata"]["labels"].get("specola.generation").is_none(), "it outlives a start");
}

#[test]
fn a_claim_that_servers_share_is_nobodys_alone() {
    let mut config = config(json!({}));
    let (default, named) = (plan("").identity, plan("gpu").identity);
    assert!(own_claim(&config, &default, "labs").is_some() && own_claim(&config, &named, "labs").is_some());
    config.shape.pvc_name_template = "claim-{username}".into();
    assert!(own_claim(&config, &default, "labs").is_some(), "it goes with the person");
    assert_eq!(own_claim(&config, &named, "labs"), None);
    config.shape.pvc_name_template = "common".into();
    assert_eq!(own_claim(&config, &default, "labs"), None, "it is everybody's");
}

#[test]
fn volumes_that_were_chosen_are_mounted() {
    let mut plan = plan("");
    let chosen = json!({"claim": "data-{username}", "mount_path": "/data", "read_only": true});
    plan.volumes.insert("data".into(), chosen.as_object().unwrap().clone());
    let known = json!({"mountPath": "/scratch"});
    plan.volumes.insert("scratch".into(), known.as_object().unwrap().clone());
    let config = config(json!({"volumes": [{"name": "scratch", "emptyDir": {}}]}));
    let spec = made(&config, &plan)["spec"].clone();
    assert_eq!(
        spec["volumes"],
        json!([
            {"name": "scratch", "emptyDir": {}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data-ann-x-it---e5547e34"}},
        ])
    );
    let mounts = spec["containers"][0]["volumeMounts"].clone();
    assert_eq!(mounts[0], json!({"name": "data", "mountPath": "/data", "readOnly": true}));
    assert_eq!(mounts[1], json!({"name": "scratch", "mountPath": "/scratch"}));
    let nowhere = json!({"claim": "x"});
    plan.volumes.insert("data".into(), nowhere.as_object().unwrap().clone());
    assert_eq!(refused(&config, &plan), "settings_not_understood");
}

#[test]
fn further_words_are_laid_over_and_take_nothing_away_that_a_server_needs() {
    let config = config(json!({
        "extra_container_config": {"env": [{"name": "A", "value": "1"}], "env_from": [{"configMapRef": {"name": "c"}}]},
        "extra_pod_config": {"host_network": false, "restartPolicy": "OnFailure", "dnsPolicy": "Default"},
        "init_containers": [{"name": "first", "image": "i", "command": ["sh", "-c", "echo ${HOME} {username}"]}],
        "extra_containers": [{"name": "beside", "image": "i", "image_pull_policy": "Never"}],
    }));
    let pod = made(&config, &plan(""));
    let spec = &pod["spec"];
    assert!(variables(&pod).contains(&"A") && variables(&pod).contains(&"JUPYTERHUB_API_TOKEN"));
    assert_eq!(spec["containers"][0]["envFrom"][0]["configMapRef"]["name"], "c");
    assert_eq!(spec["restartPolicy"], "OnFailure");
    assert_eq!(spec["initContainers"][0]["command"][2], "echo ${HOME} {username}", "no template, and so it stays");
    assert_eq!(spec["containers"][1]["imagePullPolicy"], "Never");
}

#[test]
fn a_finished_pod_can_be_changed_but_for_whose_it_is() {
    let pod = made(
        &config(json!({"modify_pod": [
            {"op": "add", "path": "/spec/hostAliases", "value": [{"ip": "10.0.0.1", "hostnames": ["{username}"]}]},
            {"op": "replace", "path": "/spec/containers/0/args", "value": ["other"]},
            {"op": "remove", "path": "/metadata/labels/app"},
            {"op": "add", "path": "/metadata/labels/specola.hub", "value": "another"},
            {"op": "add", "path": "/metadata/name", "value": "another"},
        ]})),
        &plan(""),
    );
    assert_eq!(pod["spec"]["hostAliases"][0]["hostnames"][0], "ann-x-it---e5547e34");
    assert_eq!(pod["spec"]["containers"][0]["args"], json!(["other"]));
    assert!(pod["metadata"]["labels"].get("app").is_none());
    assert_eq!(pod["metadata"]["labels"]["specola.hub"], "mark");
    assert_eq!(pod["metadata"]["name"], "jupyter-ann-x-it---e5547e34");
    for wrong in [
        json!([{"op": "remove", "path": "/spec/nothing"}]),
        json!([{"op": "remove", "path": "/metadata/labels"}]),
        json!([{"op": "replace", "path": "", "value": 3}]),
        json!([{"op": "explode", "path": "/spec"}]),
        json!([{"op": "add", "path": "/spec/nodeSelecter", "value": {"a": "b"}}]),
    ] {
        let error = check(&config(json!({ "modify_pod": wrong }))).unwrap_err();
        assert!(error.starts_with("modify_pod: ") || error.starts_with("spec.nodeSelecter"), "{error}");
    }
}

#[test]
fn variables_come_after_those_they_refer_to() {
    let mut plan = plan("");
    plan.environment = [("A", "$(Z)/x"), ("Z", "1"), ("B", "$(A)"), ("C", "$(D)"), ("D", "$(C)"), ("E", "$(NOBODY)")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    let pod = made(&config(json!({})), &plan);
    let order: Vec<&str> = variables(&pod).into_iter().filter(|name| name.len() == 1).collect();
    assert_eq!(order, ["E", "Z", "A", "B", "C", "D"]);
    plan.cmd = vec!["echo".into(), "$(A)".into()];
    let args = made(&config(json!({})), &plan)["spec"]["containers"][0]["args"].clone();
    assert_eq!(args, json!(["echo", "$$(A)"]), "words of a command are words");
    plan.cmd = vec!["sh".into(), "-c".into(), "kill $$ $HOME".into()];
    let args = made(&config(json!({})), &plan)["spec"]["containers"][0]["args"].clone();
    assert_eq!(args[2], "kill $$$$ $$HOME", "two of them are one to Kubernetes");
}

#[test]
fn a_pod_that_has_a_service_is_reached_by_its_name() {
    let pod = made(&config(json!({"services_enabled": true})), &plan(""));
    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(annotations["specola.host"], "jupyter-ann-x-it---e5547e34.labs.svc.cluster.local");
    assert_eq!(annotations["specola.served"], "yes", "whoever finds it makes sure of the service");
    assert!(made(&config(json!({})), &plan(""))["metadata"]["annotations"].get("specola.served").is_none());
}

#[test]
fn people_may_have_namespaces_of_their_own() {
    let mut config = config(json!({}));
    config.enable_user_namespaces = true;
    config.user_namespace_labels.insert("of".into(), "{username}".into());
    let plan = plan("");
    let recipe = Recipe::new(&config, &plan, "labs").unwrap();
    assert_eq!(recipe.namespace, "labs-ann-x-it---e5547e34");
    let space = serde_json::to_value(recipe.space(&config, &plan.identity).unwrap()).unwrap();
    assert_eq!(space["metadata"]["annotations"]["hub.jupyter.org/username"], "Ann@x.it");
    assert_eq!(space["metadata"]["labels"]["of"], "ann-x-it---e5547e34");
}

#[test]
fn what_is_wrong_with_a_configuration_is_named_with_its_option() {
    for (shape, option) in [
        (json!({"extra_pod_config": {"containers": []}}), "extra_pod_config: containers"),
        (json!({"extra_pod_config": {"nodeSelecter": {"a": "b"}}}), "spec.nodeSelecter"),
        (json!({"tolerations": [{"kee": "a"}]}), "spec.tolerations.kee"),
        (json!({"storage_pvc_ensure": true}), "storage_capacity"),
        (json!({"pvc_name_template": "claim-{nobody}", "storage_pvc_ensure": true}), "pvc_name_template"),
        (json!({"pod_connect_ip": "{nobody}"}), "pod_connect_ip"),
        (json!({"container_security_context": {"run_as_user": 1}}), "container_security_context"),
    ] {
        let error = check(&config(shape)).unwrap_err();
        assert!(error.starts_with(option), "{error}");
    }
    let mut wrong = config(json!({}));
    wrong.pod_name_template = "Jupyter-{username}".into();
    assert!(check(&wrong).unwrap_err().starts_with("pod_name_template"));
    assert_eq!(check(&config(json!({}))), Ok(()));
}

#[test]
fn a_server_without_an_image_is_refused() {
    let mut plan = plan("");
    plan.image = None;
    assert_eq!(refused(&config(json!({})), &plan), "no_image");
}
