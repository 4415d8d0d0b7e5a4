//! Executors: pods that the programs in a server make themselves, as Spark and Dask do.
//!
//! They are in a namespace of their own, one for each start. It is the bound of all that a server may do in the cluster:
//! nobody's server is in it, its quota is that of this server's executors alone, and all that was made in it goes with it.

mod act;
mod dress;
mod make;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spawners::Identity;

use crate::config::Config;
use crate::shape::{Amount, Items, Shape};

pub(crate) use dress::{dress, is_template};

/// What stands between the namespace of the hub's servers and the numbers of a start. No slug of a name has two hyphens
/// before a letter.
const MARK: &str = "--executors-";
/// The Pod Security Standard that templates are made to satisfy.
const RESTRICTED: &str = "restricted";
/// The longest name of a namespace.
const LONGEST: usize = 63;

/// The executors that a server may make.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Executors {
    /// Their image, in the templates that a server finds. Without it: the server's own.
    pub image: Option<String>,
    /// How many pods there may be at a time.
    pub pods: Option<u32>,
    /// How many processors they may ask for together, as Kubernetes writes it.
    pub cpu: Option<Amount>,
    /// How much memory they may have together, such as `64Gi`. Each pod has to say how much it needs then, as those of Spark do.
    pub memory: Option<Amount>,
    /// What else is bounded, in the words of a `ResourceQuota`, such as `"requests.nvidia.com/gpu" = "2"`.
    pub quota: BTreeMap<String, Amount>,
    /// What else the templates say of their pods, in the words of Kubernetes (`PodSpec`).
    pub pod: BTreeMap<String, Value>,
}

/// The namespaces in which executors are. Each is made with a start of a server that may have some, and deleted when it stops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExecutorNamespaces {
    /// The cluster role that a server has in its own one. The hub needs the right to bind it.
    pub role: String,
    /// The Pod Security Standard that is enforced there: `restricted`, `baseline` or `privileged`. With `baseline`, whoever has
    /// such a server can mount any NFS, Ceph or iSCSI that the machines reach, as root; with `privileged` they can have all rights
    /// on the machines of the cluster.
    pub pod_security: String,
    /// Further labels of them.
    pub labels: BTreeMap<String, String>,
    /// Where executors may go, as `egress` of a network policy has it, beside each other and their own server. Without it
    /// there is no policy.
    pub egress: Option<Items>,
    /// The hub's own user at the API server, such as `system:serviceaccount:hub:hub`. It is bound to `role` too, and ends executors
    /// within seconds then, whatever time they give themselves. Without it they have that time.
    pub hub_user: Option<String>,
    /// An image with the lab agent, which then gives executors keys of object stores. Without it the executors' own image
    /// has to have the agent before its command.
    pub agent_image: Option<String>,
}

impl Default for ExecutorNamespaces {
    fn default() -> Self {
        Self {
            role: "specola-executors".to_owned(),
            pod_security: RESTRICTED.to_owned(),
            labels: BTreeMap::new(),
            egress: None,
            hub_user: None,
            agent_image: None,
        }
    }
}

/// Where the executors of one start are, and who may make them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Their namespace.
    pub namespace: String,
    /// The service account of the server, in the server's namespace.
    pub account: String,
}

impl Place {
    /// The place of a server that may make executors. The error says why it may not, though its shape says so.
    pub fn of(
        config: &Config,
        shape: &Shape,
        server: &Identity,
        hub_namespace: &str,
        pod: &str,
    ) -> Result<Option<Self>, String> {
        if shape.executors.is_none() {
            return Ok(None);
        }
        if config.executor_namespaces.is_none() {
            return Err("executors: there has to be [spawner.kubernetes.executor_namespaces]".to_owned());
        }
        if shape.automount_service_account_token == Some(false) {
            return Err(
                "executors: the server needs the token of its account (automount_service_account_token)".to_owned()
            );
        }
        Ok(Some(Self { namespace: namespace(hub_namespace, server), account: format!("{pod}-executors") }))
    }
}

/// The namespace for executors of one start.
pub(crate) fn namespace(hub_namespace: &str, server: &Identity) -> String {
    let end = format!("{MARK}{}-{}", server.spawner, server.generation);
    let begin: String = hub_namespace.chars().take(LONGEST.saturating_sub(end.len())).collect();
    format!("{}{end}", begin.trim_end_matches('-'))
}

/// Whether a namespace is one for executors: what people's programs made is in it, whatever its labels say.
pub(crate) fn is_namespace(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = name.rsplit_once(MARK).and_then(|(_, numbers)| numbers.split_once('-'));
    numbers.is_some_and(|(server, start)| number(server) && number(start))
}

/// Checks what is configured of namespaces. The error is the option, and what is wrong.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    let Some(namespaces) = &config.executor_namespaces else { return Ok(()) };
    if !["restricted", "baseline", "privileged"].contains(&namespaces.pod_security.as_str()) {
        return Err("executor_namespaces: pod_security has to be restricted, baseline or privileged".to_owned());
    }
    make::policy(namespaces, "a", &crate::make::nobody())
        .map(drop)
        .map_err(|what| format!("executor_namespaces: {what}"))
}

#[cfg(test)]
mod tests;
