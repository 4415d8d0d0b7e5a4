//! `remove = false`: a container is kept when its server stops, and started again.

use serde_json::{Value, json};
use spawners::{Sight, Spawner, StartError, contract};

use crate::ground::{docker, ground};

#[tokio::test]
async fn a_kept_container_is_started_again_until_it_would_be_made_another_way() {
    let Some(mut ground) = ground() else { return };
    ground.config.remove = false;
    let plan = |generation| {
        let mut plan = ground.plan(1, generation);
        plan.environment.push(("JUPYTERHUB_API_TOKEN".into(), "its-token".into()));
        plan
    };
    let (driver, server) = (ground.driver(), plan(1).identity);
    assert!(driver.kept_token(&server).await.unwrap().is_none());
    ground.start(&plan(1)).await.unwrap();
    let first = ground.containers();
    docker(&["exec", &first[0], "touch", "/kept"]);
    contract::stop(&driver, &server, &Value::Null).await;
    assert_eq!(ground.containers(), first, "it is kept");
    assert!(driver.kept_token(&server).await.unwrap().unwrap().matches("its-token"));
    assert_eq!(driver.list_owned().await.unwrap(), [], "there is nothing to clear away");

    // The next start has the same one, under the name it had.
    let next = plan(2);
    let started = ground.start(&next).await.unwrap();
    assert_eq!(started.state, json!({"object_id": first[0], "object_name": format!("{}-user1", ground.hub)}));
    docker(&["exec", &first[0], "ls", "/kept"]);
    assert_eq!(driver.look(&next.identity, &started.state).await.unwrap(), Sight::Up { url: started.url });
    assert_eq!(docker(&["inspect", "--format", "{{.Name}}", &first[0]]), format!("/{}-user1", ground.hub));

    // One that ended by itself is told of, and kept too.
    docker(&["kill", &first[0]]);
    contract::eventually("its end is seen", || async {
        matches!(driver.look(&next.identity, &started.state).await.unwrap(), Sight::Exited { .. })
    })
    .await;
    contract::stop(&driver, &next.identity, &started.state).await;
    assert_eq!(ground.containers(), first);

    // Nothing but the very same way to make it will do.
    let mut other = plan(3);
    other.mem_limit = Some(256 << 20);
    ground.start(&other).await.unwrap();
    let second = ground.containers();
    assert!(second.len() == 1 && second != first, "{second:?}");
    contract::stop(&driver, &other.identity, &Value::Null).await;
    driver.forget(&other.identity, &Value::Null).await.unwrap();
    assert_eq!(ground.containers(), Vec::<String>::new(), "it goes with its server");
}

#[tokio::test]
async fn a_kept_container_that_does_not_start_is_kept_on() {
    let Some(mut ground) = ground() else { return };
    ground.config.remove = false;
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("given");
    std::fs::create_dir(&source).unwrap();
    let mount = json!({"Type": "bind", "Source": source, "Target": "/given"});
    ground.config.shape.mounts.push(mount.as_object().unwrap().clone());
    ground.start(&ground.plan(1, 1)).await.unwrap();
    let (driver, first) = (ground.driver(), ground.containers());
    contract::stop(&driver, &ground.identity(1, 1), &Value::Null).await;
    std::fs::remove_dir(&source).unwrap();
    let failed = ground.start(&ground.plan(1, 2)).await;
    assert!(matches!(failed, Err(StartError::Failed { .. })), "{failed:?}");
    contract::stop(&driver, &ground.identity(1, 2), &Value::Null).await;
    std::fs::create_dir(&source).unwrap();
    ground.start(&ground.plan(1, 3)).await.unwrap();
    assert_eq!(ground.containers(), first);
}
