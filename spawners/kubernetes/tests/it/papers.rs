//! TLS of servers: their secret, what it is mounted as, and that it goes with them.

use std::sync::{Arc, Mutex};

use fake_kubernetes::{Fault, How};
use hub_core::secret::Secret as Text;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use spawners::contract::{self, Paper, eventually};
use spawners::{Certify, Papers, Plan, SaveError, Sight, Spawner, StartError};

use crate::ground::{Ground, cluster, fake};

/// Signs anything, each time with another key.
#[derive(Default)]
struct Signer(Mutex<Vec<Vec<String>>>);

impl Certify for Signer {
    fn certify(&self, names: &[String]) -> Result<Papers, String> {
        let mut asked = self.0.lock().unwrap();
        asked.push(names.to_vec());
        let key = Text::new(format!("key {}", asked.len()));
        Ok(Papers { key, certificate: "certificate".into(), authorities: "authorities".into() })
    }
}

fn secured(ground: &Ground, row: i64, generation: i64) -> (Plan, Arc<Signer>) {
    let (mut plan, signer) = (ground.plan(row, generation), Arc::new(Signer::default()));
    plan.certify = Some(signer.clone());
    (plan, signer)
}

fn secrets(ground: &Ground) -> Api<Secret> {
    Api::namespaced(ground.client.clone(), &ground.namespace)
}

async fn key(ground: &Ground, name: &str) -> String {
    let secret = secrets(ground).get(name).await.unwrap();
    String::from_utf8(secret.data.unwrap()["ssl.key"].0.clone()).unwrap()
}

async fn has_papers(ground: &mut Ground) {
    ground.config.internal_ssl = true;
    let (plan, signer) = secured(ground, 1, 1);
    let started = ground.start(&plan).await.unwrap();
    let host = format!("jupyter-user1.{}.svc.cluster.local", ground.namespace);
    assert_eq!(started.url, format!("https://{host}:8888/user/user1/"));
    assert!(signer.0.lock().unwrap()[0].contains(&host), "its certificate has the name that it is reached by");
    assert_eq!(ground.look(&plan.identity, &started.state).await, Sight::Up { url: started.url.clone() });

    let pod = ground.pods().get("jupyter-user1").await.unwrap();
    let secret = secrets(ground).get("jupyter-user1").await.unwrap();
    assert_eq!(secret.metadata.owner_references.as_ref().unwrap()[0].uid, pod.metadata.uid.unwrap());
    assert_eq!(secret.metadata.labels.as_ref().unwrap()["specola.spawner"], "1");
    let files = secret.data.unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["notebooks-ca_trust.crt", "ssl.crt", "ssl.key"]);
    let spec = serde_json::to_value(pod.spec.unwrap()).unwrap();
    let volumes = spec["volumes"].as_array().unwrap();
    assert!(volumes.iter().any(|volume| volume["secret"]["secretName"] == "jupyter-user1"), "{volumes:?}");
    let container = &spec["containers"][0];
    let mounts = container["volumeMounts"].as_array().unwrap();
    assert!(mounts.iter().any(|mount| mount["mountPath"] == "/etc/jupyterhub/ssl/"), "{mounts:?}");
    for (name, value) in [
        ("JUPYTERHUB_SERVICE_URL", "https://0.0.0.0:8888/user/user1/"),
        ("JUPYTERHUB_SSL_KEYFILE", "/etc/jupyterhub/ssl/ssl.key"),
        ("JUPYTERHUB_SSL_CERTFILE", "/etc/jupyterhub/ssl/ssl.crt"),
        ("JUPYTERHUB_SSL_CLIENT_CA", "/etc/jupyterhub/ssl/notebooks-ca_trust.crt"),
    ] {
        let variables = container["env"].as_array().unwrap();
        assert!(variables.contains(&json!({ "name": name, "value": value })), "{name} in {variables:?}");
    }
    assert_eq!(key(ground, "jupyter-user1").await, "key 1");
    // The next start has another key, whether or not that of before is still there.
    let (again, _) = secured(ground, 1, 2);
    ground.start(&again).await.unwrap();
    assert_eq!(key(ground, "jupyter-user1").await, "key 1", "the first of another signer");
    contract::stop(&ground.driver(), &again.identity, &started.state).await;
    eventually("its secret goes with it", || async {
        secrets(ground).get_opt("jupyter-user1").await.unwrap().is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_has_its_certificate_on_a_fake() {
    has_papers(&mut fake().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_has_its_certificate_on_a_cluster() {
    let Some(mut ground) = cluster().await else { return };
    has_papers(&mut ground).await;
}

/// The hub dies after the secret, or before the secret is the pod's.
#[tokio::test]
async fn a_start_that_was_cut_off_leaves_no_secret_that_nobody_finds() {
    let mut ground = fake().await;
    ground.config.internal_ssl = true;
    for (row, of) in [
        (1, "POST /api/v1/namespaces/labs/pods".to_owned()),
        (2, "PATCH /api/v1/namespaces/labs/secrets/jupyter-user2".to_owned()),
    ] {
        let ((plan, _), name) = (secured(&ground, row, 1), format!("jupyter-user{row}"));
        ground.fake().fail(Fault::new(of.clone(), 1, How::Hangs));
        let (driver, asked, paper) = (ground.driver(), ground.fake().asked(&of), Paper::default());
        tokio::select! {
            started = driver.start(&plan, &Value::Null, &paper) => panic!("{started:?}"),
            () = eventually("it hangs", || async { ground.fake().asked(&of) > asked }) => {}
        }
        let left = secrets(&ground).get(&name).await.unwrap();
        assert!(left.metadata.owner_references.is_none());
        ground.start(&plan).await.unwrap();
        let secret = secrets(&ground).get(&name).await.unwrap();
        let pod = ground.pods().get(&name).await.unwrap();
        assert_eq!(secret.metadata.owner_references.unwrap()[0].uid, pod.metadata.uid.unwrap());
    }
    // One that is never begun again is deleted for good.
    let (plan, _) = secured(&ground, 3, 1);
    ground.fake().fail(Fault::new("POST /api/v1/namespaces/labs/pods", 1, How::Hangs));
    let (driver, paper) = (ground.driver(), Paper::default());
    tokio::select! {
        started = driver.start(&plan, &Value::Null, &paper) => panic!("{started:?}"),
        () = eventually("its secret", || async { secrets(&ground).get_opt("jupyter-user3").await.unwrap().is_some() }) => {}
    }
    ground.driver().forget(&plan.identity, &Value::Null).await.unwrap();
    assert!(secrets(&ground).get_opt("jupyter-user3").await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_refused_leaves_no_secret_and_a_strange_one_is_not_touched() {
    let mut ground = fake().await;
    ground.config.internal_ssl = true;
    let (plan, _) = secured(&ground, 1, 1);
    ground.fake().fail(Fault::new("POST /api/v1/namespaces/labs/pods", 1, How::says(422, "Invalid", "no")));
    assert_eq!(ground.fails(&plan).await.0, "pod_refused");
    assert!(secrets(&ground).get_opt("jupyter-user1").await.unwrap().is_none());
    let strange = json!({ "metadata": { "name": "jupyter-user1", "namespace": "labs" }, "data": { "a": "Yg==" } });
    ground.fake().put("secrets", strange);
    assert_eq!(ground.fails(&plan).await.0, "name_taken");
    assert!(secrets(&ground).get("jupyter-user1").await.unwrap().data.unwrap().contains_key("a"));
    assert_eq!(ground.names().await, Vec::<String>::new());
    ground.driver().forget(&plan.identity, &Value::Null).await.unwrap();
    assert!(secrets(&ground).get("jupyter-user1").await.unwrap().data.unwrap().contains_key("a"));
}

/// A hub that was away for a while goes on with a start, while another hub is at the next one.
#[tokio::test]
async fn a_start_that_comes_too_late_leaves_the_secret_of_a_newer_one() {
    let mut ground = fake().await;
    ground.config.internal_ssl = true;
    let newer = json!({
        "metadata": {
            "name": "jupyter-user1", "namespace": "labs",
            "labels": { "specola.hub": "mark", "specola.spawner": "1", "specola.generation": "2" },
            "annotations": { "hub.jupyter.org/username": "user1" },
        },
        "data": { "ssl.key": "bmV3ZXI=" },
    });
    let overtaken = |started: &Result<_, _>| matches!(started, Err(StartError::Unsaved(SaveError::Overtaken)));
    let (plan, _) = secured(&ground, 1, 1);
    ground.fake().put("secrets", newer.clone());
    let started = ground.start(&plan).await;
    assert!(overtaken(&started), "{started:?}");
    assert_eq!((key(&ground, "jupyter-user1").await.as_str(), ground.names().await.len()), ("newer", 0));

    // The other hub is later: this one has made its own already, and the pod is refused, or made.
    let pods = "POST /api/v1/namespaces/labs/pods";
    for how in [How::says(422, "Invalid", "no"), How::Passes] {
        secrets(&ground).delete("jupyter-user1", &DeleteParams::default()).await.unwrap();
        let asked = ground.fake().asked(pods);
        ground.fake().fail(Fault::new(pods, 1, How::Hangs));
        ground.fake().fail(Fault::new(pods, 1, how.clone()));
        let (started, ()) = tokio::join!(ground.start(&plan), async {
            eventually("the pod is asked for", || async { ground.fake().asked(pods) > asked }).await;
            ground.fake().put("secrets", newer.clone());
        });
        assert!(started.is_err() && overtaken(&started) == (how == How::Passes), "{started:?}");
        let left = secrets(&ground).get("jupyter-user1").await.unwrap();
        assert_eq!((key(&ground, "jupyter-user1").await.as_str(), left.metadata.owner_references), ("newer", None));
    }
    // The newer start has one that goes with its own pod.
    let (plan, _) = secured(&ground, 1, 2);
    ground.start(&plan).await.unwrap();
    let pod = ground.pods().get("jupyter-user1").await.unwrap();
    let secret = secrets(&ground).get("jupyter-user1").await.unwrap();
    assert_eq!(secret.metadata.owner_references.unwrap()[0].uid, pod.metadata.uid.unwrap());
}
