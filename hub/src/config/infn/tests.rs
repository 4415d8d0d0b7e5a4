//! Which option each variable becomes, what is refused, and what wins.

use serde_json::{Value, json};
use spawners::Abilities;

use super::read::{Said, read};
use super::variable::Variables;
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

fn said(environment: &Environment, can: Abilities) -> Said {
    let (mut problems, mut notes) = (Vec::new(), Vec::new());
    let variables = Variables::of(environment, &mut problems, &mut notes);
    let mut said = read(&variables, can);
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
    let cases: [(&str, &str, &str, Value); 27] = [
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
        ("DOCKER_NOTEBOOK_DIR", "/jupyter-workspace", "spawner.notebook_dir", json!("/jupyter-workspace")),
        ("IDLE_CULLER_TIMEOUT", "7200", "culler.timeout", json!(7200.0)),
        ("IDLE_CULLER_TIMEOUT", "7200", "culler.enabled", json!(true)),
        ("IDLE_CULLER_TIMEOUT", "0", "culler.enabled", json!(false)),
        ("JUPYTERHUB_ACTIVITY_INTERVAL", "15", "spawner.environment.JUPYTERHUB_ACTIVITY_INTERVAL", json!("15")),
    ];
    for (name, value, key, expected) in cases {
        let said = said(&environment(&[(name, value)]), Abilities::ALL);
        assert_eq!(option(&said, key), expected, "{name}={value}");
        assert!(said.problems.is_empty(), "{name}={value}: {:?}", said.problems);
    }
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
    assert!(load(&[("JUPYTER_PROXY_TOKEN", "8e0c4f")]).is_ok());
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
    // The driver of this machine starts from no images: told, and the hub starts.
    assert!(config.options.images.is_empty() && config.options.gpus.is_empty());
    let warnings = config.warnings();
    for name in ["JUPYTER_IMAGE_LIST", "WITH_GPU"] {
        assert!(warnings.iter().any(|one| one.starts_with(&format!("{name} is not used"))), "{warnings:?}");
    }
    assert!(config.taken().iter().any(|(key, from)| key.ends_with("allowed_groups") && from == "OAUTH_GROUPS"));
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
fn what_no_driver_does_yet_is_named_when_it_is_wanted() {
    let more = [
        ("DOCKER_SPAWN_CMD", "tini -s"),
        ("JUPYTER_WITH_CVMFS", "True"),
        ("WITH_S3FUSE", "false"),
        ("ALL_GPU_UUIDs", "None"),
        ("POST_START_CMD", ""),
    ];
    let warnings = load(&more).unwrap().warnings();
    let line = warnings.iter().find(|line| line.starts_with("Not used yet")).unwrap();
    assert!(line.contains("DOCKER_SPAWN_CMD, JUPYTER_WITH_CVMFS ("), "{line}");
}
