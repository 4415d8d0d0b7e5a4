//! Where a running container is reached, read from the container itself: the configuration may have changed since.

use crate::config::Config;
use crate::container::Container;
use crate::label;

/// The address of a server in a container; `None` while it has none.
pub(crate) fn of(container: &Container, config: &Config) -> Option<String> {
    let port = port(container, config);
    let prefix = container
        .label(label::PREFIX)
        .or_else(|| container.variable("JUPYTERHUB_SERVICE_PREFIX"))
        .filter(|prefix| prefix.starts_with('/'))
        .unwrap_or("/");
    let authority = if container.label(label::BY_NAME).is_some() {
        join(container.name(), port)
    } else if publishes(container, port) {
        published(container, config, port)?
    } else {
        join(internal(container)?, port)
    };
    Some(format!("http://{authority}{prefix}"))
}

/// The port a server listens on in its container: ours is written on it, DockerSpawner's is in its environment.
fn port(container: &Container, config: &Config) -> u16 {
    let told = container.variable("JUPYTERHUB_SERVICE_URL").and_then(|url| {
        let authority = url.split_once("://")?.1.split('/').next()?;
        authority.rsplit_once(':')?.1.parse().ok()
    });
    container.label(label::PORT).and_then(|port| port.parse().ok()).or(told).unwrap_or(config.port)
}

/// Whether the port is to be published; it may not be yet.
fn publishes(container: &Container, port: u16) -> bool {
    let bindings = container.0.host_config.as_ref().and_then(|host| host.port_bindings.as_ref());
    bindings.is_some_and(|bindings| bindings.contains_key(&format!("{port}/tcp")))
}

fn published(container: &Container, config: &Config, port: u16) -> Option<String> {
    let ports = container.0.network_settings.as_ref()?.ports.as_ref()?;
    let binding = ports.get(&format!("{port}/tcp"))?.as_ref()?.first()?;
    let host_port = binding.host_port.as_deref()?.parse().ok().filter(|port| *port != 0)?;
    let bound = binding.host_ip.as_deref().unwrap_or_default();
    let host = match (&config.connect_ip, bound) {
        (Some(connect), _) => connect,
        (None, "" | "0.0.0.0" | "::") => config.endpoint.machine().unwrap_or("127.0.0.1"),
        (None, bound) => bound,
    };
    Some(join(host, host_port))
}

fn internal(container: &Container) -> Option<&str> {
    let networks = container.0.network_settings.as_ref()?.networks.as_ref()?;
    let mode = container.0.host_config.as_ref().and_then(|host| host.network_mode.as_deref()).unwrap_or("bridge");
    let mode = if mode == "default" { "bridge" } else { mode };
    let network = networks.get(mode).or_else(|| networks.values().next())?;
    [&network.ip_address, &network.global_ipv6_address]
        .into_iter()
        .find_map(|address| address.as_deref().filter(|address| !address.is_empty()))
}

fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn address(container: Value, config: &Config) -> Option<String> {
        of(&Container(serde_json::from_value(container).unwrap()), config)
    }

    fn published_at(host_ip: &str) -> Value {
        json!({
            "Name": "/jupyter-anna",
            "Config": {"Labels": {"specola.prefix": "/user/anna/", "specola.port": "8888"}},
            "HostConfig": {"PortBindings": {"8888/tcp": []}},
            "NetworkSettings": {"Ports": {"8888/tcp": [{"HostIp": host_ip, "HostPort": "49153"}]}},
        })
    }

    #[test]
    fn a_published_port_is_reached_where_it_is_published() {
        let mut config = Config::new("h");
        let at = |host_ip, config: &Config| address(published_at(host_ip), config);
        assert_eq!(at("127.0.0.1", &config).as_deref(), Some("http://127.0.0.1:49153/user/anna/"));
        assert_eq!(at("::1", &config).as_deref(), Some("http://[::1]:49153/user/anna/"));
        config.endpoint.host = "tcp://engine.example:2375".into();
        assert_eq!(at("0.0.0.0", &config).as_deref(), Some("http://engine.example:49153/user/anna/"));
        config.connect_ip = Some("10.0.0.7".into());
        assert_eq!(at("0.0.0.0", &config).as_deref(), Some("http://10.0.0.7:49153/user/anna/"));
    }

    #[test]
    fn in_a_network_it_is_reached_by_address_or_name() {
        let mut container = json!({
            "Name": "/jupyter-anna",
            "Config": {"Labels": {"specola.prefix": "/user/anna/", "specola.port": "8888"}},
            "HostConfig": {"NetworkMode": "labs"},
            "NetworkSettings": {"Networks": {"labs": {"IPAddress": "172.20.0.2"}, "other": {"IPAddress": "10.1.1.1"}}},
        });
        let config = Config::new("h");
        assert_eq!(address(container.clone(), &config).as_deref(), Some("http://172.20.0.2:8888/user/anna/"));
        container["NetworkSettings"]["Networks"]["labs"]["IPAddress"] = json!("");
        assert_eq!(address(container.clone(), &config), None);
        container["Config"]["Labels"]["specola.by-name"] = json!("1");
        assert_eq!(address(container, &config).as_deref(), Some("http://jupyter-anna:8888/user/anna/"));
    }

    #[test]
    fn dockerspawners_containers_tell_by_their_environment() {
        let container = json!({
            "Config": {"Env": [
                "JUPYTERHUB_SERVICE_PREFIX=/hub2/user/anna/", "JUPYTERHUB_SERVICE_URL=http://0.0.0.0:9999/hub2/user/anna/",
            ]},
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
        });
        assert_eq!(address(container, &Config::new("h")).as_deref(), Some("http://172.17.0.2:9999/hub2/user/anna/"));
    }
}
