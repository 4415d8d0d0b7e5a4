//! Which option each variable becomes, what is refused, and what wins.

use serde_json::{Value, json};
use spawners::Abilities;

use super::read::{Ground, Said, read};
use super::variable::{KNOWN, Variables};
use crate::config::spawner::Driver;
use crate::config::{Config, Environment};

const NEEDED: [(&str, &str); 4] = [
    ("OAUTH_ENDPOINT", "https://iam.example.org/"),
    ("OAUTH_CALLBACK_URL", "https://hub.example.org:8888/hub/oauth_callback"),
    ("IAM_CLIENT_ID", "hub"),
    ("IAM_CLIENT_SECRET", "s3cret"),
];

fn environment(more: &[(&str, &str)]) -> Environment {
    NEEDED.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What is read where nothing but the variables says what the hub is.
const THEIRS: Ground =
    Ground { driver: None, can: Abilities::ALL, has_folders: false, has_devices: false, hub_port: 8081 };

fn said(environment: &Environment, ground: Ground) -> Said {
    let (mut problems, mut notes) = (Vec::new(), Vec::new());
    let variables = Variables::of(environment, &mut problems, &mut notes);
    let mut said = read(&variables, ground);
    said.problems.extend(problems);
    said.notes.extend(notes);
    said
}

fn option(said: &Said, key: &str) -> Value {
    said.options.iter().find(|taking| taking.key == key).map_or(Value::Null, |taking| taking.value.clone())
}

fn load(more: &[(&str, &str)]) -> Result<Config, String> {
    Config::load(None, &environment(more)).map_err(|errors| errors.to_string())
}

#[test]
fn each_variable_becomes_its_option() {
    let cases: [(&str, &str, &str, Value); 60] = [
        ("OAUTH_GROUPS", "a b/c", "auth.providers[0].allowed_groups", json!(["a", "b/c"])),
        ("OAUTH_GROUPS", "a, b/c,d", "auth.providers[0].allowed_groups", json!(["a", "b/c", "d"])),
        ("OAUTH_GROUPS", " ", "auth.providers[0].allowed_groups", Value::Null),
        ("ADMIN_OAUTH_GROUPS", "admins/x", "auth.providers[0].admin_groups", json!(["admins/x"])),
        ("ADMIN_OAUTH_GROUPS", "", "auth.providers[0].admin_groups", Value::Null),
        ("OAUTH_SUB", "73f1-6d93", "auth.providers[0].owner_subjects", json!(["73f1-6d93"])),
        ("WLCG_GROUPS_COMPAT", "false", "auth.providers[0].optional_scope", json!(["offline_access"])),
        ("WLCG_GROUPS_COMPAT", "true", "auth.providers[0].optional_scope", Value::Null),
        ("JUPYTER_RAM_LIST", "1G,2G, 32G", "options.memory", json!(["1G", "2G", "32G"])),
        ("JUPYTER_DEFAULT_MEM", "2G", "options.default_memory", json!("2G")),
        ("JUPYTER_CPU_LIST", "1,2,0.5", "options.cores", json!([1.0, 2.0, 0.5])),
        ("JUPYTER_DEFAULT_CPU", "2", "options.default_cores", json!(2.0)),
        ("JUPYTER_DEFAULT_CPU", "2", "options.cores", json!([1.0, 2.0, 4.0])),
        ("WITH_GPU", "true", "options.gpus", json!([0, 1])),
        ("WITH_GPU", "False", "options.gpus", Value::Null),
        ("WITH_GPU", "true", "spawner.docker.share_gpus", json!(true)),
        ("WITH_GPU", "False", "spawner.docker.share_gpus", Value::Null),
        ("ALL_GPU_UUIDs", "MIG-1, MIG-2", "spawner.devices", json!({"nvidia.com/gpu": ["MIG-1", "MIG-2"]})),
        ("ALL_GPU_UUIDS", "GPU-1", "spawner.devices", json!({"nvidia.com/gpu": ["GPU-1"]})),
        ("ALL_GPU_UUIDs", "None", "spawner.devices", Value::Null),
        (
            "JUPYTER_IMAGE_LIST",
            "a.example/x:1,b",
            "options.images",
            json!([{"name": "a.example/x:1", "image": "a.example/x:1", "default": true},
                {"name": "b", "image": "b", "default": false}]),
        ),
        ("JUPYTER_IMAGE_LIST", "no default image", "options.images", Value::Null),
        ("DEFAULT_SPAWNER", "LAB", "spawner.default_url", json!("/lab")),
        ("DEFAULT_SPAWNER", "notebook", "spawner.default_url", json!("/tree")),
        ("DOCKER_NOTEBOOK_DIR", "/work", "spawner.notebook_dir", json!("/work")),
        ("DOCKER_NOTEBOOK_DIR", "", "spawner.notebook_dir", json!("/jupyter-workspace")),
        ("DOCKER_NOTEBOOK_DIR", "/work/", "spawner.docker.volumes", volumes("/jupyter-mounts", "/work")),
        (
            "DOCKER_NOTEBOOK_DIR",
            "/w",
            "spawner.docker.read_only_volumes",
            json!({"/jupyter-mounts/shared": "/w/shared"}),
        ),
        ("DOCKER_NOTEBOOK_MOUNT_DIR", "", "spawner.docker.volumes", volumes("/jupyter-mounts", "/jupyter-workspace")),
        (
            "DOCKER_NOTEBOOK_MOUNT_DIR",
            "/data/",
            "spawner.docker.volumes",
            volumes("/data/jupyter-mounts", "/jupyter-workspace"),
        ),
        (
            "DOCKER_NOTEBOOK_MOUNT_DIR",
            "/data",
            "spawner.docker.read_only_volumes",
            json!({"/data/jupyter-mounts/shared": "/jupyter-workspace/shared"}),
        ),
        (
            "JUPYTER_WITH_CVMFS",
            "True",
            "spawner.docker.read_only_volumes./cvmfs",
            json!({"bind": "/jupyter-workspace/cvmfs", "propagation": "rslave"}),
        ),
        ("JUPYTER_WITH_CVMFS", "False", "spawner.docker.read_only_volumes./cvmfs", Value::Null),
        (
            "JUPYTER_COLLAB_SERVICE",
            "true",
            "spawner.docker.volumes",
            json!({"/jupyter-mounts/shared/{username}": "/jupyter-workspace/shared/{username}",
                "/jupyter-mounts/users/{username}": "/jupyter-workspace/private",
                "/jupyter-mounts/collaborativefolder": "/jupyter-workspace/collaborativefolder"}),
        ),
        ("DOCKER_NETWORK_NAME", "labs", "spawner.docker.network_name", json!("labs")),
        ("DOCKER_NETWORK_NAME", "", "spawner.docker.network_name", json!("jupyterhub")),
        (
            "DOCKER_SPAWN_CMD",
            "tini -s -- jupyterhub-singleuser --port=8890 --NotebookApp.default_url=\"/lab\"",
            "spawner.cmd",
            json!(["jupyterhub-singleuser", "--port=8890", "--NotebookApp.default_url=/lab"]),
        ),
        ("DOCKER_SPAWN_CMD", "a --port=8890", "spawner.docker.port", json!(8890)),
        ("DOCKER_SPAWN_CMD", "a", "spawner.docker.port", json!(8889)),
        (
            "DOCKER_SPAWN_CMD",
            "",
            "spawner.cmd",
            json!(["jupyterhub-singleuser", "--port=8889", "--ip=0.0.0.0", "--allow-root", "--no-browser"]),
        ),
        ("POST_START_CMD", "sh -c 'a && b'", "spawner.docker.post_start_cmd", json!(["sh", "-c", "a && b"])),
        ("JUPYTER_POST_START_CMD", "/post.sh", "spawner.docker.post_start_cmd", json!(["/post.sh"])),
        ("POST_START_CMD", "", "spawner.docker.post_start_cmd", Value::Null),
        ("SPAWNED_IMAGE", "a.example/one:1", "spawner.docker.image", json!("a.example/one:1")),
        ("SPAWNED_IMAGE", "a.example/one:1", "options.policies", Value::Null),
        ("JUPYTER_IMAGE_LIST", "a.example/x:1,b", "spawner.docker.image", json!("a.example/x:1")),
        (
            "JUPYTER_IMAGE_LIST",
            "no default image",
            "spawner.docker.image",
            json!("harbor.cloud.infn.it/datacloud-templates/jlab-base:latest"),
        ),
        (
            "DNS_NAME",
            "hub.example.org",
            "spawner.environment.GRAFANA_EXTERNAL_URL",
            json!("https://hub.example.org/grafana"),
        ),
        (
            "S3_ENDPOINT",
            "https://s3.example.org",
            "storage",
            json!([{"name": "s3", "dialect": "minio", "endpoint": "https://s3.example.org", "provider": "iam",
                "buckets": []}]),
        ),
        ("S3_ENDPOINT", "https://s3.example.org", "spawner.environment.S3_ENDPOINT", json!("https://s3.example.org")),
        ("S3_BUCKET", "a b", "storage", Value::Null),
        ("WITH_S3FUSE", "true", "spawner.mounts.enabled", Value::Null),
        ("WITH_S3FUSE", "true", "spawner.docker.extra_host_config", Value::Null),
        ("OAUTH_SUB", "x", "spawner.driver", json!("docker")),
        ("OAUTH_SUB", "x", "hub.hub_connect_url", json!("http://jupyterhub:8081")),
        ("IDLE_CULLER_TIMEOUT", "7200", "culler.timeout", json!(7200.0)),
        ("IDLE_CULLER_TIMEOUT", "7200", "culler.enabled", json!(true)),
        ("IDLE_CULLER_TIMEOUT", "0", "culler.enabled", json!(false)),
        ("IDLE_CULLER_TIMEOUT", "", "culler.timeout", json!(7200)),
        ("JUPYTERHUB_ACTIVITY_INTERVAL", "15", "spawner.environment.JUPYTERHUB_ACTIVITY_INTERVAL", json!("15")),
    ];
    for (name, value, key, expected) in cases {
        let plain = environment(&[(name, value)]);
        let said = said(&plain, THEIRS);
        assert_eq!(option(&said, key), expected, "{name}={value}");
        assert!(said.problems.is_empty(), "{name}={value}: {:?}", said.problems);
    }
}

/// Everybody's part of the folder of all, and their own.
fn volumes(machine: &str, root: &str) -> Value {
    json!({ (format!("{machine}/shared/{{username}}")): format!("{root}/shared/{{username}}"),
        (format!("{machine}/users/{{username}}")): format!("{root}/private") })
}

#[test]
fn buckets_become_folders_when_store_and_fuse_are_told() {
    let more = [("S3_ENDPOINT", "https://s3.example.org"), ("S3_BUCKET", "scratch cygno"), ("WITH_S3FUSE", "true")];
    let said = said(&environment(&more), THEIRS);
    let buckets = json!([{"bucket": "scratch", "folder": "/s3/scratch"}, {"bucket": "cygno", "folder": "/s3/cygno"}]);
    assert_eq!(option(&said, "storage")[0]["buckets"], buckets);
    assert_eq!(option(&said, "spawner.mounts.enabled"), true);
    assert_eq!(option(&said, "spawner.environment.S3_BUCKETS"), "scratch cygno");
    // And the hub takes it.
    let config = load(&[more.as_slice(), &[("JUPYTERHUB_CRYPT_KEY", "")]].concat()).unwrap();
    assert_eq!(config.storage[0].buckets.len(), 2);
    assert!(config.spawner.mounts.enabled);
    let told = load(&[("S3_ENDPOINT", "s3.example.org")]).unwrap_err();
    assert!(told.contains("environment S3_ENDPOINT: "), "{told}");
}

#[test]
fn a_hub_with_a_driver_of_its_own_takes_what_is_said_and_nothing_else() {
    let docker = Ground { driver: Some(Driver::Docker), ..THEIRS };
    let nothing = said(&environment(&[]), docker);
    for key in ["spawner.driver", "hub.bind_url", "spawner.cmd", "spawner.docker.user", "spawner.docker.volumes"] {
        assert_eq!(option(&nothing, key), Value::Null, "{key}");
    }
    let more = [("DOCKER_NETWORK_NAME", "labs"), ("POST_START_CMD", "a b"), ("DOCKER_SPAWN_CMD", "a")];
    let some = said(&environment(&more), docker);
    assert_eq!(option(&some, "spawner.docker.network_name"), "labs");
    assert_eq!(option(&some, "spawner.docker.post_start_cmd"), json!(["a", "b"]));
    assert_eq!((option(&some, "spawner.cmd"), option(&some, "spawner.docker.port")), (json!(["a"]), Value::Null));
}

#[test]
fn what_cannot_be_meant_is_told_with_the_variable() {
    for (name, value) in [
        ("DEFAULT_SPAWNER", "both"),
        ("WITH_GPU", "some"),
        ("IDLE_CULLER_TIMEOUT", "an hour"),
        ("JUPYTER_CPU_LIST", "1,two"),
        ("JUPYTER_RAM_LIST", "1G,lots"),
        ("JUPYTER_DEFAULT_MEM", "3G"),
        ("OAUTH_ENDPOINT", "iam"),
        ("OAUTH_CALLBACK_URL", "/hub/oauth_callback"),
        ("JUPYTERHUB_ACTIVITY_INTERVAL", "-1"),
        ("DOCKER_SPAWN_CMD", "a 'b"),
        ("DOCKER_SPAWN_CMD", "a --port=none"),
        ("POST_START_CMD", "\""),
        ("DOCKER_NOTEBOOK_DIR", "work"),
        ("DOCKER_NOTEBOOK_MOUNT_DIR", "data"),
        ("JUPYTER_WITH_CVMFS", "perhaps"),
        ("JUPYTER_COLLAB_SERVICE", "perhaps"),
        ("DOCKER_NETWORK_NAME", "host"),
    ] {
        let told = load(&[(name, value)]).expect_err(name);
        assert!(told.lines().any(|line| line.contains(&format!("environment {name}: "))), "{name}: {told}");
    }
}

#[test]
fn what_is_missing_is_told_with_name_and_remedy() {
    for missing in ["OAUTH_CALLBACK_URL", "IAM_CLIENT_ID", "IAM_CLIENT_SECRET"] {
        let mut environment = environment(&[]);
        environment.remove(missing);
        let told = Config::load(None, &environment).expect_err(missing).to_string();
        assert!(told.contains(&format!("environment {missing}: is not set, and OAUTH_ENDPOINT is. ")), "{told}");
    }
    let bare: Environment = [("IAM_CLIENT_ID".to_owned(), "x".to_owned())].into();
    assert!(Config::load(None, &bare).unwrap().auth.providers.is_empty(), "nothing is meant without OAUTH_ENDPOINT");
}

/// H12: what stands in published examples is no secret.
#[test]
fn secrets_of_examples_are_refused() {
    for name in ["JUPYTER_PROXY_TOKEN", "JUPYTERHUB_API_TOKEN", "IAM_CLIENT_SECRET", "IAM_TOKEN"] {
        for value in ["test_token", "API_TOKEN_EXAMPLE"] {
            let told = load(&[(name, value)]).expect_err(name);
            assert!(told.contains(&format!("environment {name}: is the value of an example")), "{told}");
        }
    }
    // One of their own is that of the proxy in front.
    let config = load(&[("JUPYTER_PROXY_TOKEN", "8e0c4f")]).unwrap();
    let front = config.front().unwrap();
    assert_eq!((front.url.as_str(), front.token.expose()), ("http://http_proxy:8001", "8e0c4f"));
    assert!(!config.warnings().iter().any(|line| line.contains("JUPYTER_PROXY_TOKEN")), "{:?}", config.warnings());
}

#[test]
fn the_variables_alone_are_a_configuration() {
    let config =
        load(&[("OAUTH_GROUPS", "beta_testers"), ("JUPYTER_IMAGE_LIST", "a,b"), ("WITH_GPU", "true")]).unwrap();
    let provider = config.auth.providers.first().unwrap();
    assert_eq!(provider.issuer(), Some("https://iam.example.org"));
    assert_eq!(provider.client_secret.as_ref().unwrap().expose(), "s3cret");
    assert!(provider.allowed_groups.contains("beta_testers"));
    assert!(config.auth.manage_groups && config.auth.enable_auth_state);
    assert_eq!(config.hub.public_url.as_ref().unwrap().as_str(), "https://hub.example.org:8888");
    assert_eq!(config.spawner.oidc_environment.len(), 7);
    assert_eq!(config.options.memory.len(), 4);
    // Servers are containers, where INFN's own hub has them.
    let (hub, spawner, docker) = (&config.hub, &config.spawner, &config.spawner.docker);
    assert_eq!((spawner.driver, docker.network_name.as_str(), docker.port), (Driver::Docker, "jupyterhub", 8889));
    assert_eq!((hub.bind_url.listen().as_str(), hub.hub_url().as_str()), ("0.0.0.0:8088", "http://jupyterhub:8081"));
    assert_eq!((docker.image.as_deref(), config.options.images.len()), (Some("a"), 2));
    assert_eq!((docker.volumes.len(), docker.read_only_volumes.len()), (2, 1));
    assert_eq!(config.rules().unwrap().unwrap().gpus, [0, 1]);
    // H4: no server is privileged for it.
    assert!(docker.extra_host_config.is_empty() && docker.no_new_privileges && !docker.cap_drop.is_empty());
    assert!(!docker.cap_add.iter().any(|capability| capability.contains("SYS_ADMIN")));
    assert!(config.warnings().iter().any(|one| one.contains("root in them as INFN's are")), "{:?}", config.warnings());
    assert!(config.taken().iter().any(|(key, from)| key.ends_with("allowed_groups") && from == "OAUTH_GROUPS"));
}

#[test]
fn a_driver_without_images_starts_and_names_what_it_does_not_use() {
    let more = [("JUPYTER_IMAGE_LIST", "a,b"), ("WITH_GPU", "true"), ("SPECOLA_SPAWNER__DRIVER", "local")];
    let config = load(&more).unwrap();
    assert!(config.options.images.is_empty() && config.options.gpus.is_empty());
    assert_eq!(config.hub.hub_url(), "http://127.0.0.1:8081");
    let warnings = config.warnings();
    for name in ["JUPYTER_IMAGE_LIST", "WITH_GPU"] {
        assert!(warnings.iter().any(|one| one.starts_with(&format!("{name} is not used"))), "{warnings:?}");
    }
}

#[test]
fn a_driver_of_containers_has_images_gpus_and_images_of_peoples_own() {
    use hub_core::policy::{Person, decide};
    let more = [
        ("JUPYTER_IMAGE_LIST", "a.example/x:1,b"),
        ("WITH_GPU", "true"),
        ("JUPYTER_CPU_LIST", "1,2"),
        ("SPECOLA_SPAWNER__DRIVER", "external"),
        ("SPECOLA_SPAWNER__EXTERNAL__URL", "https://driver.example.org"),
        ("SPECOLA_SPAWNER__EXTERNAL__SECRET", "between the two of them"),
    ];
    let rules = load(&more).unwrap().rules().unwrap().unwrap();
    let person = Person { name: "anna".to_owned(), ..Person::default() };
    for wanted in [
        json!({"img": "b", "mem": "2G", "cpu": "2", "gpu": "1"}),
        json!({"img": "other.example/own:3", "mem": "8G"}),
        json!({}),
    ] {
        assert!(decide(&rules, &person, &wanted).is_ok(), "{wanted}: {:?}", decide(&rules, &person, &wanted).err());
    }
    assert!(decide(&rules, &person, &json!({"mem": "64G"})).is_err());
}

#[test]
fn the_slices_of_a_gpu_are_leased_one_by_one() {
    // Hazard H8: two starts at once got the same slice. Where slices are named, they are leased in the database.
    let config = load(&[("WITH_GPU", "true"), ("ALL_GPU_UUIDs", "MIG-1,MIG-2")]).unwrap();
    assert_eq!(config.spawner.devices["nvidia.com/gpu"], ["MIG-1", "MIG-2"]);
    let rules = config.rules().unwrap().unwrap();
    assert_eq!(rules.gpus, [0, 1]);
    assert!(!config.spawner.docker.share_gpus);
    let shared = load(&[("WITH_GPU", "true")]).unwrap();
    assert!(shared.spawner.docker.share_gpus && shared.rules().unwrap().is_some());
    assert!(shared.warnings().iter().any(|one| one.contains("the same first ones")), "{:?}", shared.warnings());
    assert!(!config.warnings().iter().any(|one| one.contains("GPU_UUIDs")), "{:?}", config.warnings());
    // What is named twice is there once: nobody gets it while another has it.
    let config = load(&[("WITH_GPU", "true"), ("ALL_GPU_UUIDs", "MIG-1,MIG-1")]).unwrap();
    assert_eq!(config.spawner.devices["nvidia.com/gpu"], ["MIG-1"]);
}

#[test]
fn what_is_written_in_the_file_or_in_our_own_variables_wins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("specola.toml");
    let written = |text: &str, more: &[(&str, &str)]| {
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file), &environment(more)).unwrap()
    };
    let config = written("[spawner]\ndefault_url = \"/x\"\n[options]\ncores = [7]\n", &[("JUPYTER_RAM_LIST", "3G")]);
    assert_eq!(config.spawner.default_url.as_deref(), Some("/x"));
    assert_eq!((config.options.cores.as_slice(), config.options.memory.len()), (&[7.0][..], 0));
    let config = written("[auth]\nmanage_groups = true\n", &[("SPECOLA_AUTH__MANAGE_GROUPS", "false")]);
    assert!(!config.auth.manage_groups && config.auth.enable_auth_state);
    let own = "[[auth.providers]]\nname = \"own\"\nusername_prefix = \"\"\nissuer = \"https://own.example\"\nclient_id = \"c\"\n";
    let config = written(own, &[]);
    assert_eq!(config.auth.providers.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["own"]);
    assert!(config.warnings().iter().any(|one| one.contains("passed over")) && !config.auth.manage_groups);
}

#[test]
fn each_can_be_a_file_and_not_both() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let key = "00".repeat(32);
    let (groups, secret, crypt) = (file("groups", "a b\n"), file("secret", "from a file\n"), file("key", &key));
    let mut environment = environment(&[("OAUTH_GROUPS_FILE", &groups), ("JUPYTERHUB_CRYPT_KEY_FILE", &crypt)]);
    environment.remove("IAM_CLIENT_SECRET");
    environment.insert("IAM_CLIENT_SECRET_FILE".into(), secret.clone());
    let config = Config::load(None, &environment).unwrap();
    assert_eq!(config.auth.providers[0].client_secret.as_ref().unwrap().expose(), "from a file");
    assert_eq!(config.auth.providers[0].allowed_groups.len(), 2);
    assert_eq!(config.crypt_keys.as_ref().unwrap().expose(), key);
    environment.insert("IAM_CLIENT_SECRET".into(), "and here".into());
    let told = Config::load(None, &environment).unwrap_err().to_string();
    assert!(told.contains("environment IAM_CLIENT_SECRET_FILE: and IAM_CLIENT_SECRET are both set"), "{told}");
    assert!(!told.contains("and here") && !told.contains("from a file"));
}

/// Whatever a variable becomes, a file says it as the variable does.
#[test]
fn every_variable_can_be_a_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("value");
    std::fs::write(&path, " what is said\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    for name in KNOWN {
        let file = format!("{name}_FILE");
        let read = |environment: &Environment| {
            let (mut problems, mut notes) = (Vec::new(), Vec::new());
            let variables = Variables::of(environment, &mut problems, &mut notes);
            let given = variables.get(name).map(|given| (given.text.clone(), given.from.clone()));
            (given, problems.iter().map(ToString::to_string).collect::<Vec<_>>(), notes)
        };
        let mut environment = Environment::from([(file.clone(), path.display().to_string())]);
        let (given, problems, notes) = read(&environment);
        // That one is read for every hub, in one place: see `each_can_be_a_file_and_not_both`.
        let elsewhere = name == "JUPYTERHUB_CRYPT_KEY";
        assert_eq!(given, (!elsewhere).then(|| ("what is said".to_owned(), file.clone())), "{name}");
        assert!(problems.is_empty() && notes.is_empty(), "{name}: {problems:?} {notes:?}");
        environment.insert(name.to_owned(), "and here".to_owned());
        let (given, problems, _) = read(&environment);
        let expected = format!("environment {file}: and {name} are both set");
        assert!(problems.len() == 1 && problems[0].starts_with(&expected), "{name}: {problems:?}");
        assert!(given.is_none() && !problems[0].contains("what is said"), "{name}");
        environment.remove(name);
        environment.insert(file.clone(), folder.path().join("none").display().to_string());
        let (given, problems, _) = read(&environment);
        let is_told = problems.len() == 1 && problems[0].contains(&file);
        assert!(given.is_none() && (is_told || elsewhere), "{name}: {problems:?}");
    }
}

#[test]
fn each_variable_of_containers_can_be_a_file_too() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for (name, value, key) in [
        ("DOCKER_NETWORK_NAME", "labs", "spawner.docker.network_name"),
        ("DOCKER_SPAWN_CMD", "a b", "spawner.cmd"),
        ("POST_START_CMD", "a", "spawner.docker.post_start_cmd"),
        ("JUPYTER_POST_START_CMD", "a", "spawner.docker.post_start_cmd"),
        ("DOCKER_NOTEBOOK_DIR", "/w", "spawner.notebook_dir"),
        ("DOCKER_NOTEBOOK_MOUNT_DIR", "/data", "spawner.docker.volumes"),
        ("SPAWNED_IMAGE", "a", "spawner.docker.image"),
        ("DNS_NAME", "a", "spawner.environment.GRAFANA_EXTERNAL_URL"),
        ("S3_ENDPOINT", "https://a", "storage"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{value}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let file = format!("{name}_FILE");
        let said = said(&environment(&[(&file, &path.display().to_string())]), THEIRS);
        let taking = said.options.iter().find(|taking| taking.key == key && taking.from == file);
        assert!(taking.is_some(), "{name}: {:?} {:?}", said.options, said.problems);
        let plain = self::said(&environment(&[(name, value)]), THEIRS);
        assert_eq!(option(&said, key), option(&plain, key), "{name}");
    }
}

#[test]
fn a_registration_access_token_stands_in_for_the_secret() {
    for name in ["IAM_TOKEN", "iam_token"] {
        let mut environment = environment(&[(name, "rat")]);
        assert!(Config::load(None, &environment).unwrap().claim().is_none(), "the secret is there");
        environment.remove("IAM_CLIENT_SECRET");
        let config = Config::load(None, &environment).unwrap();
        let claim = config.claim().unwrap();
        assert_eq!((claim.client_id.as_str(), claim.token.expose()), ("hub", "rat"));
        assert_eq!(claim.callback, "https://hub.example.org:8888/hub/oauth_callback");
    }
}

#[test]
fn what_is_not_done_is_named_with_the_reason_when_it_is_wanted() {
    let told = |more: &[(&str, &str)], start: &str| {
        let warnings = load(more).unwrap().warnings();
        assert!(warnings.iter().any(|line| line.starts_with(start)), "{start}: {warnings:?}");
    };
    told(&[("CVMFS_SNAPSHOTTER", "true")], "CVMFS_SNAPSHOTTER is not used: it is for Kubernetes");
    told(&[("WITH_S3FUSE", "true")], "WITH_S3FUSE gives servers neither /dev/fuse nor SYS_ADMIN");
    told(&[("S3_BUCKET", "a")], "S3_BUCKET counts only with S3_ENDPOINT");
    told(&[("S3_ENDPOINT", "https://s3.example.org"), ("WITH_S3FUSE", "true")], "WITH_S3FUSE mounts nothing");
    let own = ("SPECOLA_SPAWNER__DRIVER", "local");
    told(&[own, ("JUPYTER_PROXY_TOKEN", "8e0c4f")], "JUPYTER_PROXY_TOKEN is not used: hub and proxy make a token");
    told(&[("JUPYTERHUB_API_TOKEN", "8e0c4f")], "JUPYTERHUB_API_TOKEN is not used: a service is told in hub.services");
    let local = [
        ("SPECOLA_SPAWNER__DRIVER", "local"),
        ("DOCKER_SPAWN_CMD", "tini -s"),
        ("JUPYTER_WITH_CVMFS", "True"),
        ("WITH_S3FUSE", "false"),
        ("POST_START_CMD", ""),
    ];
    told(&local, "Not used: DOCKER_SPAWN_CMD, JUPYTER_WITH_CVMFS: they say how containers");
    let quiet = load(&[("JUPYTER_COLLAB_SERVICE", "False"), ("CVMFS_SNAPSHOTTER", "no"), ("WITH_S3FUSE", "false")]);
    let warnings = quiet.unwrap().warnings();
    let named = |name: &str| warnings.iter().any(|line| line.contains(name));
    assert!(!named("COLLAB") && !named("SNAPSHOTTER") && !named("S3FUSE"), "{warnings:?}");
}

/// INFN's lab for everybody under one token is the server of an account, which nobody is.
#[test]
fn the_lab_for_everybody_is_one_in_which_everybody_is_who_they_are() {
    let wanted = [("JUPYTER_COLLAB_SERVICE", "True"), ("JUPYTER_IMAGE_LIST", "a,b")];
    let config = load(&wanted).unwrap();
    let lab = config.collaboration_of("collaboration").unwrap();
    assert_eq!(lab.title(), "Collaborative-Jupyter");
    assert_eq!(lab.notebook_dir.as_deref(), Some("/jupyter-workspace/collaborativefolder"));
    assert!(lab.groups.is_empty(), "everybody who is let in");
    assert!(config.hub.extra_user_scopes.contains(&"access:servers!server=collaboration/".to_owned()));
    assert!(config.taken().iter().any(|(key, from)| key == "collaboration" && from == "JUPYTER_COLLAB_SERVICE"));
    assert!(config.auth.reserved_users.contains("collaboration") && config.auth.blocked_users.is_empty());
    // Where nothing is mounted by the variables it opens where all servers do.
    let local = load(&[("JUPYTER_COLLAB_SERVICE", "True"), ("SPECOLA_SPAWNER__DRIVER", "local")]).unwrap();
    assert_eq!(local.collaboration_of("collaboration").unwrap().notebook_dir, None);
    // What is configured wins, and says which image has what it takes.
    let own = r#"[{"name": "cygno", "options": {"img": "lab-collaborative:1", "gpu": 0}}]"#;
    let config = load(&[wanted.as_slice(), &[("SPECOLA_COLLABORATION", own), ("WITH_GPU", "true")]].concat()).unwrap();
    assert_eq!((config.collaboration.len(), config.collaboration_of("cygno").is_some()), (1, true));
    assert!(load(&[("JUPYTER_COLLAB_SERVICE", "False")]).unwrap().collaboration.is_empty());
}

#[test]
fn folders_that_are_configured_take_the_place_of_infns() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("specola.toml");
    std::fs::write(&file, "[folders]\nroot = \"/jupyter-mounts\"\n[hub]\nhub_ip = \"10.0.0.1\"\n").unwrap();
    let more = [("JUPYTER_WITH_CVMFS", "true"), ("JUPYTER_COLLAB_SERVICE", "true")];
    let config = Config::load(Some(&file), &environment(&more)).unwrap();
    let docker = &config.spawner.docker;
    assert_eq!((docker.volumes.len(), docker.read_only_volumes.len()), (0, 1), "/cvmfs is no such folder");
    assert_eq!(config.collaboration_of("collaboration").unwrap().notebook_dir, None, "there is no such folder");
    assert_eq!(config.hub.hub_url(), "http://10.0.0.1:8081");
}
