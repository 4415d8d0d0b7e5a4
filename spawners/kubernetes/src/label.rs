//! What is written on pods and claims, so that any hub of the same database knows them again. A label's value may be
//! almost nothing, so names of people are annotations; KubeSpawner's are written too, under its names.

use std::collections::BTreeMap;

use hub_core::id::{Generation, SpawnerId};
use spawners::{Identity, Marker};

use crate::slug;

/// The label with the hub's mark.
pub(crate) const HUB: &str = "specola.hub";
/// The label with the row of the server.
pub(crate) const SPAWNER: &str = "specola.spawner";
/// The label with the account of the person, on what outlives their servers too.
pub(crate) const USER: &str = "specola.user";
/// The label with the number of the start.
pub(crate) const GENERATION: &str = "specola.generation";
/// The label with the site, where a hub has several.
pub(crate) const SITE: &str = "specola.site";
/// The annotation with the path it serves under.
pub(crate) const PREFIX: &str = "specola.prefix";
/// The annotation with the name it is reached by, when it is not the pod's address.
pub(crate) const HOST: &str = "specola.host";
/// The annotation with the kind of addresses it listens on, 4 or 6: a pod may have both.
pub(crate) const FAMILY: &str = "specola.family";
/// The annotation of pods that have a service.
pub(crate) const SERVED: &str = "specola.served";
/// The annotation of pods whose server speaks TLS.
pub(crate) const TLS: &str = "specola.tls";
/// KubeSpawner's name for the person: as a label a slug, as an annotation the name.
pub(crate) const USERNAME: &str = "hub.jupyter.org/username";
/// KubeSpawner's name for the server's name.
pub(crate) const SERVERNAME: &str = "hub.jupyter.org/servername";

type Table = BTreeMap<String, String>;

/// The labels that tell whose pod it is.
pub(crate) fn of_pod(server: &Identity) -> Table {
    let mut labels = of_server(server);
    labels.insert(GENERATION.to_owned(), server.generation.to_string());
    labels.insert(SERVERNAME.to_owned(), slug::label(&server.server));
    labels
}

/// The labels of what outlives a start.
pub(crate) fn of_server(server: &Identity) -> Table {
    let mut labels = of_owner(server);
    labels.insert(USERNAME.to_owned(), slug::label(&server.user));
    labels
}

/// Those of them that tell it whatever people are called.
pub(crate) fn of_owner(server: &Identity) -> Table {
    let mut labels = of_person(server);
    labels.insert(SPAWNER.to_owned(), server.spawner.to_string());
    labels
}

/// The labels that tell which person of a hub's it is.
pub(crate) fn of_person(server: &Identity) -> Table {
    let mut labels = Table::from([(HUB.to_owned(), server.hub.clone())]);
    labels.extend(server.account.clone().map(|account| (USER.to_owned(), account)));
    labels
}

/// The labels by which a service finds the pod of a start.
pub(crate) fn of_start(server: &Identity) -> Table {
    [(HUB, server.hub.clone()), (SPAWNER, server.spawner.to_string()), (GENERATION, server.generation.to_string())]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// Whether labels name this server, among those of its hub.
pub(crate) fn name_it(labels: Option<&Table>, server: &Identity) -> bool {
    labels.and_then(|labels| labels.get(SPAWNER)).is_some_and(|written| *written == server.spawner.to_string())
}

/// The names of person and server, as they are.
pub(crate) fn annotations(server: &Identity) -> Table {
    let mut annotations = Table::from([(USERNAME.to_owned(), server.user.clone())]);
    if !server.server.is_empty() {
        annotations.insert(SERVERNAME.to_owned(), server.server.clone());
    }
    annotations
}

/// Reads them back; `None` for what is no server of any hub of ours.
pub(crate) fn identity(labels: Option<&Table>, annotations: Option<&Table>) -> Option<Identity> {
    let (labels, annotations) = (labels?, annotations?);
    let number = |name: &str| labels.get(name).and_then(|text| text.parse::<i64>().ok());
    Some(Identity {
        hub: labels.get(HUB).filter(|hub| !hub.is_empty())?.clone(),
        spawner: SpawnerId(number(SPAWNER)?),
        generation: Generation(number(GENERATION)?),
        user: annotations.get(USERNAME)?.clone(),
        server: annotations.get(SERVERNAME).cloned().unwrap_or_default(),
        account: labels.get(USER).cloned(),
    })
}

/// The selector of all pods of a hub.
pub(crate) fn selector(hub: &str) -> String {
    format!("{HUB}={hub}")
}

/// The selector of all that one server has, of whatever start.
pub(crate) fn selector_of(marker: &Marker) -> String {
    format!("{HUB}={},{SPAWNER}={}", marker.hub, marker.spawner)
}

/// The selector of all that an account has, of whatever server.
pub(crate) fn selector_of_account(hub: &str, account: &str) -> String {
    format!("{HUB}={hub},{USER}={account}")
}

/// The selector of all that some accounts have.
pub(crate) fn selector_of_accounts(hub: &str, accounts: &[&str]) -> String {
    format!("{HUB}={hub},{USER} in ({})", accounts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_being_written() {
        let server = Identity {
            hub: "h".into(),
            spawner: SpawnerId(7),
            generation: Generation(3),
            user: "Ann é".into(),
            server: "G P U".into(),
            account: Some("5-1764424899123".into()),
        };
        let (mut labels, annotations) = (of_pod(&server), annotations(&server));
        assert!(labels.values().all(|value| slug::is_label_value(value)), "{labels:?}");
        assert_eq!(identity(Some(&labels), Some(&annotations)), Some(server));
        labels.insert(GENERATION.into(), "x".into());
        assert_eq!(identity(Some(&labels), Some(&annotations)), None);
        assert_eq!(identity(None, Some(&annotations)), None);
    }
}
