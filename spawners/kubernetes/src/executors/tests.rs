use hub_core::id::{Generation, SpawnerId};
use serde_json::{Value, json};
use spawners::{Identity, Plan};

use super::*;
use crate::make::Recipe;

fn server() -> Identity {
    Identity {
        hub: "h".into(),
        spawner: SpawnerId(7),
        generation: Generation(3),
        user: "anna".into(),
        server: String::new(),
        account: Some("5-1".into()),
    }
}

fn plan(storage: bool) -> Plan {
    let mut plan = Plan::new(server(), "/user/anna/", Vec::new());
    plan.image = Some("lab:1".into());
    let mut variables = vec![("JUPYTERHUB_API_TOKEN", "t0ken"), ("JUPYTERHUB_API_URL", "http://hub:8081/hub/api")];
    if storage {
        variables.extend([("SPECOLA_STORAGE_NAMES", "main deep"), ("AWS_ENDPOINT_URL_S3", "https://s3.example.org")]);
        variables.push(("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required"));
    }
    plan.environment = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    plan
}

fn config(executors: Value, namespaces: Value) -> Config {
    let mut config = Config::new("h");
    config.shape.executors = Some(serde_json::from_value(executors).unwrap());
    config.executor_namespaces = Some(serde_json::from_value(namespaces).unwrap());
    config
}

/// The pod of a server, and the templates that it finds.
fn made(config: &Config, plan: &Plan) -> (Value, [Value; 2]) {
    let recipe = Recipe::new(config, plan, "labs").unwrap();
    let pod = serde_json::to_value(recipe.pod(config, plan, None).unwrap()).unwrap();
    let template = |name: &str| {
        let text = pod["metadata"]["annotations"][format!("specola.executors.{name}")].as_str().unwrap();
        serde_json::from_str(text).unwrap()
    };
    let templates = [template("spark"), template("dask")];
    (pod, templates)
}

fn variable<'a>(container: &'a Value, name: &str) -> &'a Value {
    let found = container["env"].as_array().into_iter().flatten().find(|variable| variable["name"] == name);
    found.unwrap_or(&Value::Null)
}

#[test]
fn a_namespace_for_executors_is_known_by_its_name_and_is_nobodys_otherwise() {
    assert_eq!(namespace("labs", &server()), "labs--executors-7-3");
    let long = namespace(&"n".repeat(63), &server());
    assert!(long.len() == 63 && is_namespace(&long), "{long}");
    for (name, is) in [
        ("labs--executors-7-3", true),
        ("labs", false),
        ("labs-executors-7-3", false),
        ("labs--executors-7", false),
        ("labs--executors-x-3", false),
        ("labs-x--executors-7-3-a", false),
    ] {
        assert_eq!(is_namespace(name), is, "{name}");
    }
    // Whatever people are called, theirs are others.
    for user in ["x--executors-7-3", "executors-7-3", "labs--executors-1-1"] {
        let identity = Identity { user: user.into(), ..server() };
        let names = crate::name::Names::new(&identity, crate::name::SlugScheme::Safe, "labs");
        let name = names.object("{hubnamespace}-{username}").unwrap();
        assert!(!is_namespace(&name), "{name}");
    }
}

#[test]
fn a_server_finds_its_account_and_what_spark_and_dask_read() {
    let config = config(json!({ "image": "spark:3" }), json!({}));
    let (pod, [spark, dask]) = made(&config, &plan(false));
    assert_eq!(pod["spec"]["serviceAccountName"], "jupyter-anna-executors");
    assert_eq!(pod["spec"]["automountServiceAccountToken"], true);
    let lab = &pod["spec"]["containers"][0];
    assert_eq!(lab["env"][0]["valueFrom"]["fieldRef"]["fieldPath"], "status.podIP", "before what refers to it");
    assert_eq!(variable(lab, "SPECOLA_EXECUTOR_NAMESPACE")["value"], "labs--executors-7-3");
    assert_eq!(variable(lab, "DASK_KUBERNETES__NAMESPACE")["value"], "labs--executors-7-3");
    assert_eq!(variable(lab, "DASK_KUBERNETES__WORKER_TEMPLATE_PATH")["value"], "/etc/specola/executors/dask.yaml");
    let arguments = variable(lab, "PYSPARK_SUBMIT_ARGS")["value"].as_str().unwrap();
    for words in [
        "--conf spark.kubernetes.namespace=labs--executors-7-3 ",
        "--conf spark.driver.host=$(SPECOLA_DRIVER_HOST) ",
        "--conf spark.kubernetes.container.image=spark:3 ",
        "--conf spark.authenticate=true ",
    ] {
        assert!(arguments.contains(words), "{arguments}");
    }
    assert!(arguments.ends_with(" pyspark-shell"), "{arguments}");
    for template in [&spark, &dask] {
        assert_eq!(template["metadata"]["namespace"], "labs--executors-7-3");
        assert_eq!(template["spec"]["containers"][0]["name"], "executor");
        assert_eq!(template["spec"]["containers"][0]["env"], json!([]), "there is no object store");
        assert_eq!(template["spec"]["automountServiceAccountToken"], false);
    }
    assert_eq!(spark["spec"]["containers"][0]["args"], Value::Null, "Spark says what it runs");
    let worker = dask["spec"]["containers"][0]["args"].as_array().unwrap();
    assert_eq!(worker[0], "dask-worker");
    // A part of the container's memory, which is all of it: `auto` is less, the more processors the machine has.
    assert!(worker.windows(2).any(|pair| pair == ["--memory-limit", "1.0"]), "{worker:?}");
}

/// Quotas count all containers of a pod, and refuse one that does not say how much it needs.
#[test]
fn as_many_executors_fit_in_a_quota_as_it_has_processors() {
    let (_, templates) = made(&config(json!({}), json!({ "agent_image": "agent:1" })), &plan(true));
    for template in templates {
        let containers = template["spec"]["containers"].as_array().unwrap().iter();
        let asked: Vec<&str> =
            containers.map(|container| container["resources"]["requests"]["cpu"].as_str().unwrap()).collect();
        assert_eq!(asked, ["1", "0"]);
    }
}

#[test]
fn what_a_person_has_chosen_to_set_stays() {
    let mut plan = plan(false);
    plan.environment.push(("PYSPARK_SUBMIT_ARGS".into(), "--master local pyspark-shell".into()));
    let (pod, _) = made(&config(json!({}), json!({})), &plan);
    let variables = pod["spec"]["containers"][0]["env"].as_array().unwrap().clone();
    let set: Vec<&Value> = variables.iter().filter(|variable| variable["name"] == "PYSPARK_SUBMIT_ARGS").collect();
    assert!(set.len() == 1 && set[0]["value"] == "--master local pyspark-shell", "{set:?}");
}

#[test]
fn executors_find_keys_and_nothing_that_is_written_is_one() {
    let (pod, [spark, _]) = made(&config(json!({}), json!({ "agent_image": "agent:1" })), &plan(true));
    let containers = spark["spec"]["containers"].as_array().unwrap();
    let [executor, agent] = containers.as_slice() else { panic!("{containers:?}") };
    let url = "http://127.0.0.1:9912/credentials/main";
    assert_eq!(variable(executor, "AWS_CONTAINER_CREDENTIALS_FULL_URI")["value"], url);
    assert_eq!(variable(executor, "AWS_ENDPOINT_URL_S3")["value"], "https://s3.example.org");
    assert_eq!(variable(executor, "AWS_REQUEST_CHECKSUM_CALCULATION")["value"], "when_required");
    let secret = |container: &Value, name: &str| variable(container, name)["valueFrom"]["secretKeyRef"]["key"].clone();
    assert_eq!(secret(executor, "AWS_CONTAINER_AUTHORIZATION_TOKEN"), "keys");
    assert_eq!(variable(executor, "JUPYTERHUB_API_TOKEN"), &Value::Null, "that is the agent's");
    assert_eq!((&agent["image"], &agent["command"]), (&json!("agent:1"), &json!(["specola-lab-agent"])));
    assert_eq!(variable(agent, "SPECOLA_STORAGE_LISTEN")["value"], "127.0.0.1:9912");
    // It ends with the executor, whose processes it sees.
    assert_eq!(spark["spec"]["shareProcessNamespace"], true);
    assert_eq!(variable(agent, "SPECOLA_PROCESSES")["value"], "/proc");
    assert_eq!(secret(agent, "JUPYTERHUB_API_TOKEN"), "token");
    assert!(!spark.to_string().contains("t0ken"), "{spark}");
    assert!(variable(&pod["spec"]["containers"][0], "PYSPARK_SUBMIT_ARGS").to_string().contains("fs.s3a.endpoint"));
    // Without an image for it the agent is in that of the executor.
    let (_, [spark, _]) = made(&config(json!({}), json!({})), &plan(true));
    let containers = spark["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    assert_eq!(variable(&containers[0], "SPECOLA_STORAGE_LISTEN")["value"], "127.0.0.1:9912");
    assert_eq!(secret(&containers[0], "SPECOLA_STORAGE_TOKEN"), "keys");
    // Where the hub itself gives keys to programs of AWS, they ask it.
    let mut plan = plan(true);
    let direct = "https://hub.example.org/hub/api/user/storage/main/credentials";
    plan.environment.push(("AWS_CONTAINER_CREDENTIALS_FULL_URI".into(), direct.into()));
    plan.environment.push(("AWS_CONTAINER_AUTHORIZATION_TOKEN".into(), "token t0ken".into()));
    let (_, [spark, _]) = made(&config(json!({}), json!({})), &plan);
    let executor = &spark["spec"]["containers"][0];
    assert_eq!(variable(executor, "AWS_CONTAINER_CREDENTIALS_FULL_URI")["value"], direct);
    assert_eq!(secret(executor, "AWS_CONTAINER_AUTHORIZATION_TOKEN"), "authorization");
    let place = Place { namespace: "n".into(), account: "a".into() };
    let kept = serde_json::to_value(make::secret(&place, &plan).unwrap()).unwrap();
    assert_eq!(kept["stringData"]["authorization"], "token t0ken");
    assert_eq!(kept["stringData"]["token"], "t0ken");
    assert_ne!(kept["stringData"]["keys"], "t0ken");
}

#[test]
fn bounds_are_those_of_the_profile_and_leave_no_way_out() {
    let place = Place { namespace: "n".into(), account: "a".into() };
    let executors: Executors = serde_json::from_value(
        json!({ "pods": 8, "cpu": 16, "memory": "64Gi", "quota": { "requests.nvidia.com/gpu": 2 } }),
    )
    .unwrap();
    let quota = serde_json::to_value(make::quota(&executors, &place).unwrap()).unwrap();
    assert_eq!(
        quota["spec"]["hard"],
        json!({
            "pods": "8", "requests.cpu": "16", "requests.memory": "64Gi", "limits.memory": "64Gi",
            "requests.nvidia.com/gpu": "2",
            "services": "0", "services.nodeports": "0", "services.loadbalancers": "0", "persistentvolumeclaims": "0",
            "count/configmaps": "20",
        })
    );
    // What an operator says comes before it.
    let opened: Executors = serde_json::from_value(json!({ "quota": { "services": 1 } })).unwrap();
    let quota = serde_json::to_value(make::quota(&opened, &place).unwrap()).unwrap();
    let hard = &quota["spec"]["hard"];
    assert_eq!((&hard["services"], &hard["requests.nvidia.com/gpu"]), (&json!("1"), &json!("0")));
    assert_eq!((&hard["services.nodeports"], &hard["services.loadbalancers"]), (&json!("0"), &json!("0")));
    let critical = serde_json::to_value(make::quota_of_critical(&place).unwrap()).unwrap();
    let selected = &critical["spec"]["scopeSelector"]["matchExpressions"][0];
    assert_eq!(selected["values"], json!(["system-node-critical", "system-cluster-critical"]));
    assert_eq!(critical["spec"]["hard"], json!({ "pods": "0" }));
    let namespaces: ExecutorNamespaces =
        serde_json::from_value(json!({ "egress": [{ "ports": [{ "port": 443 }] }] })).unwrap();
    let policy = serde_json::to_value(make::policy(&namespaces, "n", &server()).unwrap().unwrap()).unwrap();
    let own = json!([
        { "podSelector": {} },
        {
            "namespaceSelector": { "matchExpressions": [{ "key": "specola.executors", "operator": "DoesNotExist" }] },
            "podSelector": { "matchLabels": {
                "specola.hub": "h", "specola.spawner": "7", "specola.generation": "3",
            }},
        },
    ]);
    assert_eq!(policy["spec"]["ingress"], json!([{ "from": own }]));
    assert_eq!(policy["spec"]["egress"], json!([{ "to": own }, { "ports": [{ "port": 443 }] }]));
    assert!(make::policy(&ExecutorNamespaces::default(), "n", &server()).unwrap().is_none());
    let space = serde_json::to_value(make::space(&namespaces, &place, "labs", &server()).unwrap()).unwrap();
    assert_eq!(space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    assert_eq!(space["metadata"]["annotations"]["specola.labs"], "labs");
}

/// `restricted`, as Kubernetes has it: every container of a template satisfies it.
#[test]
fn templates_are_let_in_by_the_standard_that_is_enforced() {
    let mut config = config(json!({}), json!({ "agent_image": "agent:1" }));
    config.shape.uid = Some(1000);
    let (_, templates) = made(&config, &plan(true));
    for template in templates {
        let spec = &template["spec"];
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
        assert_eq!(spec["securityContext"]["runAsUser"], 1000, "the server's own image runs as it does there");
        assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let containers = spec["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 2);
        for container in containers {
            assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false, "{container}");
            assert_eq!(container["securityContext"]["capabilities"], json!({ "drop": ["ALL"] }), "{container}");
            assert_ne!(container["securityContext"]["runAsNonRoot"], false, "{container}");
        }
        assert!(spec["volumes"].is_null() && spec["hostNetwork"].is_null() && spec["hostPID"].is_null(), "{spec}");
    }
    // Another image says itself who it runs as, and root is for those who ask for less.
    config.shape.executors = Some(serde_json::from_value(json!({ "image": "spark:3" })).unwrap());
    config.executor_namespaces.as_mut().unwrap().pod_security = "baseline".into();
    let (_, [spark, _]) = made(&config, &plan(true));
    assert_eq!(spark["spec"]["securityContext"], json!({ "seccompProfile": { "type": "RuntimeDefault" } }));
}

#[test]
fn what_cannot_be_is_told_with_its_option() {
    let check = |config: &Config| crate::make::check(config).unwrap_err();
    let image = |config: Config| {
        let shape = Shape { image: Some("i".into()), ..config.shape };
        Config { shape, ..config }
    };
    let right = image(config(json!({}), json!({})));
    assert_eq!(crate::make::check(&right), Ok(()));
    let none = Config { executor_namespaces: None, ..right.clone() };
    assert!(check(&none).starts_with("executors: there has to be"), "{}", check(&none));
    let mut shared = right.clone();
    shared.shape.service_account = Some("everybodys".into());
    assert_eq!(crate::make::check(&shared), Ok(()));
    let (pod, _) = made(&shared, &plan(false));
    assert_eq!(pod["spec"]["serviceAccountName"], "jupyter-anna-executors", "its own, whatever all others have");
    shared.shape.automount_service_account_token = Some(false);
    assert!(check(&shared).starts_with("executors: "), "{}", check(&shared));
    let words = image(config(json!({ "pod": { "nodeSelecter": { "a": "b" } } }), json!({})));
    assert!(check(&words).contains("nodeSelecter"), "{}", check(&words));
    for wrong in [json!({ "pod_security": "none" }), json!({ "egress": [{ "port": [] , "prts": [1] }] })] {
        let wrong = image(config(json!({}), wrong));
        assert!(check(&wrong).starts_with("executor_namespaces: "), "{}", check(&wrong));
    }
    assert!(serde_json::from_value::<Executors>(json!({ "pdos": 1 })).is_err());
}
