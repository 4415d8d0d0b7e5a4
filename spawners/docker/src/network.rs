//! Networks beside the one a server is reached in. An engine before API 1.44 makes a container with one network only, so
//! the others are joined when it is made and not yet started.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, EndpointSettings, NetworkConnectRequest, NetworkingConfig};
use spawners::StartError;

use crate::driver::Parts;
use crate::refusal;

/// The names of networks with what a container is in each, in the order of the names.
pub(crate) type Further = Vec<(String, EndpointSettings)>;

/// Gives a container an address of the link layer in its own network.
pub(crate) fn with_mac_address(body: &mut ContainerCreateBody, network: &str, address: String) {
    let networking = body.networking_config.get_or_insert_with(NetworkingConfig::default);
    let endpoints = networking.endpoints_config.get_or_insert_with(HashMap::new);
    endpoints.entry(network.to_owned()).or_default().mac_address = Some(address);
}

/// Takes out of what is asked for all networks but the container's own.
pub(crate) fn take_further(body: &mut ContainerCreateBody) -> Further {
    let own = body.host_config.as_ref().and_then(|host| host.network_mode.clone()).unwrap_or_default();
    let Some(endpoints) = body.networking_config.as_mut().and_then(|config| config.endpoints_config.as_mut()) else {
        return Vec::new();
    };
    let mut further: Further = endpoints.drain().collect();
    further.sort_by(|(one, _), (other, _)| one.cmp(other));
    if let Some(at) = further.iter().position(|(name, _)| *name == own) {
        let (name, endpoint) = further.remove(at);
        endpoints.insert(name, endpoint);
    } else {
        body.networking_config = None;
    }
    further
}

impl Parts {
    /// Joins a container that was made to further networks.
    pub(crate) async fn join(&self, id: &str, networks: Further) -> Result<(), StartError> {
        for (network, endpoint) in networks {
            let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config: Some(endpoint) };
            let client = self.engine.client().map_err(spawners::Unreachable::new)?;
            let joined = client.connect_network(&network, request).await;
            joined.map_err(|error| refusal::of(error, "join a network"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_container_is_made_in_its_own_network_alone() {
        let body = |config: serde_json::Value| -> ContainerCreateBody { serde_json::from_value(config).unwrap() };
        let mut two = body(json!({
            "HostConfig": {"NetworkMode": "b"},
            "NetworkingConfig": {"EndpointsConfig": {"c": {}, "b": {"Aliases": ["x"]}, "a": {}}},
        }));
        let names = |further: Further| further.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(take_further(&mut two)), ["a", "c"]);
        let kept = two.networking_config.unwrap().endpoints_config.unwrap();
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["b"]);
        let mut other = body(json!({
            "HostConfig": {"NetworkMode": "bridge"}, "NetworkingConfig": {"EndpointsConfig": {"c": {}}},
        }));
        assert_eq!(names(take_further(&mut other)), ["c"]);
        assert_eq!(other.networking_config, None);
        assert!(take_further(&mut other).is_empty());
        with_mac_address(&mut other, "bridge", "02:42:ac:11:00:02".to_owned());
        assert!(take_further(&mut other).is_empty());
    }
}
