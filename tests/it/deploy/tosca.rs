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
    for output in ["node_ip", "jupyter_endpoint", "ssh_account"] {
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
    let play = |given: Value| {
        let mut command = Command::new(python.with_file_name("ansible-playbook"));
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
        "specola_contact_email": "ada@example.org", "specola_database": "postgres", "specola_with_gpu": true,
    });
    play(given.clone())?;
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
    for part in ["The configuration is right", "users/cygno", "admins/cygno", "docker", "OAUTH_ENDPOINT", "WITH_GPU"] {
        ensure!(said.contains(part), "{part} in {said}");
    }
    // A certificate of an authority is for a name.
    given["specola_dns_name"] = "".into();
    let refused = play(given).map(drop).unwrap_err().to_string();
    ensure!(refused.contains("needs dns_name"), "{refused}");
    Ok(())
}
