//! What is refused, with which words, and that nothing is left of it.

use serde_json::{Value, json};
use spawner_docker::PullPolicy;
use spawners::contract::Paper;
use spawners::{Sight, Spawner, StartError};

use crate::ground::{Ground, docker, ground};

fn nothing_is_left(ground: &Ground) {
    assert_eq!(ground.containers(), Vec::<String>::new());
}

#[tokio::test]
async fn an_image_without_a_single_user_server_is_recognised_before_it_starts() {
    let Some(ground) = ground() else { return };
    let plan = ground.plan_of(1, 1, &["jupyterhub-singleuser"]);
    for _ in 0..2 {
        let (code, sentence) = ground.fails(&plan).await;
        assert_eq!(code, "no_singleuser");
        assert!(sentence.contains("does not contain jupyterhub-singleuser"), "{sentence}");
        nothing_is_left(&ground);
    }
    let (code, sentence) = ground.fails(&ground.plan_of(1, 2, &["no-such-command"])).await;
    assert_eq!(code, "command_not_found");
    assert!(sentence.contains("no-such-command"), "{sentence}");
    nothing_is_left(&ground);
}

#[tokio::test]
async fn an_image_that_is_not_there_is_told() {
    let Some(mut ground) = ground() else { return };
    ground.config.shape.pull_policy = PullPolicy::Never;
    let mut plan = ground.plan(1, 1);
    plan.image = Some("specola-test-nowhere:1".into());
    assert_eq!(ground.fails(&plan).await.0, "image_absent");
    ground.config.shape.pull_policy = PullPolicy::Skip;
    assert_eq!(ground.fails(&plan).await.0, "image_absent", "the engine itself says so");
    nothing_is_left(&ground);
}

#[tokio::test]
async fn a_name_that_somebody_else_has_is_theirs() {
    let Some(ground) = ground() else { return };
    let name = format!("{}-user1", ground.hub);
    docker(&["create", "--name", &name, ground.base(), "true"]);
    let (code, sentence) = ground.fails(&ground.plan(1, 1)).await;
    assert_eq!(code, "name_taken");
    assert!(sentence.contains(&name), "{sentence}");
    nothing_is_left(&ground);
    assert_eq!(docker(&["inspect", "--format", "{{.Name}}", &name]), format!("/{name}"), "it is still there");
}

#[tokio::test]
async fn a_part_of_a_volume_is_not_the_whole_of_it() {
    let Some(mut ground) = ground() else { return };
    let volume = ground.volume("all");
    let mount =
        json!({"Type": "volume", "Source": volume, "Target": "/home", "VolumeOptions": {"Subpath": "{username}"}});
    ground.config.shape.mounts = vec![mount.as_object().unwrap().clone()];
    let api = docker(&["version", "--format", "{{.Server.APIVersion}}"]);
    let minor: u32 = api.split_once('.').unwrap().1.parse().unwrap();
    let (code, _) = ground.fails(&ground.plan(1, 1)).await;
    // A newer engine looks for the folder in the volume, and finds none.
    assert_eq!(code, if minor < 45 { "engine_too_old" } else { "folder_absent" });
    nothing_is_left(&ground);
    ground.config.shape.mounts.clear();
    let notes = json!({"annotations": {"a": "b"}});
    ground.config.shape.extra_host_config = notes.as_object().unwrap().clone();
    if minor < 43 {
        let (code, sentence) = ground.fails(&ground.plan(2, 1)).await;
        assert_eq!(code, "engine_too_old");
        assert!(sentence.contains("too old to pass annotations"), "{sentence}");
    }
    nothing_is_left(&ground);
}

#[tokio::test]
async fn what_the_engine_does_not_take_leaves_nothing() {
    let Some(mut ground) = ground() else { return };
    let usual = ground.config.shape.clone();
    ground.config.shape.network_name = "specola-test-nowhere".into();
    assert_eq!(ground.fails(&ground.plan(1, 1)).await.0, "network_absent");
    ground.config.shape = usual.clone();
    ground.config.shape.runtime = Some("nowhere".into());
    assert_eq!(ground.fails(&ground.plan(1, 1)).await.0, "no_runtime");
    ground.config.shape = usual;
    let mut plan = ground.plan(1, 1);
    plan.binds.push(spawners::Bind {
        source: "/no/such/folder".into(),
        target: "/x".into(),
        read_only: true,
        propagate: false,
    });
    assert_eq!(ground.fails(&plan).await.0, "folder_absent");
    let mut plan = ground.plan(1, 1);
    plan.extra = json!({"node_selector": {"a": "b"}}).as_object().unwrap().clone();
    assert_eq!(ground.fails(&plan).await.0, "settings_not_understood");
    nothing_is_left(&ground);
}

#[tokio::test]
async fn an_engine_that_is_away_says_nothing_about_servers() {
    let Some(mut ground) = ground() else { return };
    let plan = ground.plan(1, 1);
    let started = ground.start(&plan).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let real = std::mem::replace(&mut ground.config.endpoint.host, format!("unix://{}", socket.display()));
    let driver = ground.driver();
    assert!(driver.look(&plan.identity, &started.state).await.is_err());
    assert!(driver.list_owned().await.is_err());
    let second = driver.start(&ground.plan(2, 1), &Value::Null, &Paper::default()).await;
    assert!(matches!(second, Err(StartError::Unreachable(_))), "{second:?}");
    // It comes back, and the same driver finds everything as it was.
    std::os::unix::fs::symlink(real.strip_prefix("unix://").unwrap(), &socket).unwrap();
    assert_eq!(driver.look(&plan.identity, &started.state).await.unwrap(), Sight::Up { url: started.url });
}
