//! Pulls from a real registry, with a login.

use std::time::Duration;

use serde_json::{Value, json};
use spawner_docker::{Login, PullPolicy};
use spawners::{Spawner, StartError, contract};

use crate::debian_registry::{self, Registry};
use crate::ground::{Ground, Told, docker, ground};

const USER: &str = "puller";
/// With characters that the two alphabets of base64 write differently.
const PASSWORD: &str = "se?cret~>?";

/// The registry with a login, where it is installed.
fn registry() -> Option<Registry> {
    let Some(program) = debian_registry::program(true) else {
        assert!(std::env::var_os("SPECOLA_REQUIRE_REGISTRY").is_none(), "docker-registry or htpasswd is missing");
        eprintln!("SKIPPED: docker-registry or htpasswd is missing");
        return None;
    };
    Some(Registry::start(&program, Some((USER, PASSWORD))).unwrap())
}

/// Lets the driver log in, with a password that is in a folder which has to be kept.
fn login(registry: &Registry, ground: &mut Ground, password: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, password).unwrap();
    let login = Login { username: USER.into(), password_file };
    ground.config.logins.registries.insert(registry.host(), login);
    folder
}

#[tokio::test]
async fn a_pull_is_told_in_bytes_shared_and_outside_the_start() {
    let Some(mut ground) = ground() else { return };
    let Some(registry) = registry() else { return };
    let reference = ground.image(registry.publish("noise:1", 48, |_| Ok(())).unwrap());
    let _login = login(&registry, &mut ground, PASSWORD);
    let driver = ground.driver();
    let (mut one, mut two) = (ground.plan(1, 1), ground.plan(2, 1));
    (one.image, two.image) = (Some(reference.clone()), Some(reference));
    let (first, second) = (Told::default(), Told::default());
    let (a, b) = tokio::join!(driver.start(&one, &Value::Null, &first), driver.start(&two, &Value::Null, &second));
    for (outcome, told) in [(a, first), (b, second)] {
        // There is nothing in it but noise.
        assert!(matches!(outcome, Err(StartError::Refused { code: "command_not_found", .. })), "{outcome:?}");
        let said = told.0.into_inner().unwrap();
        assert!(said.iter().any(|said| said.contains(" of 50 MB")), "{said:?}");
        assert_eq!(told.1.into_inner().unwrap(), [ground.config.pull_timeout, Duration::ZERO]);
    }
    let asked = registry.log().lines().filter(|line| line.contains("\"GET /v2/noise/manifests/1 ")).count();
    let answered = registry.log();
    assert!(asked <= 2, "pulled once (asked without and with a login), not for each: {asked}\n{answered}");
    assert_eq!(ground.containers(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_registry_refuses_is_told_in_words() {
    let Some(mut ground) = ground() else { return };
    let Some(registry) = registry() else { return };
    let mut plan = ground.plan(1, 1);
    plan.image = Some(registry.reference("noise:1"));
    assert_eq!(ground.fails(&plan).await.0, "image_denied", "without a login");
    let wrong = login(&registry, &mut ground, "wrong");
    assert_eq!(ground.fails(&plan).await.0, "image_denied", "with a wrong one");
    drop(wrong);
    let right = login(&registry, &mut ground, PASSWORD);
    assert_eq!(ground.fails(&plan).await.0, "image_absent");
    let away = registry.reference("noise:1");
    drop((registry, right));
    plan.image = Some(away);
    let (code, sentence) = ground.fails(&plan).await;
    // The password is gone.
    assert_eq!(code, "login_unreadable", "{sentence}");
    ground.config.logins.registries.clear();
    assert_eq!(ground.fails(&plan).await.0, "registry_away");
}

/// `pull_policy`, where the registry has another image under the name by now.
#[tokio::test]
async fn an_image_is_asked_for_as_often_as_its_policy_says() {
    let Some(mut ground) = ground() else { return };
    let Some(registry) = registry() else { return };
    let _login = login(&registry, &mut ground, PASSWORD);
    ground.config.remove = false;
    ground.config.shape.read_only_volumes.insert("/usr".into(), json!("/usr"));
    let reference = ground.image(registry.reference("lent:1"));
    ground.config.image = Some(reference.clone());
    let run = async |ground: &mut Ground, policy: PullPolicy, generation: i64| {
        ground.config.shape.pull_policy = policy;
        let plan = ground.plan(1, generation);
        ground.start(&plan).await.unwrap();
        let container = ground.containers().pop().unwrap();
        contract::stop(&ground.driver(), &plan.identity, &Value::Null).await;
        (docker(&["inspect", "--format", "{{.Config.Labels.version}}", &container]), container)
    };
    ground.lend(&reference, "first");
    registry.push(&reference).unwrap();
    docker(&["rmi", &reference]);
    let (version, first) = run(&mut ground, PullPolicy::IfNotPresent, 1).await;
    assert_eq!(version, "first", "it was not there, and was pulled");
    let own = docker(&["image", "inspect", "--format", "{{.Id}}", &reference]);
    ground.lend(&reference, "second");
    registry.push(&reference).unwrap();
    docker(&["tag", &own, &reference]);
    assert_eq!(run(&mut ground, PullPolicy::IfNotPresent, 2).await, ("first".to_owned(), first.clone()));
    // Pulled at each start: the container that was kept is of another image by now.
    let (version, second) = run(&mut ground, PullPolicy::Always, 3).await;
    assert!(version == "second" && second != first, "{version}");
    assert_eq!(run(&mut ground, PullPolicy::Always, 4).await, (version, second.clone()), "the same is kept");
    // Without the registry there is no telling what its image is: nothing starts, and what was kept stays.
    ground.config.logins.registries.clear();
    drop(registry);
    ground.config.shape.pull_policy = PullPolicy::Always;
    assert_eq!(ground.fails(&ground.plan(1, 5)).await.0, "registry_away");
    assert_eq!(run(&mut ground, PullPolicy::IfNotPresent, 6).await.1, second);
}
