//! What an operator says of the cluster and of the pods in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callout::Callout;
use spawners::OwnSite;

use crate::bind::NamespaceBinding;
use crate::executors::ExecutorNamespaces;
use crate::name::SlugScheme;
use crate::shape::Shape;
use crate::space::NamespacePolicy;

/// The driver's settings. Names are KubeSpawner's where it has them.
#[derive(Debug, Clone)]
pub struct Config {
    /// The mark of the hub's database: it is a label of all that is made.
    pub hub: String,
    /// The site that the cluster is, where the hub has several.
    pub site: Option<OwnSite>,
    /// How the cluster is reached.
    pub access: Access,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How long a watch lasts before it is begun anew. One that has died is noticed soon after.
    pub watch_timeout: Duration,
    /// How long a start may take, as far as whoever starts it has said.
    pub start_timeout: Option<Duration>,
    /// How long a request is tried again for, when the cluster fails or is too busy.
    pub retry_timeout: Duration,
    /// Where servers are; without it where the hub is, or what the kubeconfig says.
    pub namespace: Option<String>,
    /// Each person's servers are in a namespace of their own.
    pub enable_user_namespaces: bool,
    /// Its name.
    pub user_namespace_template: String,
    /// Its labels, when it is made.
    pub user_namespace_labels: std::collections::BTreeMap<String, String>,
    /// Its annotations, when it is made.
    pub user_namespace_annotations: std::collections::BTreeMap<String, String>,
    /// The role that the hub gives itself in each of them; without it the hub has its rights in all of them anyway.
    pub user_namespace_binding: Option<NamespaceBinding>,
    /// The network policy of servers, in each of them.
    pub user_namespace_network_policy: Option<NamespacePolicy>,
    /// How names of people become parts of names.
    pub slug_scheme: SlugScheme,
    /// Whether claims are looked for under the names of KubeSpawner before version 7 too.
    pub handle_legacy_names: bool,
    /// The name of a pod.
    pub pod_name_template: String,
    /// Whether servers have certificates, and so secrets.
    pub internal_ssl: bool,
    /// The name of a server's secret.
    pub secret_name_template: String,
    /// Where it is in the server.
    pub secret_mount_path: String,
    /// The address servers listen on in their pods; all of both families when empty.
    pub ip: String,
    /// The port they listen on.
    pub port: u16,
    /// The time a server has to end after it was asked to.
    pub delete_grace_period: Duration,
    /// Whether events are listened to while a server starts.
    pub events_enabled: bool,
    /// Who is shown each pod before it is made, and may change it.
    pub modify_pod_hook: Option<Arc<Callout>>,
    /// The namespaces in which executors are; without it no server may make any.
    pub executor_namespaces: Option<ExecutorNamespaces>,
    /// How pods are made.
    pub shape: Shape,
}

/// How the cluster is reached.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// A kubeconfig; without it `KUBECONFIG`, `~/.kube/config`, or the cluster that the hub is in.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; its current one without.
    pub context: Option<String>,
    /// The address of the API server, in place of what is found.
    pub host: Option<String>,
    /// Who signed its certificate (PEM).
    pub ca_cert: Option<PathBuf>,
    /// `false`: whoever answers is believed.
    pub verify: bool,
}

impl Config {
    /// The usual settings.
    pub fn new(hub: impl Into<String>) -> Self {
        Self {
            hub: hub.into(),
            site: None,
            access: Access { verify: true, ..Access::default() },
            request_timeout: Duration::from_secs(3),
            watch_timeout: Duration::from_secs(60),
            start_timeout: None,
            retry_timeout: Duration::from_secs(30),
            namespace: None,
            enable_user_namespaces: false,
            user_namespace_template: "{hubnamespace}-{username}".to_owned(),
            user_namespace_labels: Default::default(),
            user_namespace_annotations: Default::default(),
            user_namespace_binding: None,
            user_namespace_network_policy: None,
            slug_scheme: SlugScheme::Safe,
            handle_legacy_names: true,
            pod_name_template: "jupyter-{user_server}".to_owned(),
            internal_ssl: false,
            secret_name_template: "{pod_name}".to_owned(),
            secret_mount_path: "/etc/jupyterhub/ssl/".to_owned(),
            ip: "0.0.0.0".to_owned(),
            port: 8888,
            delete_grace_period: Duration::from_secs(30),
            events_enabled: true,
            modify_pod_hook: None,
            executor_namespaces: None,
            shape: Shape::default(),
        }
    }
}
