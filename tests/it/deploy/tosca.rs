//! `deploy/tosca`: the template as an orchestrator's parser reads it, and what its role writes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tests::{need, place};

use super::{file, run};

const PROBE: &str = r#"
import json, logging, sys
from toscaparser.tosca_template import ToscaTemplate
logging.disable(logging.CRITICAL)
given = json.loads(sys.argv[2])
template = ToscaTemplate(sys.argv[1], parsed_params=given)
print(json.dumps({
    "inputs": {one.name: {"required": one.required and one.default is None} for one in template.inputs},
    "certificates": next(c.constraint_value for one in template.inputs if one.name == "certificate_type"
        for c in one.constraints),
    "outputs": [one.name for one in template.outputs],
    "nodes": {one.name: one.type for one in template.nodetemplates},
    "software": {k: str(p.value) for k, p in
        next(n for n in template.nodetemplates if n.name == "specola").get_properties().items()},
}))
"#;

/// Evaluates the outputs as INDIGO's Infrastructure Manager does: what is not its own function is what the parser says.
const OUTPUTS: &str = r#"
import json, logging, sys
from toscaparser.functions import GetAttribute, GetInput, GetProperty, get_function, is_function
from toscaparser.tosca_template import ToscaTemplate
logging.disable(logging.CRITICAL)
given = json.loads(sys.argv[2])
template = ToscaTemplate(sys.argv[1], parsed_params=given)
def told(value):
    if isinstance(value, dict) and list(value) == ["concat"]:
        return "".join(str(told(part)) for part in value["concat"])
    if isinstance(value, dict) and list(value) == ["token"]:
        text, at, index = value["token"]
        return str(told(text)).split(at)[index]
    if is_function(value):
        function = get_function(template, None, value) if isinstance(value, dict) else value
        if isinstance(function, GetAttribute):
            # A list for each node, of which a third part picks one.
            machines = {"public_address": ["192.0.2.7"]}[function.args[1]]
            return machines[function.args[2]] if len(function.args) > 2 else machines
        if isinstance(function, GetInput):
            name = function.args[0]
            return given.get(name, next(one.default for one in template.inputs if one.name == name))
        return told(function.result())
    return value
print(json.dumps({one.name: told(one.value) for one in template.outputs}))
"#;

/// Goes from every input of the template to its use: the machine, or a property, from there to a variable of the role, and
/// from there to a task or a file. Prints what leads nowhere, and what comes from nowhere.
const WALK: &str = r#"
import json, pathlib, re, sys, yaml
root = pathlib.Path(sys.argv[1])
read = lambda name: yaml.safe_load((root / name).read_text())
topology = read("specola.yaml")["topology_template"]
software = read("types.yaml")["node_types"]["tosca.nodes.indigo.Specola"]
nodes, inputs = topology["node_templates"], topology["inputs"]
defaults, derived = read("role/defaults/main.yml"), read("role/vars/main.yml")
texts = {path: path.read_text() for part in ("tasks", "templates", "vars") for path in (root / "role" / part).iterdir()}
work = "\n".join(texts.values())
handed = software["interfaces"]["Standard"]["start"]["inputs"]
of_property = {value["get_property"][1]: name for name, value in handed.items() if "get_property" in value}

def asked(value):
    if isinstance(value, dict):
        yield from [value["get_input"]] if "get_input" in value else []
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from asked(one)

def uses(variable):
    return len(re.findall(rf"\b{variable}\b", work))

wrong = []
properties = nodes["specola"]["properties"]
of_machine = {name for node in nodes if node != "specola" for name in asked(nodes[node])}
for name in inputs:
    places = [place for place, value in properties.items() if name in asked(value)]
    if not places and name not in of_machine:
        wrong.append(f"the input {name} is used nowhere")
    if not inputs[name].get("description"):
        wrong.append(f"the input {name} is not described")
wrong += [f"there is no input {name}" for name in asked(topology) if name not in inputs]
for place in software["properties"]:
    if place not in properties:
        wrong.append(f"the property {place} is set by nobody")
    if place not in of_property:
        wrong.append(f"the property {place} is not handed to the role")
wrong += [f"there is no property {place}" for place in properties if place not in software["properties"]]
wrong += [f"the variable {name} has no default" for name in handed if name not in defaults]
wrong += [f"the variable {name} has no effect" for name in defaults if not uses(name)]
for name in derived:
    if uses(name) < 2:
        wrong.append(f"what is derived as {name} has no effect")
registered = set(re.findall(r"register: (\w+)", work))
for name in sorted(set(re.findall(r"\bspecola_\w+", work)) - set(defaults) - set(derived) - registered):
    wrong.append(f"the role uses {name}, which nothing says")
variables = lambda name: re.findall(r"^(\w+)=", (root / "role/templates" / name).read_text(), re.M)
print(json.dumps({"wrong": wrong, "inputs": list(inputs), "environment": variables(".env.j2"),
    "variables": variables("variables.env.j2")}))
"#;

/// The interpreter that has tosca-parser and Ansible.
fn python() -> Option<PathBuf> {
    let given = std::env::var_os("SPECOLA_TOSCA_PYTHON").map(PathBuf::from);
    given.or_else(|| Some(place::target().join("tests/tosca/bin/python"))).filter(|path| path.exists())
}

fn parsed(python: &PathBuf, given: &str) -> Result<Value> {
    let template = file("deploy/tosca/specola.yaml");
    Ok(serde_json::from_str(&run(Command::new(python).args(["-c", PROBE]).arg(template).arg(given))?)?)
}

#[test]
fn the_template_has_the_inputs_and_outputs_of_the_catalogue() -> Result<()> {
    let python = need!(python(), "tosca-parser", "SPECOLA_REQUIRE_TOSCA");
    let read = parsed(&python, r#"{"iam_client_id": "hub-1", "iam_subject": "73f1"}"#)?;
    for output in ["node_ip", "jupyter_endpoint", "grafana_endpoint", "ssh_account"] {
        ensure!(read["outputs"].as_array().is_some_and(|all| all.iter().any(|one| one == output)), "{output}: {read}");
    }
    for input in [
        "num_cpus",
        "mem_size",
        "num_gpus",
        "gpu_partition_flavor",
        "disk_size",
        "volume_size",
        "service_ports",
        "iam_groups",
        "iam_admin_groups",
        "contact_email",
        "certificate_type",
        "hub_image",
        "lab_images",
        "jupyterlab_collaborative",
        "jupyterlab_collaborative_image",
        "jupyterlab_collaborative_use_gpu",
        "enable_monitoring",
        "grafana_password",
        "cvmfs_repos",
        "s3_endpoint",
        "s3_buckets",
    ] {
        ensure!(read["inputs"][input]["required"] == false, "{input}: {read}");
    }
    assert_eq!(read["nodes"]["server"], "tosca.nodes.indigo.Compute");
    // Without what nobody can guess, it is no deployment.
    for input in ["iam_client_id", "iam_subject"] {
        ensure!(read["inputs"][input]["required"] == true, "{input}: {read}");
    }
    assert_eq!(read["certificates"], json!(["self-signed", "letsencrypt-staging", "letsencrypt-prod"]));
    Ok(())
}

#[test]
fn the_outputs_lead_to_the_name_where_there_is_one_and_to_the_address_else() -> Result<()> {
    let python = need!(python(), "tosca-parser", "SPECOLA_REQUIRE_TOSCA");
    let told = |more: Value| -> Result<Value> {
        let mut given = json!({"iam_client_id": "hub-1", "iam_subject": "73f1"});
        if let (Some(given), Some(more)) = (given.as_object_mut(), more.as_object()) {
            given.extend(more.clone());
        }
        let template = file("deploy/tosca/specola.yaml");
        Ok(serde_json::from_str(&run(Command::new(&python)
            .args(["-c", OUTPUTS])
            .arg(template)
            .arg(given.to_string()))?)?)
    };
    let plain = told(json!({}))?;
    assert_eq!(plain["node_ip"], "192.0.2.7", "{plain}");
    assert_eq!(plain["jupyter_endpoint"], "https://192.0.2.7:8888", "{plain}");
    assert_eq!(plain["grafana_endpoint"], "https://192.0.2.7:8888/services/grafana/", "{plain}");
    assert_eq!(plain["ssh_account"], "specola-admin", "{plain}");
    let named = told(json!({"dns_name": "hub.example.org", "https_port": 443, "ssh_account": "ada"}))?;
    assert_eq!(named["jupyter_endpoint"], "https://hub.example.org:443", "{named}");
    assert_eq!(named["grafana_endpoint"], "https://hub.example.org:443/services/grafana/", "{named}");
    assert_eq!((&named["node_ip"], &named["ssh_account"]), (&json!("192.0.2.7"), &json!("ada")), "{named}");
    Ok(())
}

#[test]
fn every_input_of_the_template_has_an_effect_and_is_documented() -> Result<()> {
    let python = need!(python(), "PyYAML", "SPECOLA_REQUIRE_TOSCA");
    let walked = run(Command::new(&python).args(["-c", WALK]).arg(file("deploy/tosca")))?;
    let walked: Value = serde_json::from_str(&walked)?;
    assert_eq!(walked["wrong"], json!([]), "{walked:#}");
    let names = |key: &str| -> Vec<String> {
        walked[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let text = |name: &str| fs::read_to_string(file(name));
    let (documented, known) = (text("docs/deploy.md")?, text("docs/infn.md")?);
    for input in names("inputs") {
        ensure!(documented.contains(&format!("`{input}`")), "{input} is not in docs/deploy.md");
    }
    // What the role writes is read: by compose and `up`, and by the hub.
    let compose = ["compose.yaml", "buckets.yaml", "monitoring.yaml", "up"];
    let compose =
        compose.map(|name| text(&format!("deploy/compose/{name}"))).into_iter().collect::<Result<String, _>>()?;
    for name in names("environment") {
        let read = name.starts_with("COMPOSE_") || compose.contains(&format!("${{{name}"));
        ensure!(read, "{name} in .env is read by nobody");
    }
    for name in names("variables") {
        ensure!(known.contains(&format!("`{name}`")), "{name} is no variable that the hub knows");
    }
    Ok(())
}

#[test]
fn the_role_writes_a_deployment_that_the_hub_takes() -> Result<()> {
    let python = need!(python(), "Ansible", "SPECOLA_REQUIRE_TOSCA");
    let folder = tempfile::tempdir()?;
    let (roles, made) = (folder.path().join("roles"), folder.path().join("made"));
    fs::create_dir(&roles)?;
    symlink(file("deploy/tosca/role"), roles.join("specola"))?;
    let inventory = folder.path().join("hosts");
    let interpreter = place::plain_python()?;
    // What a machine with a whole GPU and a cut one says, where this one has none.
    let tools = folder.path().join("tools");
    fs::create_dir(&tools)?;
    let list = "GPU 0: NVIDIA A30 (UUID: GPU-1f2c)\nGPU 1: NVIDIA A100 (UUID: GPU-8a56)\n  \
                MIG 1g.5gb      Device  0: (UUID: MIG-77aa)\n  MIG 1g.5gb      Device  1: (UUID: MIG-77ab)";
    let program = tools.join("nvidia-smi");
    fs::write(&program, format!("#!/bin/sh\ncat <<'END'\n{list}\nEND\n"))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:{}", tools.display(), std::env::var("PATH")?);
    fs::write(
        &inventory,
        format!("localhost ansible_connection=local ansible_python_interpreter={}\n", interpreter.display()),
    )?;
    // What is refused is refused before anything is asked of the machine.
    let play = |given: Value, facts: &str| {
        let mut command = Command::new(python.with_file_name("ansible-playbook"));
        command.env("ANSIBLE_GATHERING", facts);
        command.arg("--inventory").arg(&inventory).arg(file("deploy/tosca/install.yml"));
        command.arg("--extra-vars").arg(given.to_string());
        command
            .env("ANSIBLE_ROLES_PATH", &roles)
            .env("ANSIBLE_HOME", folder.path().join("home"))
            .env("PATH", &path)
            .env("LANG", "C.UTF-8");
        run(&mut command)
    };
    let mut given = serde_json::json!({
        "specola_start": false, "specola_dir": made, "specola_iam_url": "https://iam.example.org/",
        "specola_iam_client_id": "hub-1", "specola_iam_client_secret": "its secret", "specola_iam_subject": "73f1",
        "specola_iam_groups": "users/cygno users/ai", "specola_iam_admin_groups": "admins/cygno",
        "specola_dns_name": "hub.example.org", "specola_https_port": 443, "specola_certificate_type": "letsencrypt-staging",
        "specola_contact_email": "ada@example.org", "specola_database": "postgres", "specola_with_gpu": "",
        "specola_enable_monitoring": true, "specola_grafana_password": "of Grafana's",
        "specola_cvmfs_repos": "sft.cern.ch, cms.cern.ch", "specola_s3_endpoint": "https://s3.example.org",
        "specola_s3_buckets": "scratch,cygno", "specola_s3_mount": true,
        "specola_data_dir": "/srv/volume", "specola_jupyterlab_collaborative": true,
        "specola_jupyterlab_collaborative_image": "harbor.example.org/lab-collaborative:2",
        "specola_jupyterlab_collaborative_use_gpu": true,
    });
    play(given.clone(), "implicit")?;
    let read = |name: &str| fs::read_to_string(made.join(name));
    let environment = read(".env")?;
    for line in ["PUBLIC_URL=https://hub.example.org", "TLS=acme", "COMPOSE_PROFILES=postgres", "HTTPS_PORT=443"] {
        ensure!(environment.lines().any(|own| own == line), "{line} in {environment}");
    }
    // As the container gets them: variables of the deployment, and those of compose.
    let variables = read("variables.env")?;
    // Each is leased to one server at a time; the GPU that is cut is not there besides its slices.
    ensure!(variables.lines().any(|line| line == "ALL_GPU_UUIDs=GPU-1f2c,MIG-77aa,MIG-77ab"), "{variables}");
    let mut check = Command::new(place::binary()?);
    check.args(["check-config", "--config"]).arg(made.join("specola.toml"));
    check.envs(variables.lines().filter_map(|line| line.split_once('=')));
    check.env("JUPYTERHUB_CRYPT_KEY", "3a2f0c5e8b6d4f1a9c7e5b3d1f0a8c6e4b2d0f9e7c5a3b1d8f6e4c2a0b9d7f5e");
    check.envs([("SPECOLA_HUB__PUBLIC_URL", "https://hub.example.org"), ("SPECOLA_PROXY__TLS", "acme")]);
    let said = run(&mut check)?;
    for part in [
        "The configuration is right",
        "users/cygno",
        "admins/cygno",
        "docker",
        "OAUTH_ENDPOINT",
        "WITH_GPU",
        "S3_ENDPOINT",
    ] {
        ensure!(said.contains(part), "{part} in {said}");
    }
    // With all there is beside it: charts, CVMFS and buckets.
    ensure!(environment.contains("COMPOSE_FILE=compose.yaml:buckets.yaml:monitoring.yaml\n"), "{environment}");
    let secret = made.join("secrets/grafana_password");
    assert_eq!(fs::read_to_string(&secret)?, "of Grafana's");
    assert_eq!(fs::metadata(&secret)?.permissions().mode() & 0o777, 0o400);
    for line in ["S3_ENDPOINT=https://s3.example.org", "S3_BUCKET=scratch,cygno", "WITH_S3FUSE=true", "WITH_GPU=true"] {
        ensure!(variables.lines().any(|own| own == line), "{line} in {variables}");
    }
    let settings = read("specola.toml")?;
    ensure!(settings.contains(r#""/cvmfs" = { bind = "/cvmfs", propagation = "rslave" }"#), "{settings}");
    // The lab for everybody: its folder, which all labs have, its image and its GPU, which the policies give it.
    for line in [
        r#""/srv/volume/jupyter-mounts/collaborativefolder" = "/home/jovyan/collaborativefolder""#,
        r#"name = "collaboration""#,
        r#"notebook_dir = "/home/jovyan/collaborativefolder""#,
        r#"img = "harbor.example.org/lab-collaborative:2""#,
        "gpu = 1",
    ] {
        ensure!(settings.lines().any(|own| own == line), "{line} in {settings}");
    }
    ensure!(said.contains("Collaborative-Jupyter (everybody who is let in)"), "{said}");
    ensure!(!said.contains("could not be started"), "{said}");
    for name in ["monitoring.yaml", "buckets.yaml", "monitoring/prometheus.yml", "monitoring/hub.json"] {
        ensure!(made.join(name).is_file(), "{name}");
    }

    // Without a name its address is told, as the orchestrator knows it.
    let variables = |name: &str| format!("@{}", file("deploy/tosca/role").join(name).join("main.yml").display());
    let mut ask = Command::new(python.with_file_name("ansible"));
    ask.arg("--inventory").arg(&inventory).args(["localhost", "-m", "debug", "-a", "var=specola_public_url"]);
    ask.args(["-e", &variables("defaults"), "-e", &variables("vars"), "-e", "specola_address=192.0.2.7"]);
    let told = run(ask.env("ANSIBLE_HOME", folder.path().join("home")).env("LANG", "C.UTF-8"))?;
    ensure!(told.contains("\"https://192.0.2.7:8888\""), "{told}");

    // Buckets are somewhere, and a name is one that the outputs can tell.
    for (name, value, words) in [
        ("specola_s3_endpoint", "", "need s3_endpoint"),
        ("specola_s3_buckets", "", "s3_mount needs s3_buckets"),
        ("specola_dns_name", "Node.example.org", "small letters"),
        ("specola_jupyterlab_collaborative_image", "", "jupyterlab_collaborative needs an image"),
    ] {
        let mut wrong = given.clone();
        wrong[name] = value.into();
        let refused = play(wrong, "explicit").map(drop).unwrap_err().to_string();
        ensure!(refused.contains(words), "{name}: {refused}");
    }
    // A certificate of an authority is for a name.
    (given["specola_dns_name"], given["specola_certificate_type"]) = ("".into(), "letsencrypt-prod".into());
    let refused = play(given, "explicit").map(drop).unwrap_err().to_string();
    ensure!(refused.contains("needs dns_name"), "{refused}");
    Ok(())
}
