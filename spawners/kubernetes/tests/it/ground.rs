//! What the tests stand on: a fake API server, or a real cluster in a namespace of their own.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fake_kubernetes::{Fake, Options};
use hub_core::id::{Generation, SpawnerId};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::{Map, Value, json};
use spawner_kubernetes::{Config, Kubernetes};
use spawners::contract::{Paper, eventually};
use spawners::{Identity, Plan, Record, SaveError, Sight, Spawner, StartError, Started};
use tempfile::NamedTempFile;

/// Where the tests run.
pub struct Ground {
    pub hub: String,
    pub config: Config,
    pub namespace: String,
    pub client: Client,
    /// The fake API server, if it is one.
    pub fake: Option<Fake>,
    image: String,
    _kubeconfig: Option<NamedTempFile>,
}

fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("specola-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

async fn client(config: &Config) -> Client {
    let file = config.access.kubeconfig.as_ref().expect("there is a kubeconfig");
    let written = Kubeconfig::read_from(file).expect("the kubeconfig is right");
    let config = kube::Config::from_custom_kubeconfig(written, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("the kubeconfig is right")).expect("a client can be made")
}

/// A fake API server.
pub async fn fake() -> Ground {
    let fake = Fake::begin(Options::default()).await.expect("it listens");
    let written = fake.kubeconfig("labs");
    let mut file = NamedTempFile::new().expect("a file can be made");
    file.write_all(written.to_string().as_bytes()).expect("it can be written");
    let mut config = Config::new("mark");
    config.access.kubeconfig = Some(file.path().to_owned());
    config.request_timeout = Duration::from_secs(2);
    config.retry_timeout = Duration::from_secs(30);
    let image = "up".to_owned();
    let client = client(&config).await;
    Ground {
        hub: "mark".into(),
        config,
        namespace: "labs".into(),
        client,
        fake: Some(fake),
        image,
        _kubeconfig: Some(file),
    }
}

/// A real cluster, or nothing where there is none, which is told.
pub async fn cluster() -> Option<Ground> {
    let kubeconfig = std::env::var_os("SPECOLA_KUBECONFIG").or_else(|| std::env::var_os("KUBECONFIG"));
    let Some(kubeconfig) = kubeconfig.filter(|file| !file.is_empty()) else {
        eprintln!("SKIPPED: neither SPECOLA_KUBECONFIG nor KUBECONFIG is set");
        return None;
    };
    let namespace = name();
    let mut config = Config::new(&namespace);
    config.access.kubeconfig = Some(kubeconfig.into());
    config.namespace = Some(namespace.clone());
    config.delete_grace_period = Duration::from_secs(2);
    config.request_timeout = Duration::from_secs(10);
    let client = client(&config).await;
    let wanted = serde_json::from_value(json!({ "metadata": { "name": namespace } })).expect("a namespace");
    let made: Namespace =
        Api::all(client.clone()).create(&PostParams::default(), &wanted).await.expect("it can be made");
    assert_eq!(made.metadata.name.as_deref(), Some(namespace.as_str()));
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
    eventually("the namespace has its service account", || async {
        accounts.get_opt("default").await.is_ok_and(|account| account.is_some())
    })
    .await;
    let image = std::env::var("SPECOLA_KUBERNETES_IMAGE").unwrap_or_else(|_| "kube-cluster-pause:local".to_owned());
    let mut ground = Ground { hub: namespace.clone(), config, namespace, client, fake: None, image, _kubeconfig: None };
    ground.shape(json!({ "image_pull_policy": "IfNotPresent" }));
    Some(ground)
}

impl Ground {
    /// Changes how pods are made.
    pub fn shape(&mut self, changes: Value) {
        let mut changes = table(changes);
        // Not for one server.
        if let Some(template) = changes.remove("pvc_name_template") {
            self.config.shape.pvc_name_template = template.as_str().expect("a text").to_owned();
        }
        self.config.shape = self.config.shape.with(&changes).expect("it is understood");
    }

    pub fn fake(&self) -> &Fake {
        self.fake.as_ref().expect("it is a fake")
    }

    pub fn driver(&self) -> Kubernetes {
        Kubernetes::new(self.config.clone()).expect("the configuration is right")
    }

    pub fn identity(&self, row: i64, generation: i64) -> Identity {
        Identity {
            hub: self.hub.clone(),
            spawner: SpawnerId(row),
            generation: Generation(generation),
            user: format!("user{row}"),
            server: String::new(),
            account: Some(format!("{row}-1764424899123")),
        }
    }

    /// A server that stays.
    pub fn plan(&self, row: i64, generation: i64) -> Plan {
        self.plan_of(row, generation, &self.image)
    }

    /// A server of another image.
    pub fn plan_of(&self, row: i64, generation: i64, image: &str) -> Plan {
        let mut plan = Plan::new(self.identity(row, generation), format!("/user/user{row}/"), Vec::new());
        plan.environment = vec![("JUPYTERHUB_API_TOKEN".into(), "secret".into())];
        plan.image = Some(image.to_owned());
        plan
    }

    pub async fn start(&self, plan: &Plan) -> Result<Started, StartError> {
        self.driver().start(plan, &Value::Null, &Paper::default()).await
    }

    /// The code of a start that fails, with its sentence and what is told of its log.
    pub async fn fails(&self, plan: &Plan) -> (&'static str, String) {
        match self.start(plan).await {
            Err(StartError::Refused { code, sentence }) => (code, sentence),
            Err(StartError::Failed { code, sentence, log }) => (code, format!("{sentence}\n{log}")),
            other => panic!("{other:?}"),
        }
    }

    pub async fn look(&self, server: &Identity, state: &Value) -> Sight {
        self.driver().look(server, state).await.expect("the cluster can be asked")
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The names of all pods there are.
    pub async fn names(&self) -> Vec<String> {
        let listed = self.pods().list(&ListParams::default()).await.expect("pods can be listed");
        listed.items.into_iter().filter_map(|pod| pod.metadata.name).collect()
    }

    /// Makes a pod as KubeSpawner does.
    pub async fn made_by_kubespawner(&self, user: &str) -> (String, Value) {
        let name = format!("jupyter-{user}");
        let pod = json!({
            "metadata": {
                "name": name,
                "labels": { "component": "singleuser-server", "hub.jupyter.org/username": user },
                "annotations": { "hub.jupyter.org/username": user },
            },
            "spec": {
                "automountServiceAccountToken": false,
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "notebook", "image": self.image, "imagePullPolicy": "IfNotPresent",
                    "ports": [{ "name": "notebook-port", "containerPort": 8888 }],
                    "env": [{ "name": "JUPYTERHUB_SERVICE_PREFIX", "value": format!("/user/{user}/") }],
                }],
            },
        });
        let pod = serde_json::from_value(pod).expect("a pod");
        self.pods().create(&PostParams::default(), &pod).await.expect("it can be made");
        let state = json!({
            "kubespawner_version": "7.1.0", "pod_name": name, "namespace": self.namespace,
            "dns_name": format!("{name}.{}.svc.cluster.local", self.namespace),
        });
        (name, state)
    }
}

pub fn table(value: Value) -> Map<String, Value> {
    value.as_object().expect("a table").clone()
}

impl Drop for Ground {
    fn drop(&mut self) {
        if self.fake.is_some() {
            return;
        }
        let (config, namespace) = (self.config.clone(), self.namespace.clone());
        // A test's runtime may be ending.
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let namespaces: Api<Namespace> = Api::all(client(&config).await);
                namespaces.delete(&namespace, &DeleteParams::default()).await.map(drop)
            })
        });
        if let Ok(Err(error)) = removed.join() {
            eprintln!("the namespace is left: {error}");
        }
    }
}

/// Keeps what a person would be told.
#[derive(Default)]
pub struct Told(pub Mutex<Vec<String>>, pub Mutex<Vec<Duration>>);

#[async_trait]
impl Record for Told {
    async fn save(&self, _state: &Value) -> Result<(), SaveError> {
        Ok(())
    }

    async fn progress(&self, _percent: u8, message: &str) {
        self.0.lock().expect("nobody has died").push(message.to_owned());
    }

    async fn patience(&self, at_most: Duration) {
        self.1.lock().expect("nobody has died").push(at_most);
    }
}

impl Told {
    /// Waits until a person has been told this.
    pub async fn says(&self, words: &str) {
        eventually(words, || async { self.0.lock().expect("nobody has died").iter().any(|told| told.contains(words)) })
            .await;
    }
}
