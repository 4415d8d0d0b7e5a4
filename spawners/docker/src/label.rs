//! What is written on containers, so that any hub of the same database knows them again.

use std::collections::HashMap;

use hub_core::id::{Generation, SpawnerId};
use spawners::{Identity, Marker};

/// The hub's mark.
pub(crate) const HUB: &str = "specola.hub";
/// The row of the server.
pub(crate) const SPAWNER: &str = "specola.spawner";
/// Which start of it.
pub(crate) const GENERATION: &str = "specola.generation";
/// The person's name.
pub(crate) const USER: &str = "specola.user";
/// The person's account, whatever its name is.
pub(crate) const ACCOUNT: &str = "specola.account";
/// The site, where a hub has several.
pub(crate) const SITE: &str = "specola.site";
/// The server's name.
pub(crate) const SERVER: &str = "specola.server";
/// The path it serves under.
pub(crate) const PREFIX: &str = "specola.prefix";
/// The port it listens on.
pub(crate) const PORT: &str = "specola.port";
/// A digest of what it was made from.
pub(crate) const CONFIG: &str = "specola.config";
/// Present when it is kept after a stop, and started again: which start it runs for is not written on it.
pub(crate) const KEPT: &str = "specola.kept";
/// Present when it is reached by its name.
pub(crate) const BY_NAME: &str = "specola.by-name";

type Labels = HashMap<String, String>;

/// The labels that tell whose container it is.
pub(crate) fn of(server: &Identity) -> Labels {
    let of_account = server.account.clone().map(|account| (ACCOUNT, account));
    [
        (HUB, server.hub.clone()),
        (SPAWNER, server.spawner.to_string()),
        (GENERATION, server.generation.to_string()),
        (USER, server.user.clone()),
        (SERVER, server.server.clone()),
    ]
    .into_iter()
    .chain(of_account)
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Reads them back; `None` for what is no server of any hub of ours.
pub(crate) fn identity(labels: &Labels) -> Option<Identity> {
    let number = |name: &str| labels.get(name).and_then(|text| text.parse::<i64>().ok());
    Some(Identity {
        hub: labels.get(HUB).filter(|hub| !hub.is_empty())?.clone(),
        spawner: SpawnerId(number(SPAWNER)?),
        generation: Generation(number(GENERATION)?),
        user: labels.get(USER)?.clone(),
        server: labels.get(SERVER)?.clone(),
        account: labels.get(ACCOUNT).cloned(),
    })
}

/// The filter for all containers of a hub.
pub(crate) fn filter(hub: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{HUB}={hub}")])])
}

/// The filter for all containers of one server, of whatever start.
pub(crate) fn filter_of(marker: &Marker) -> HashMap<String, Vec<String>> {
    let labels = vec![format!("{HUB}={}", marker.hub), format!("{SPAWNER}={}", marker.spawner)];
    HashMap::from([("label".to_owned(), labels)])
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
            server: String::new(),
            account: Some("5-1764424899123".into()),
        };
        let mut labels = of(&server);
        assert_eq!(identity(&labels), Some(server));
        labels.insert(GENERATION.into(), "x".into());
        assert_eq!(identity(&labels), None);
        assert_eq!(identity(&Labels::new()), None);
    }
}
