//! Containers that DockerSpawner made: taken over while they run, and out of the way when they do not.

use serde_json::{Value, json};
use spawners::{Sight, Spawner, contract};

use crate::ground::{Ground, docker, ground};

/// A container as DockerSpawner makes one.
fn made_by_dockerspawner(ground: &Ground, user: &str) -> (String, String) {
    let name = format!("{}-{user}", ground.hub);
    let (of, prefix) = (format!("JUPYTERHUB_USER={user}"), format!("JUPYTERHUB_SERVICE_PREFIX=/user/{user}/"));
    let rest = ["-p", "127.0.0.1::8888", ground.base(), "python3", "-m", "http.server", "8888"];
    let arguments = ["run", "-d", "--init", "--name", &name, "-e", &of, "-e", "JUPYTERHUB_SERVER_NAME=", "-e", &prefix];
    let id = docker(&[&arguments[..], &rest[..]].concat());
    (id, name)
}

#[tokio::test]
async fn a_running_container_is_taken_over_by_its_state() {
    let Some(ground) = ground() else { return };
    let (id, name) = made_by_dockerspawner(&ground, "user1");
    let port = docker(&["port", &id, "8888/tcp"]);
    let identity = ground.identity(1, 0);
    let up = Sight::Up { url: format!("http://{port}/user/user1/") };
    for state in [json!({"object_id": id, "object_name": name}), json!({"container_id": id})] {
        assert_eq!(ground.driver().look(&identity, &state).await.unwrap(), up);
    }
    // Without a state there is no telling; nor is it somebody else's.
    assert_eq!(ground.driver().look(&identity, &Value::Null).await.unwrap(), Sight::Absent);
    let state = json!({"object_id": id});
    assert_eq!(ground.driver().look(&ground.identity(2, 0), &state).await.unwrap(), Sight::Absent);
    contract::stop(&ground.driver(), &identity, &state).await;
    assert_eq!(docker(&["ps", "-aq", "--filter", &format!("name={name}")]), "");
}

#[tokio::test]
async fn a_stopped_container_is_kept_under_another_name() {
    let Some(ground) = ground() else { return };
    let (id, name) = made_by_dockerspawner(&ground, "user1");
    let (code, _) = ground.fails(&ground.plan(1, 1)).await;
    assert_eq!(code, "name_taken", "while it runs it is not touched");
    docker(&["stop", "-t", "2", &id]);
    let started = ground.start(&ground.plan(1, 1)).await.unwrap();
    assert_eq!(started.state["object_name"], json!(name), "so that JupyterHub finds it again");
    let kept = docker(&["inspect", "--format", "{{.Name}}", &id]);
    assert_eq!(kept, format!("/{name}-before-{}", &id[..12]));
}

/// A database of before gives the numbers of servers and starts out again.
#[tokio::test]
async fn a_container_of_another_account_is_not_adopted_whatever_its_numbers() {
    for (generation, remove) in [(1, true), (3, true), (3, false)] {
        let Some(mut ground) = ground() else { return };
        ground.config.remove = remove;
        let (mut others, mut own) = (ground.plan(1, generation), ground.plan(1, 1));
        (others.identity.account, own.identity.account) = (Some("4-1".into()), Some("9-2".into()));
        ground.start(&others).await.unwrap();
        let first = ground.containers();
        assert_eq!(ground.driver().look(&own.identity, &json!({"object_id": first[0]})).await.unwrap(), Sight::Absent);
        ground.start(&own).await.unwrap();
        let second = ground.containers();
        assert!(second.len() == 1 && second != first, "the other one is nobody's any more: {second:?}");
    }
}
