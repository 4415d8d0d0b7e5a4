//! Configurations as sites write them, run by a real Python and checked by our own loader.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::config::docker::{Escape, PullPolicy};

/// The configuration that is made of a sample, and what was not carried: place and name, with the advice.
async fn imported(sample: &str) -> (Config, BTreeMap<String, String>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jupyterhub_config.py");
    std::fs::write(&file, sample).unwrap();
    let output = folder.path().join("specola.toml");
    let read = read::read(Path::new("python3"), &file).await.unwrap();
    assert!(read.failure.is_none(), "{:?}", read.failure);
    let mut carried = carry::carry(read.settings);
    settle(&mut carried, &output, "jupyterhub_config.py").unwrap();
    let config = Config::load(Some(&output), &Environment::new()).unwrap();
    let left = carried.left.iter().map(|left| {
        let Setting { class, trait_name, line, .. } = &left.setting;
        // The line that is told is the one that sets it.
        let text = sample.lines().nth(usize::try_from(*line).unwrap() - 1).unwrap();
        assert!(text.contains(trait_name.as_str()), "{trait_name} is not in line {line}: {text}");
        (format!("{class}.{trait_name}"), format!("{}: {}", left.why, left.instead))
    });
    let left = left.collect();
    let text = std::fs::read_to_string(&output).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "a draft was left");
    (config, left, text)
}

fn names(left: &BTreeMap<String, String>) -> Vec<&str> {
    left.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_hub_on_one_machine_is_carried_but_for_its_own_classes() {
    let (config, left, text) = imported(include_str!("samples/one_machine.py")).await;
    assert_eq!(
        names(&left),
        [
            "ConfigurableHTTPProxy.api_url",
            "JupyterHub.cleanup_servers",
            "JupyterHub.spawner_class",
            "JupyterHub.trust_user_provided_tokens",
        ]
    );
    let given = &config.hub.api_tokens[0];
    assert_eq!((given.name.as_str(), given.token.as_ref().unwrap().expose()), ("rector", "a-token-of-the-rector"));
    assert!(left["JupyterHub.spawner_class"].contains("UserCreatingSpawner"), "{left:?}");
    assert!(left["JupyterHub.cleanup_servers"].contains("--stop-all"), "{left:?}");
    assert_eq!(config.hub.hub_port, 15001);
    assert!(!config.proxy.should_start);
    assert!(config.auth.admin_users.contains("rector") && config.auth.allowed_users.contains("bob"));
    assert_eq!(config.spawner.environment["PATH"], "/opt/env/bin:/usr/bin");
    assert_eq!(config.hub.load_groups["staff"].users, ["ann"]);
    assert_eq!(config.hub.load_groups["guests"].users, ["bob"]);
    assert_eq!(config.hub.services.len(), 1);
    assert_eq!(config.hub.extra_user_scopes, ["shares!user"]);
    assert!(text.contains("mem_limit = \"2G\" # line 33"), "{text}");
}

#[tokio::test]
async fn of_a_hub_on_kubernetes_what_has_a_place_is_carried() {
    let (config, left, _) = imported(include_str!("samples/kubernetes.py")).await;
    assert_eq!(
        names(&left),
        [
            "Authenticator.post_auth_hook",
            "ConfigurableHTTPProxy.api_url",
            "GenericOAuthenticator.client_secret",
            "JupyterHub.authenticator_class",
            "JupyterHub.hub_bind_url",
            "KubeSpawner.pre_spawn_hook",
        ]
    );
    assert!(!config.options.profile_list.is_empty(), "profiles are written as they stand");
    assert_eq!((config.spawner.driver.as_str(), config.spawner.cmd.len()), ("kubernetes", 0));
    assert_eq!(config.spawner.kubernetes.shape.image.as_deref(), Some("quay.io/jupyter/base-notebook:latest"));
    assert!(left["KubeSpawner.pre_spawn_hook"].contains("the function pre_spawn"), "{left:?}");
    let shape = &config.spawner.kubernetes.shape;
    assert_eq!(config.spawner.environment.len(), 1, "what is no text is said of the container");
    let from = json!({ "secretKeyRef": { "name": "keys", "key": "{username}" } });
    assert_eq!(shape.extra_container_config["env"], json!([{ "name": "KEY", "valueFrom": from }]));
    assert!(shape.extra_container_config.contains_key("envFrom"));
    assert_eq!(shape.image_pull_secrets.len(), 1);
    assert!(left["KubeSpawner.pre_spawn_hook"].contains("[hooks.pre_spawn]"), "{left:?}");
    assert!(!format!("{left:?}").contains("never-shown"), "a secret is told");
    assert_eq!(config.hub.base_path().as_str(), "/jupyter/");
    assert_eq!(config.hub.database_url().expose(), "postgresql://hub@db/jupyterhub");
    assert_eq!(config.hub.load_roles.len(), 2);
    assert_eq!(config.hub.services.len(), 1);
    assert_eq!(config.spawner.default_url.as_deref(), Some("/lab"));
    assert_eq!(config.spawner.notebook_dir, None);
}

#[tokio::test]
async fn a_value_that_is_not_accepted_is_listed_and_the_rest_is_carried() {
    let (config, left, _) = imported(include_str!("samples/batch.py")).await;
    assert_eq!(
        names(&left),
        [
            "JupyterHub.active_server_limit",
            "JupyterHub.authenticator_class",
            "JupyterHub.recreate_internal_certs",
            "JupyterHub.spawner_class",
            "SlurmSpawner.batch_script",
            "SlurmSpawner.req_partition",
        ]
    );
    assert!(left["JupyterHub.active_server_limit"].contains("whole number"), "{left:?}");
    assert!(left["JupyterHub.authenticator_class"].contains("made here from jupyterhub.auth.PAMAuthenticator"));
    assert_eq!(config.hub.bind_url.listen(), "10.0.0.1:8443");
    assert!(config.hub.bind_url.https, "a certificate means https");
    assert!(config.hub.internal_ssl);
    assert_eq!(config.hub.trusted_alt_names, ["DNS:hub.example.org"]);
    assert_eq!(config.proxy.ssl_key.as_deref(), Some(std::path::Path::new("/etc/ssl/key.pem")));
    assert_eq!(config.hub.cookie_secret.unwrap().expose(), "5a".repeat(32));
    assert_eq!(config.auth.pam.service, "sshd");
    assert_eq!(config.auth.username_map["root"], "nobody");
    assert_eq!(config.spawner.args, ["--debug"]);
}

#[tokio::test]
async fn the_examples_of_the_documentation_are_carried() {
    let (config, left, _) = imported(include_str!("samples/documentation.py")).await;
    assert_eq!(names(&left), ["JupyterHub.tornado_settings"]);
    assert_eq!(config.hub.bind_url.listen(), "127.0.0.1:9000");
    assert_eq!(config.hub.base_path().as_str(), "/base/");
    assert_eq!(config.auth.allow_all, Some(true));
    assert_eq!(config.hub.custom_scopes["custom:grades:read"].description, "read grades");
}

#[tokio::test]
async fn what_is_added_to_a_default_does_not_take_its_place() {
    let sample = "c.Spawner.env_keep.append('MODULEPATH')\nc.Spawner.cmd += ['--debug']\nc.Spawner.args += ['-x']\n";
    let (config, left, _) = imported(sample).await;
    let mut kept = crate::config::SpawnerConfig::default().env_keep;
    kept.push("MODULEPATH".into());
    assert_eq!(config.spawner.env_keep, kept);
    assert_eq!(config.spawner.cmd, ["jupyterhub-singleuser", "--debug"]);
    assert_eq!((config.spawner.args, left.len()), (vec!["-x".to_owned()], 0));
}

#[tokio::test]
async fn the_class_itself_counts_more_than_the_one_it_is_made_from() {
    let sample = "c.LocalProcessSpawner.mem_limit = '4G'\nc.Spawner.mem_limit = '1G'\nc.Spawner.debug = False\n\
                  c.LocalProcessSpawner.debug = True\n";
    let (config, ..) = imported(sample).await;
    assert_eq!((config.spawner.mem_limit.unwrap().0, config.spawner.debug), (4 << 30, true));
}

#[tokio::test]
async fn options_of_dockerspawners_keep_their_names() {
    let sample = "c.JupyterHub.spawner_class = 'dockerspawner.DockerSpawner'\nc.JupyterHub.hub_ip = '172.17.0.1'\n\
                  c.DockerSpawner.image = 'lab:1'\nc.DockerSpawner.remove = False\nc.DockerSpawner.mem_limit = '4G'\n\
                  c.DockerSpawner.volumes = {'home-{username}': '/home/jovyan'}\n\
                  c.DockerSpawner.extra_host_config = {'shm_size': '1G'}\nc.DockerSpawner.links = {'a': 'b'}\n\
                  c.DockerSpawner.post_start_cmd = 'sh -c \"echo a\"'\nc.DockerSpawner.pull_policy = 'Always'\n\
                  c.DockerSpawner.container_prefix = 'lab'\nc.DockerSpawner.remove_containers = True\n\
                  c.DockerSpawner.allowed_images = {'Small': 'lab:0', 'Large': 'lab:1'}\n\
                  c.DockerSpawner.escape = 'legacy'\nc.DockerSpawner.network_name = 'host'\n\
                  c.DockerSpawner.move_certs_image = 'busybox'\nimport dockerspawner\n\
                  c.DockerSpawner.extra_create_kwargs = {'ports': [80], 'command': 'run it'}\n\
                  c.DockerSpawner.mounts = [{'target': '/d', 'source': '/d', 'type': 'bind', 'propagation': 'rslave'}]\n\
                  c.SwarmSpawner.volume_driver = 'x'\nc.SystemUserSpawner.run_as_root = True\n";
    let (config, left, _) = imported(sample).await;
    assert_eq!(config.spawner.driver, crate::config::spawner::Driver::Docker);
    let docker = &config.spawner.docker;
    assert_eq!((docker.image.as_deref(), docker.remove), (Some("lab:1"), false));
    assert_eq!(config.spawner.mem_limit.unwrap().0, 4 << 30);
    assert_eq!(docker.volumes["home-{username}"], "/home/jovyan");
    assert_eq!(docker.extra_host_config["shm_size"], "1G");
    assert_eq!((docker.links["a"].as_str(), docker.prefix.as_str()), ("b", "lab"));
    assert_eq!((docker.post_start_cmd[2].as_str(), docker.mounts.len()), ("echo a", 1));
    assert_eq!(docker.extra_create_kwargs["command"], "run it");
    assert_eq!((docker.pull_policy, docker.escape), (PullPolicy::Always, Escape::Legacy));
    let images: Vec<_> = config.options.images.iter().map(|one| (one.name.as_str(), one.default)).collect();
    assert_eq!(images, [("Large", true), ("Small", false)], "what DockerSpawner starts is chosen at first");
    assert!(config.spawner.cmd.is_empty(), "DockerSpawner runs the image's own command");
    assert_eq!(
        names(&left),
        [
            "DockerSpawner.move_certs_image",
            "DockerSpawner.network_name",
            "SwarmSpawner.volume_driver",
            "SystemUserSpawner.run_as_root",
        ]
    );
    for (name, words) in [
        ("DockerSpawner.move_certs_image", "internal_ssl"),
        ("DockerSpawner.network_name", "everybody on it reaches every server"),
        ("SwarmSpawner.volume_driver", "no driver for Swarm"),
        ("SystemUserSpawner.run_as_root", "/home/{raw_username}"),
    ] {
        assert!(left[name].contains(words), "{left:?}");
    }
}

/// As with docker-py installed, whose types are tables: here it is not.
#[tokio::test]
async fn types_of_docker_py_are_tables() {
    let folder = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(folder.path()).status();
    assert!(made.unwrap().success());
    let file = folder.path().join("config.py");
    let sample = "import docker\nfrom docker.types import DriverConfig, Mount, Ulimit\n\
                  gpus = docker.types.DeviceRequest(count=-1, capabilities=[['gpu']])\n\
                  files = Ulimit(name='nofile', soft=64, hard=128)\n\
                  c.DockerSpawner.extra_host_config = {'device_requests': [gpus], 'ulimits': [files]}\n\
                  nfs = DriverConfig('local', {'type': 'nfs'})\n\
                  c.DockerSpawner.mounts = [Mount('/data', 'data', driver_config=nfs)]\n\
                  c.DockerSpawner.links = docker.from_env()\n";
    std::fs::write(&file, sample).unwrap();
    let read = read::read(&folder.path().join("bin/python"), &file).await.unwrap();
    assert_eq!(read.stood_in, ["docker", "docker.types"]);
    let [host, mounts, links] = read.settings.as_slice() else { panic!("{:?}", read.settings) };
    let expected = serde_json::json!({
        "device_requests": [{"count": -1, "capabilities": [["gpu"]]}],
        "ulimits": [{"name": "nofile", "soft": 64, "hard": 128}],
    });
    assert_eq!(host.plain, expected);
    let config = serde_json::json!({"name": "local", "options": {"type": "nfs"}});
    assert_eq!(mounts.plain, serde_json::json!([{"target": "/data", "source": "data", "driver_config": config}]));
    assert!(links.problem.is_some(), "what else it has is no data");
}

#[tokio::test]
async fn any_image_of_dockerspawners_is_any_image_here() {
    let sample = "from dockerspawner.volumenamingstrategy import escaped_format_volume_name\n\
                  c.JupyterHub.spawner_class = 'docker'\nc.DockerSpawner.allowed_images = '*'\n\
                  c.DockerSpawner.image = 'lab:1'\nc.DockerSpawner.cmd = ['start']\n\
                  c.DockerSpawner.format_volume_name = escaped_format_volume_name\n";
    let (config, left, _) = imported(sample).await;
    assert_eq!(names(&left), Vec::<&str>::new(), "{left:?}");
    assert_eq!(config.options.policies[0].grant.own_images, ["*"]);
    assert_eq!(config.spawner.cmd, ["start"]);
}

#[tokio::test]
async fn passwords_that_cannot_come_along_are_told() {
    let sample = "c.JupyterHub.authenticator_class = 'native'\nc.NativeAuthenticator.allow_all = True\n";
    let (config, left, _) = imported(sample).await;
    assert!(left["JupyterHub.authenticator_class"].contains("wants new ones"), "{left:?}");
    assert_eq!(config.auth.allow_all, Some(true));
}

#[tokio::test]
async fn only_what_the_file_itself_imports_is_stood_in_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ours.py"), "try:\n    import not_there\nexcept ImportError:\n    x = 5\n")
        .unwrap();
    let file = folder.path().join("config.py");
    std::fs::write(&file, "import ours\nimport nowhere.deep\nc.JupyterHub.hub_port = ours.x\n").unwrap();
    let read = read::read(Path::new("python3"), &file).await.unwrap();
    assert_eq!((read.stood_in, read.failure.is_none()), (vec!["nowhere".to_owned(), "nowhere.deep".to_owned()], true));
    assert_eq!(read.settings[0].plain, serde_json::json!(5));
}

#[tokio::test]
async fn a_file_that_fails_tells_the_line_and_what_came_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.py");
    std::fs::write(&file, "c.JupyterHub.hub_port = 1\nprint('to nobody')\nraise ValueError('no such room')\n").unwrap();
    let read = read::read(Path::new("python3"), &file).await.unwrap();
    let failure = read.failure.unwrap();
    // The text of an exception may hold a secret.
    assert_eq!((failure.line, failure.what.as_str(), read.settings.len()), (3, "ValueError", 1));
    std::fs::write(&file, "import os\nx = os.environ['NOT_SET_HERE']\n").unwrap();
    let failure = read::read(Path::new("python3"), &file).await.unwrap().failure.unwrap();
    assert!(failure.what.contains("NOT_SET_HERE") && failure.what.contains("set it"), "{failure:?}");
    std::fs::write(&file, "c.JupyterHub.hub_port = = 1\n").unwrap();
    let failure = read::read(Path::new("python3"), &file).await.unwrap().failure.unwrap();
    assert!(failure.what.starts_with("SyntaxError") && failure.line == 1, "{failure:?}");
}

#[tokio::test]
async fn what_cannot_be_run_is_said_in_a_sentence() {
    let nothing = read::read(Path::new("python3"), Path::new("/nonexistent.py")).await.unwrap_err();
    assert_eq!(nothing.to_string(), "there is no file /nonexistent.py");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.py");
    std::fs::write(&file, "import os\nos._exit(3)\n").unwrap();
    let ended = read::read(Path::new("python3"), &file).await.unwrap_err();
    assert!(ended.to_string().contains("could not be run (exit status: 3)"), "{ended}");
    let missing = read::read(Path::new("/no/python"), &file).await.unwrap_err();
    assert_eq!(missing.to_string(), "cannot run /no/python");
}
