//! What the driver is told once. What can differ from server to server is a [`Shape`].

use std::path::PathBuf;
use std::time::Duration;

use spawners::OwnSite;

use crate::login::Logins;
use crate::name::Escape;
use crate::shape::Shape;

/// The engine, and how servers are made on it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The hub's own mark.
    pub hub: String,
    /// The site that the engine is, where the hub has several.
    pub site: Option<OwnSite>,
    /// Where the engine is.
    pub endpoint: Endpoint,
    /// The image of servers that chose none.
    pub image: Option<String>,
    /// How long a pull may take. It does not count as the start.
    pub pull_timeout: Duration,
    /// Who may pull from which registry.
    pub logins: Logins,
    /// `DockerSpawner.prefix`.
    pub prefix: String,
    /// `DockerSpawner.name_template`; without it, DockerSpawner's own.
    pub name_template: Option<String>,
    /// `DockerSpawner.escape`: how names of people become parts of names.
    pub escape: Escape,
    /// Gives servers that are to have so many GPUs the engine's first ones, where none are leased: everybody has the same.
    pub share_gpus: bool,
    /// Where ports of containers are published.
    pub host_ip: String,
    /// Where the hub and the proxy reach published ports, when it is not `host_ip`.
    pub connect_ip: Option<String>,
    /// The port servers listen on in their containers.
    pub port: u16,
    /// How long a server has between being asked to end and being killed.
    pub stop_timeout: Duration,
    /// `DockerSpawner.remove`: whether a container is removed when its server stops. One that is kept is started again, as
    /// long as it would be made the same.
    pub remove: bool,
    /// The lab agent, a static program of the hub's machine, that containers run first.
    pub agent_file: Option<PathBuf>,
    /// How containers are made, unless what was chosen says otherwise.
    pub shape: Shape,
}

/// Where an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `unix:///path` or `tcp://host:port`.
    pub host: String,
    /// The certificates for an engine that is reached over TLS.
    pub tls: Option<Tls>,
}

/// Certificates for an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Who signed the engine's certificate.
    pub ca: PathBuf,
    /// The hub's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Endpoint {
    /// Docker's usual socket.
    pub const SOCKET: &str = "unix:///var/run/docker.sock";

    /// Whether this driver can speak to it.
    pub fn is_understood(&self) -> bool {
        self.socket().is_some() || self.tcp().is_some()
    }

    /// The path of a socket.
    pub(crate) fn socket(&self) -> Option<&str> {
        self.host.strip_prefix("unix://").filter(|path| path.starts_with('/'))
    }

    /// Host and port.
    pub(crate) fn tcp(&self) -> Option<&str> {
        ["tcp://", "http://", "https://"]
            .iter()
            .find_map(|scheme| self.host.strip_prefix(scheme))
            .map(|rest| rest.trim_end_matches('/'))
            .filter(|rest| !rest.is_empty() && !rest.contains('/'))
    }

    /// The machine that published ports are on, without port; absent for this machine.
    pub fn machine(&self) -> Option<&str> {
        let host = self.tcp()?;
        Some(host.rsplit_once(':').map_or(host, |(host, _)| host).trim_matches(['[', ']']))
    }
}

impl Config {
    /// A configuration with DockerSpawner's defaults for the engine of this machine.
    pub fn new(hub: impl Into<String>) -> Self {
        Self {
            hub: hub.into(),
            site: None,
            endpoint: Endpoint { host: Endpoint::SOCKET.to_owned(), tls: None },
            image: None,
            pull_timeout: Duration::from_secs(1800),
            logins: Logins::default(),
            prefix: "jupyter".to_owned(),
            name_template: None,
            escape: Escape::Default,
            share_gpus: false,
            host_ip: "127.0.0.1".to_owned(),
            connect_ip: None,
            port: 8888,
            stop_timeout: Duration::from_secs(10),
            remove: true,
            agent_file: None,
            shape: Shape::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_reached_by_socket_or_network() {
        let endpoint = |host: &str| Endpoint { host: host.into(), tls: None };
        assert_eq!(endpoint("unix:///run/docker.sock").socket(), Some("/run/docker.sock"));
        assert_eq!(endpoint("tcp://engine.example:2376").tcp(), Some("engine.example:2376"));
        assert_eq!(endpoint("tcp://engine.example:2376").machine(), Some("engine.example"));
        assert_eq!(endpoint("tcp://[::1]:2375/").machine(), Some("::1"));
        assert_eq!(endpoint(Endpoint::SOCKET).machine(), None);
        for host in ["", "ssh://a", "unix://relative", "tcp://", "npipe:////./pipe/docker_engine", "tcp://a/b"] {
            assert!(!endpoint(host).is_understood(), "{host}");
        }
    }
}
