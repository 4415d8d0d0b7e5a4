//! One pod as the cluster shows it.

use k8s_openapi::api::core::v1::{Container, ContainerState, ContainerStatus, Pod as Object, PodStatus};
use serde_json::Value;
use spawners::{Identity, Sight};

use crate::ending;
use crate::executors;
use crate::label;
use crate::make::{CONTAINER, PORT};

/// A pod.
#[derive(Debug, Clone)]
pub(crate) struct Pod(pub Object);

/// What a pod is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// The server in it does not run yet.
    Coming,
    /// The server runs, and the pod has an address.
    Running,
    /// The server has ended.
    Ended,
    /// The cluster has been told to remove it.
    Leaving,
    /// The node is not heard of: nobody knows.
    Unknown,
}

impl Pod {
    pub fn name(&self) -> &str {
        self.0.metadata.name.as_deref().unwrap_or_default()
    }

    pub fn namespace(&self) -> &str {
        self.0.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub fn uid(&self) -> &str {
        self.0.metadata.uid.as_deref().unwrap_or_default()
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.0.metadata.annotations.as_ref()?.get(name).map(String::as_str)
    }

    pub fn status(&self) -> Option<&PodStatus> {
        self.0.status.as_ref()
    }

    /// Whose it is; `None` for what is no server of any hub of ours.
    pub fn identity(&self) -> Option<Identity> {
        label::identity(self.0.metadata.labels.as_ref(), self.0.metadata.annotations.as_ref())
    }

    /// The site that it was made at, if it tells one.
    pub fn site(&self) -> Option<&str> {
        self.0.metadata.labels.as_ref()?.get(label::SITE).map(String::as_str)
    }

    /// Whether a program of somebody's made it, in a namespace for executors. It is no server, whatever is written on it.
    pub fn is_executor(&self) -> bool {
        executors::is_namespace(self.namespace())
    }

    /// Whether it belongs to this very start.
    pub fn is_of(&self, server: &Identity) -> bool {
        self.identity().is_some_and(|identity| identity.marker() == server.marker() && !identity.is_anothers(server))
    }

    /// Whether it is what KubeSpawner made for a server, by what is written on it and in its environment.
    pub fn was_made_by_kubespawner_for(&self, server: &Identity) -> bool {
        let labels = self.0.metadata.labels.as_ref();
        if labels.is_some_and(|labels| labels.contains_key(label::HUB)) {
            return false;
        }
        let user = self.annotation(label::USERNAME).or_else(|| self.variable("JUPYTERHUB_USER"));
        let name = self.annotation(label::SERVERNAME).or_else(|| self.variable("JUPYTERHUB_SERVER_NAME"));
        user == Some(server.user.as_str()) && name.unwrap_or_default() == server.server
    }

    /// The server's container as it was asked for.
    fn container(&self) -> Option<&Container> {
        let containers = &self.0.spec.as_ref()?.containers;
        containers.iter().find(|container| container.name == CONTAINER)
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let environment = self.container()?.env.as_ref()?;
        environment.iter().find(|variable| variable.name == name)?.value.as_deref()
    }

    /// How the server's container is.
    pub fn server(&self) -> Option<&ContainerStatus> {
        let statuses = self.status()?.container_statuses.as_ref()?;
        statuses.iter().find(|status| status.name == CONTAINER)
    }

    /// Its processes, as the cluster tells of them, those before the server included.
    pub fn statuses(&self) -> impl Iterator<Item = &ContainerStatus> {
        let status = self.status();
        let before = status.and_then(|status| status.init_container_statuses.as_ref());
        let beside = status.and_then(|status| status.container_statuses.as_ref());
        before.into_iter().chain(beside).flatten()
    }

    pub fn doing(&self) -> Doing {
        if self.0.metadata.deletion_timestamp.is_some() {
            return Doing::Leaving;
        }
        let phase = self.status().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
        let state = self.server().and_then(|status| status.state.as_ref());
        match phase {
            "Succeeded" | "Failed" => Doing::Ended,
            "Unknown" => Doing::Unknown,
            // What runs beside it does not make a server.
            "Running" if state.is_some_and(|state| state.terminated.is_some()) && !self.is_started_again() => {
                Doing::Ended
            }
            "Running" if state.is_some_and(|state| state.running.is_some()) && self.address().is_some() => {
                Doing::Running
            }
            _ => Doing::Coming,
        }
    }

    /// Whether the node starts what ended in it again: where an operator has said so.
    fn is_started_again(&self) -> bool {
        let policy = self.0.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        let ended = self.server().and_then(|status| status.state.as_ref()?.terminated.as_ref());
        match policy {
            Some("Always") | None => true,
            Some("OnFailure") => ended.is_some_and(|ended| ended.exit_code != 0),
            Some(_) => false,
        }
    }

    /// Whether the server in it never began, and yet has ended: its node was cut off between making and starting it, and
    /// does not see it through.
    pub fn was_dropped(&self) -> bool {
        let ended = self.server().and_then(|status| status.state.as_ref()?.terminated.as_ref());
        self.doing() == Doing::Ended && ended.is_some_and(|ended| ended.started_at.is_none() && ended.exit_code == 0)
    }

    /// Whether all that is in it is ready.
    pub fn is_ready(&self) -> bool {
        let statuses = self.status().and_then(|status| status.container_statuses.as_ref());
        self.doing() == Doing::Running && statuses.is_some_and(|statuses| statuses.iter().all(|status| status.ready))
    }

    /// Its address, of those it has the one that the server listens on.
    pub fn address(&self) -> Option<&str> {
        let status = self.status()?;
        let all = status.pod_ips.iter().flatten().map(|address| address.ip.as_str());
        let of_family = self.annotation(label::FAMILY).and_then(|family| {
            all.filter(|address| !address.is_empty()).find(|address| address.contains(':') == (family == "6"))
        });
        of_family.or(status.pod_ip.as_deref()).filter(|address| !address.is_empty())
    }

    /// The port that the server listens on.
    pub fn port(&self) -> Option<i32> {
        let ports = self.container()?.ports.as_ref()?;
        Some(ports.iter().find(|port| port.name.as_deref() == Some(PORT))?.container_port)
    }

    /// Whether it is to have a service.
    pub fn is_served(&self) -> bool {
        self.annotation(label::SERVED).is_some()
    }

    /// Where the server is reached. `by_name` is the name of what KubeSpawner made, where that is how to reach it.
    fn url(&self, by_name: Option<&str>) -> Option<String> {
        let address = self.annotation(label::HOST).or(by_name).or_else(|| self.address())?;
        let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let port = self.port()?;
        let prefix =
            self.annotation(label::PREFIX).or_else(|| self.variable("JUPYTERHUB_SERVICE_PREFIX")).unwrap_or("/");
        let scheme = if self.annotation(label::TLS).is_some() { "https" } else { "http" };
        Some(format!("{scheme}://{address}:{port}{prefix}"))
    }

    /// What one look at it shows; `None` when nobody knows.
    pub fn sight(&self, by_name: Option<&str>) -> Option<Sight> {
        Some(match self.doing() {
            Doing::Coming => Sight::Coming,
            Doing::Running => self.url(by_name).map_or(Sight::Coming, |url| Sight::Up { url }),
            Doing::Ended => {
                let (code, reason) = ending::reason(self);
                Sight::Exited { code, reason }
            }
            Doing::Leaving => Sight::Exited { code: None, reason: "It is being taken away.".to_owned() },
            Doing::Unknown => return None,
        })
    }

    /// The most memory that the server may use, as it was asked for.
    pub fn memory_limit(&self) -> Option<&str> {
        let limits = self.container()?.resources.as_ref()?.limits.as_ref()?;
        limits.get("memory").map(|quantity| quantity.0.as_str())
    }

    /// The names of the claims that it mounts.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        let volumes = self.0.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
        let claims = volumes.into_iter().flatten().filter_map(|volume| volume.persistent_volume_claim.as_ref());
        claims.map(|claim| claim.claim_name.as_str())
    }

    /// Takes away what is only of use to the cluster, or secret, before it is remembered.
    pub fn pruned(mut self) -> Self {
        self.0.metadata.managed_fields = None;
        if let Some(annotations) = &mut self.0.metadata.annotations {
            annotations.retain(|name, _| !executors::is_template(name));
        }
        if let Some(spec) = &mut self.0.spec {
            for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
                container.env = None;
            }
        }
        self
    }
}

/// The reason that a container waits for, if it does.
pub(crate) fn waits(state: Option<&ContainerState>) -> Option<(&str, &str)> {
    let waiting = state?.waiting.as_ref()?;
    Some((waiting.reason.as_deref().unwrap_or_default(), waiting.message.as_deref().unwrap_or_default()))
}

/// What a state says of a server that KubeSpawner or this driver made: namespace and name of its pod.
pub(crate) fn known(state: &Value) -> Option<(&str, &str)> {
    let text = |name: &str| state.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    Some((text("namespace")?, text("pod_name")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use hub_core::id::{Generation, SpawnerId};
    use serde_json::json;

    fn pod(status: Value) -> Pod {
        Pod(serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "annotations": {"specola.prefix": "/user/a/"}},
            "spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "notebook", "ports": [{"name": "notebook-port", "containerPort": 8888}]}],
            },
            "status": status,
        }))
        .unwrap())
    }

    fn state(state: Value) -> Value {
        json!({"phase": "Running", "podIP": "10.0.0.7", "containerStatuses": [
            {"name": "notebook", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": state},
        ]})
    }

    #[test]
    fn a_pod_tells_what_it_does() {
        assert_eq!(pod(json!({})).doing(), Doing::Coming);
        assert_eq!(pod(json!({"phase": "Pending"})).doing(), Doing::Coming);
        assert_eq!(pod(state(json!({"waiting": {"reason": "x"}}))).doing(), Doing::Coming);
        let up = pod(state(json!({"running": {}})));
        assert_eq!((up.doing(), up.is_ready()), (Doing::Running, true));
        assert_eq!(up.sight(None), Some(Sight::Up { url: "http://10.0.0.7:8888/user/a/".into() }));
        assert_eq!(up.sight(Some("x.y")), Some(Sight::Up { url: "http://x.y:8888/user/a/".into() }));
        let ended = pod(state(json!({"terminated": {"exitCode": 3}})));
        assert_eq!(ended.doing(), Doing::Ended, "whatever runs beside it");
        assert_eq!(pod(json!({"phase": "Failed", "reason": "Evicted"})).doing(), Doing::Ended);
        assert_eq!(pod(json!({"phase": "Unknown"})).sight(None), None);
    }

    #[test]
    fn a_server_that_never_began_was_dropped_by_its_node() {
        let ended = |state: Value| pod(self::state(json!({ "terminated": state })));
        assert!(ended(json!({"exitCode": 0, "startedAt": null, "finishedAt": null})).was_dropped());
        assert!(!ended(json!({"exitCode": 0, "startedAt": "2026-11-30T05:55:20Z"})).was_dropped());
        assert!(!ended(json!({"exitCode": 128, "reason": "ContainerCannotRun"})).was_dropped());
        assert!(!pod(state(json!({"running": {}}))).was_dropped());
    }

    #[test]
    fn what_the_node_starts_again_has_not_ended() {
        let mut pod = pod(state(json!({"terminated": {"exitCode": 137}})));
        pod.0.spec.as_mut().unwrap().restart_policy = Some("OnFailure".into());
        assert_eq!(pod.doing(), Doing::Coming);
    }

    #[test]
    fn an_address_of_six_parts_is_written_in_brackets() {
        let mut pod = pod(state(json!({"running": {}})));
        pod.0.status.as_mut().unwrap().pod_ip = Some("fd00::7".into());
        assert_eq!(pod.sight(None), Some(Sight::Up { url: "http://[fd00::7]:8888/user/a/".into() }));
    }

    #[test]
    fn of_two_addresses_the_one_that_the_server_listens_on_is_its_own() {
        let mut pod = pod(state(json!({"running": {}})));
        pod.0.status.as_mut().unwrap().pod_ip = Some("fd00::7".into());
        let both = json!([{"ip": "fd00::7"}, {"ip": "10.0.0.7"}]);
        pod.0.status.as_mut().unwrap().pod_ips = serde_json::from_value(both).unwrap();
        assert_eq!(pod.address(), Some("fd00::7"), "as the cluster has it, where nothing is known");
        for (family, address) in [("4", "10.0.0.7"), ("6", "fd00::7")] {
            pod.0.metadata.annotations.as_mut().unwrap().insert(label::FAMILY.into(), family.into());
            assert_eq!(pod.address(), Some(address));
        }
        pod.0.status.as_mut().unwrap().pod_ips = None;
        assert_eq!(pod.address(), Some("fd00::7"), "it has no other");
    }

    #[test]
    fn what_kubespawner_made_is_known_by_the_names_on_it() {
        let of = |user: &str, server: &str| Identity {
            hub: "h".into(),
            spawner: SpawnerId(1),
            generation: Generation(0),
            user: user.into(),
            server: server.into(),
            account: None,
        };
        let mut pod = pod(json!({}));
        assert!(!pod.was_made_by_kubespawner_for(&of("anna", "")));
        let annotations = pod.0.metadata.annotations.as_mut().unwrap();
        annotations.insert(label::USERNAME.into(), "anna".into());
        assert!(pod.was_made_by_kubespawner_for(&of("anna", "")));
        assert!(
            !pod.was_made_by_kubespawner_for(&of("anna", "gpu")) && !pod.was_made_by_kubespawner_for(&of("eve", ""))
        );
        pod.0.metadata.labels = Some(BTreeMap::from([(label::HUB.into(), "other".into())]));
        assert!(!pod.was_made_by_kubespawner_for(&of("anna", "")), "it is another hub's of ours");
    }
}
