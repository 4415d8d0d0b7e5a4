//! An API server with a kubelet and labs, for hubs that run their labs in pods: no cluster is needed, and all that goes
//! wrong with one can be had. Gone with the test.
//!
//! ```ignore
//! let kubernetes = FakeKubernetes::start(Pace::default()).await?;
//! let specola = Specola::start(kubernetes.options()).await?;
//! kubernetes.fail(Fault::new("POST /api/v1/namespaces/labs/pods", 1, How::says(429, "TooManyRequests", "busy"))).await?;
//! kubernetes.cut().await?;
//! assert_eq!(kubernetes.asked("POST /api/v1/namespaces/labs/pods").await?, 1);
//! ```
//!
//! The lab in a pod answers `GET` below its prefix with what it is (`Said`), and sends back what comes over a websocket,
//! the name of its pod first. Several hubs can use one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

pub use fake_kubernetes::{Fault, How, Pace};

use crate::mark::Mark;
use crate::session::{Body, Session};
use crate::specola::Options;

/// The namespace of its kubeconfig.
pub const NAMESPACE: &str = "labs";

/// The program.
pub struct FakeKubernetes {
    /// The port of all labs.
    pub lab_port: u16,
    control: Session,
    process: Child,
    folder: TempDir,
    _mark: Mark,
}

/// A pod, as the fake has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Pod {
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What no other pod ever has.
    pub uid: String,
    /// What it is found by.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
    /// Such as `Running`.
    pub phase: String,
    /// Of 127.0.0.0/8, once it has run.
    pub address: Option<String>,
    /// Whether it is being deleted.
    pub leaving: bool,
    /// When it was said to run, in seconds of Unix time.
    pub running_since: Option<f64>,
    /// When its lab was asked first.
    pub first_asked: Option<f64>,
}

/// What a lab says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Said {
    /// The name of its pod.
    pub pod: String,
    /// The pod's number: another start is another pod of the same name.
    pub pod_uid: String,
    /// Where it is.
    pub address: String,
    /// Whose it is, by its environment.
    pub user: String,
    /// Which of theirs, by its environment.
    pub server: String,
}

/// What the program says when it listens.
#[derive(Deserialize)]
struct Listening {
    control: String,
    lab_port: u16,
}

impl FakeKubernetes {
    /// Starts it and waits until it listens.
    pub async fn start(pace: Pace) -> Result<FakeKubernetes> {
        let (mark, folder) = (Mark::default(), tempfile::tempdir()?);
        let log = folder.path().join("fake-kubernetes.log");
        let mut command = Command::new(program()?);
        command.arg("--kubeconfig").arg(folder.path().join("kubeconfig")).args(["--namespace", NAMESPACE]);
        for (option, time) in [("--placing", pace.placing), ("--starting", pace.starting), ("--ending", pace.ending)] {
            command.arg(option).arg(time.as_millis().to_string());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        mark.put_on(&mut command);
        let mut process = command.spawn().context("fake-kubernetes")?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("its output")?).read_line(&mut line)?;
        // One that cannot listen says why, and ends.
        let listening = serde_json::from_str::<Listening>(&line);
        let listening = listening.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        let control = Session::new(&format!("http://{}", listening.control))?;
        Ok(FakeKubernetes { lab_port: listening.lab_port, control, process, folder, _mark: mark })
    }

    /// A hub whose labs are pods of it, each person with a claim.
    pub fn options(&self) -> Options {
        let volumes = r#"[{ name = "home", persistentVolumeClaim = { claimName = "{pvc_name}" } }]"#;
        Options::default()
            .set("spawner", "driver", "\"kubernetes\"")
            .set("spawner", "cmd", "[\"jupyterhub-singleuser\"]")
            .set("spawner.kubernetes", "kubeconfig", &format!("{:?}", self.kubeconfig().display().to_string()))
            .set("spawner.kubernetes", "image", "\"lab\"")
            .set("spawner.kubernetes", "port", &self.lab_port.to_string())
            .set("spawner.kubernetes", "storage_pvc_ensure", "true")
            .set("spawner.kubernetes", "storage_capacity", "\"1Gi\"")
            .set("spawner.kubernetes", "volumes", volumes)
            .set("spawner.kubernetes", "volume_mounts", r#"[{ name = "home", mountPath = "/home/jovyan" }]"#)
    }

    /// What clients read to find it.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Lets requests go wrong.
    pub async fn fail(&self, fault: Fault) -> Result<()> {
        self.tell("/fail", serde_json::to_value(fault)?).await
    }

    /// Lets nothing go wrong any more.
    pub async fn mend(&self) -> Result<()> {
        self.tell("/mend", Value::Null).await
    }

    /// Cuts all watches.
    pub async fn cut(&self) -> Result<()> {
        self.tell("/cut", Value::Null).await
    }

    /// Forgets what has changed so far: a watch that is cut has to list anew.
    pub async fn forget(&self) -> Result<()> {
        self.tell("/forget", Value::Null).await
    }

    /// Lets watches say nothing, or speak again.
    pub async fn silence(&self, silent: bool) -> Result<()> {
        self.tell("/silence", json!(silent)).await
    }

    /// The API server does not listen, with all connections cut, or is back with all it had. Pods run on.
    pub async fn away(&self, away: bool) -> Result<()> {
        self.tell("/away", json!(away)).await
    }

    /// The kubelet does nothing, or goes on. Pods run on.
    pub async fn idle(&self, idle: bool) -> Result<()> {
        self.tell("/idle", json!(idle)).await
    }

    /// Changes a pod by a merge patch, as a kubelet does. One that failed does not answer any more.
    pub async fn change(&self, pod: &str, by: Value) -> Result<()> {
        self.tell("/change", json!({ "kind": "pods", "namespace": NAMESPACE, "name": pod, "by": by })).await
    }

    /// Puts an object there, as somebody else does.
    pub async fn put(&self, kind: &str, object: Value) -> Result<()> {
        self.tell("/put", json!({ "kind": kind, "object": object })).await
    }

    /// All objects of a kind, such as `secrets`.
    pub async fn objects(&self, kind: &str) -> Result<Vec<Value>> {
        self.read(&format!("/objects/{kind}")).await
    }

    /// Takes a pod away, as somebody else does.
    pub async fn take(&self, pod: &str) -> Result<()> {
        self.tell("/take", json!({ "kind": "pods", "namespace": NAMESPACE, "name": pod })).await
    }

    /// How many requests there were that begin so, such as `POST /api/v1/namespaces/labs/pods`.
    pub async fn asked(&self, of: &str) -> Result<usize> {
        let of: String = url::form_urlencoded::byte_serialize(of.as_bytes()).collect();
        self.read(&format!("/asked?{}", of.replace('+', "%20"))).await
    }

    /// How many requests there were, by verb and resource, such as `create pods`.
    pub async fn counts(&self) -> Result<BTreeMap<String, usize>> {
        self.read("/asked").await
    }

    /// All pods.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        self.read("/pods").await
    }

    /// The names of all objects of a kind, such as `persistentvolumeclaims`.
    pub async fn names(&self, kind: &str) -> Result<Vec<String>> {
        let objects = self.objects(kind).await?;
        Ok(objects.iter().filter_map(|object| object["metadata"]["name"].as_str().map(str::to_owned)).collect())
    }

    /// What it has complained of: rights that the chart does not give, for one.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("fake-kubernetes.log")).unwrap_or_default()
    }

    async fn tell(&self, path: &str, what: Value) -> Result<()> {
        self.control.clone().send(Method::POST, path, Body::Json(what)).await?.expect(&[200]).map(drop)
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        Ok(serde_json::from_value(self.control.clone().get(path).await?.expect(&[200])?.json()?)?)
    }
}

impl Drop for FakeKubernetes {
    fn drop(&mut self) {
        println!("--- the fake API server's log\n{}", self.log());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What cargo built beside this test program.
fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.ancestors().nth(2).map(|profile| profile.join("fake-kubernetes"));
    match path.filter(|path| Path::is_file(path)) {
        Some(path) => Ok(path),
        None => bail!("fake-kubernetes is missing: run `cargo build -p tests --bins`"),
    }
}
