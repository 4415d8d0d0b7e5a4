//! An engine that goes away in the middle of a start, and comes again.

use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::{Value, json};
use spawner_docker::{Endpoint, Tls};
use spawners::{Record, SaveError, Sight, Spawner, StartError, contract};

use crate::dockerd::{Dockerd, LENT};
use crate::ground::{Ground, ground};

/// A ground on an engine of its own, reached over TLS.
fn apart() -> Option<(Ground, Dockerd)> {
    let mut ground = ground()?;
    let engine = Dockerd::start(false).unwrap();
    engine.lend().unwrap();
    let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| engine.path(name));
    ground.config.endpoint = Endpoint { host: engine.tcp(), tls: Some(Tls { ca, cert, key }) };
    ground.config.image = Some(LENT.into());
    ground.config.shape.read_only_volumes.insert("/usr".into(), json!("/usr"));
    Some((ground, engine))
}

/// Kills the engine when a start has come so far.
struct Killing<'a> {
    engine: Mutex<&'a mut Dockerd>,
    at: &'a str,
    killed: Mutex<bool>,
}

#[async_trait]
impl Record for Killing<'_> {
    async fn save(&self, _state: &Value) -> Result<(), SaveError> {
        Ok(())
    }

    async fn progress(&self, _percent: u8, message: &str) {
        if message == self.at {
            self.engine.lock().unwrap().die();
            *self.killed.lock().unwrap() = true;
        }
    }
}

#[tokio::test]
async fn an_engine_that_dies_at_any_step_of_a_start_is_waited_for() {
    let Some((ground, mut engine)) = apart() else { return };
    let driver = ground.driver();
    let steps = ["Looking for the image", "Making the container", "Starting the container"];
    for (row, at) in (1..).zip(steps) {
        let plan = ground.plan(row, 1);
        let killing = Killing { engine: Mutex::new(&mut engine), at, killed: Mutex::default() };
        let outcome = driver.start(&plan, &Value::Null, &killing).await;
        assert!(*killing.killed.lock().unwrap(), "{at}");
        assert!(matches!(outcome, Err(StartError::Unreachable(_))), "{at}: {outcome:?}");
        assert!(driver.look(&plan.identity, &Value::Null).await.is_err(), "{at}: nobody knows");
        engine.come_up().unwrap();
        // What it was asked for before it died is found, whatever came of it.
        assert!(driver.look(&plan.identity, &Value::Null).await.is_ok(), "{at}: the same driver reaches it again");
        let started = driver.start(&plan, &Value::Null, &contract::Paper::default()).await.unwrap();
        assert_eq!(driver.look(&plan.identity, &Value::Null).await.unwrap(), Sight::Up { url: started.url });
        assert_eq!(engine.containers().unwrap().len(), 1, "{at}: there is one, and nothing beside it");
        contract::stop(&driver, &plan.identity, &started.state).await;
        assert_eq!(engine.containers().unwrap(), Vec::<String>::new(), "{at}");
    }
}

#[tokio::test]
async fn who_has_no_certificate_of_the_engines_authority_is_not_let_in() {
    let Some((mut ground, engine)) = apart() else { return };
    let nobody = ground.identity(1, 1);
    assert_eq!(ground.driver().look(&nobody, &Value::Null).await.unwrap(), Sight::Absent);
    // The engine's certificate is not the hub's to show.
    let other = Dockerd::start(false).unwrap();
    for (ca, cert, key) in [(&engine, &other, &other), (&other, &engine, &engine)] {
        let [ca, cert, key] = [ca.path("ca.pem"), cert.path("cert.pem"), key.path("key.pem")];
        ground.config.endpoint.tls = Some(Tls { ca, cert, key });
        let error = ground.driver().look(&nobody, &Value::Null).await.unwrap_err();
        assert!(format!("{error:#}").to_lowercase().contains("certificate"), "{error:#}");
    }
    ground.config.endpoint.tls = None;
    assert!(ground.driver().look(&nobody, &Value::Null).await.is_err());
}
