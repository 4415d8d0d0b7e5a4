//! `[proxy]`: the proxy in front of the hub and of people's servers, and its limits.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use super::unit::{ByteSize, Seconds};

/// Let's Encrypt.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The proxy in front of the hub and of people's servers. It reads these when it starts, and limits again when it gets SIGHUP.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProxyConfig {
    /// Starts the proxy with the hub, and again should it end. Without it, start `specola proxy` yourself.
    pub should_start: bool,
    /// How many connections are served at once; more wait. Each request and websocket of HTTP/2 beside the first of its
    /// connection counts as one more.
    #[schemars(range(min = 1))]
    pub max_connections: usize,
    /// How large the head of a request or of an answer may be.
    pub header_bytes: ByteSize,
    /// How long a browser may take to send the head of a request, or keep a connection without one.
    pub header_timeout: Seconds,
    /// How long connecting to a server may take.
    pub connect_timeout: Seconds,
    /// How long an unused connection to a server is kept. Most servers close theirs after 5 seconds.
    pub pool_idle: Seconds,
    /// How many unused connections are kept for each server.
    pub pool_size: usize,
    /// How long a browser may be silent in the middle of an upload.
    pub upload_idle: Seconds,
    /// How long a browser or a server may not take what is sent to it.
    pub stall_timeout: Seconds,
    /// How long a TLS handshake may take.
    pub tls_handshake_timeout: Seconds,
    /// How long a server may take to answer the handshake of a websocket.
    pub websocket_handshake_timeout: Seconds,
    /// How many connections one address may have at once; 0 is no limit. Addresses of version 6 count by network (/64),
    /// those in `trusted_downstream_ips` and who comes to `listen_socket` without the PROXY protocol not at all.
    pub connections_per_address: usize,
    /// How many new connections a second one address may open; 0 is no limit. More are closed. Addresses count as for
    /// `connections_per_address`.
    pub new_connections_per_address: u32,
    /// How many new connections an address may open at once after a pause. 0 is as many as in a second.
    pub new_connections_per_address_burst: u32,
    /// How many requests a second one address may send; 0 is no limit. More are answered with 429. Behind a trusted proxy
    /// the address that it names counts. The health checks are free.
    pub requests_per_address: u32,
    /// How many requests an address may send at once after a pause. 0 is as many as in a second.
    pub requests_per_address_burst: u32,
    /// How many requests and websockets one server may have at once; 0 is no limit. More are answered with 503. The hub
    /// itself has no limit.
    pub concurrent_per_server: usize,
    /// How many requests a second one server may get; 0 is no limit. More are answered with 429.
    pub requests_per_server: u32,
    /// How many requests a server may get at once after a pause. 0 is as many as in a second.
    pub requests_per_server_burst: u32,
    /// Keeps cookies of the hub from people's servers, and theirs from the hub and from each other, as far as that can be
    /// on one host: see [operate.md](operate.md#limits-and-defence).
    pub cookie_firewall: bool,
    /// An address at which the proxy tells its metrics without a password, such as `127.0.0.1:8002`.
    pub metrics_address: Option<String>,
    /// A file for the access log: one JSON object for each answer. It is opened anew when it was moved away.
    #[schemars(extend("format" = "path"))]
    pub access_log_file: Option<PathBuf>,
    /// How long requests may still take when the proxy stops.
    pub drain_timeout: Seconds,
    /// How long requests may still take when their server was stopped.
    pub route_grace: Seconds,
    /// How long requests for the hub wait while it restarts.
    pub hub_wait: Seconds,
    /// How often the proxy tells the hub which servers were in use.
    pub activity_interval: Seconds,
    /// An address at which the hub tells proxies on other machines their routes, such as `0.0.0.0:8001`. It is plain HTTP
    /// with a token: for the network of hub and proxies alone.
    pub control_address: Option<String>,
    /// Where a proxy on another machine finds that address (`specola serve --proxy`), such as `http://hub:8001`. Without
    /// it, a proxy gets its routes over a socket in `data_dir`.
    pub control_url: Option<String>,
    /// The site this proxy is at, by its name in `[[sites]]`. Without it: `hub.site`.
    pub site: Option<String>,
    /// The file with the token that hub and proxies share. Without it, one is made in `data_dir`.
    #[schemars(extend("format" = "path"))]
    pub token_file: Option<PathBuf>,
    /// Where a proxy on another machine has the three files of proxies, with `hub.internal_ssl`. Without it: in the folder
    /// `proxy` of its `data_dir`. See [tls.md](tls.md#between-hub-proxy-and-servers).
    #[schemars(extend("format" = "path"))]
    pub internal_ssl_folder: Option<PathBuf>,
    /// A secret of Kubernetes (`NAME` or `NAMESPACE/NAME`) into which the hub writes these files at its start, for proxies that
    /// mount it as that folder. It has to be there, and the hub needs the right to get and patch it.
    pub internal_ssl_secret: Option<String>,
    /// A unix socket to listen on as well, in plain HTTP, for a program in front on the same machine.
    #[schemars(extend("format" = "path"))]
    pub listen_socket: Option<PathBuf>,
    /// Networks of load balancers that speak the PROXY protocol (version 1 or 2), such as `["10.0.0.0/24"]`, and `"unix:"`
    /// for who comes to `listen_socket`: each of their connections has to begin with its header, which says who the client
    /// is. Everybody else is an ordinary client.
    pub proxy_protocol_from: Vec<String>,
    /// A file of certificate authorities (PEM) that proxy and hub believe, beside those of this machine, when a service
    /// has an `https` address.
    #[schemars(extend("format" = "path"))]
    pub client_ca_file: Option<PathBuf>,
    /// Where the certificate comes from that browsers are shown: `files` (`ssl_cert` and `ssl_key`), `self-signed` (made
    /// and renewed here; browsers warn), `acme` (ordered from an authority such as Let's Encrypt, and renewed), or `off`
    /// for plain HTTP. Without it: `files` when `ssl_cert` is set, else `off`. See [tls.md](tls.md).
    pub tls: Option<Tls>,
    /// The certificate in PEM, with those that vouch for it. It is read again when it changes.
    #[schemars(extend("format" = "path"))]
    pub ssl_cert: Option<PathBuf>,
    /// The key of `ssl_cert`, in clear, in a file that others cannot read.
    #[schemars(extend("format" = "path"))]
    pub ssl_key: Option<PathBuf>,
    /// Further certificates for other host names; browsers get the one that has the name they ask for.
    pub certificates: Vec<CertificateConfig>,
    /// The host names and addresses in a self-signed certificate. Without any: the host of `public_url`, that of
    /// `bind_url`, the machine's name, `localhost` and the loopback addresses.
    pub self_signed_names: Vec<String>,
    /// The host names to order a certificate for, by `tls = "acme"`. Without any: the host of `public_url`.
    pub acme_domains: Vec<String>,
    /// Where the authority may write to when something is wrong.
    pub acme_email: Option<String>,
    /// The authority's directory. To order there is to agree to its terms of service.
    pub acme_directory: String,
    /// A file of certificate authorities (PEM) to believe, beside those of this machine, when asking the authority.
    #[schemars(extend("format" = "path"))]
    pub acme_ca_file: Option<PathBuf>,
    /// A secret of Kubernetes (`NAME` or `NAMESPACE/NAME`) that has account and certificate in place of the folder, so that any
    /// number of proxies share them: one orders, each answers the authority. It has to be there, and the proxy needs the right to
    /// get and patch it.
    pub acme_secret: Option<String>,
    /// How the authority sees that the names are ours: `tls-alpn-01` (it connects to port 443), or `http-01` (to port 80,
    /// where `redirect_port` has to listen). Without it: `http-01` when there is a `redirect_port`.
    pub acme_challenge: Option<AcmeChallenge>,
    /// Speaks HTTP/2 with browsers that can, beside HTTP/1.1, over TLS. Websockets go over it too.
    pub http2: bool,
    /// A port on which plain HTTP is answered with the https address, such as 80.
    pub redirect_port: Option<u16>,
    /// How long browsers are told to use nothing but https for this host (`Strict-Transport-Security`). 0 tells them nothing.
    pub hsts_max_age: Seconds,
    /// A file of certificate authorities (PEM): browsers have to show a certificate that one of them signed.
    #[schemars(extend("format" = "path"))]
    pub ssl_ca: Option<PathBuf>,
    /// Lets browsers in as well that show no certificate, although `ssl_ca` is set.
    pub client_certificate_optional: bool,
}

/// Where the certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Plain HTTP.
    Off,
    /// From `ssl_cert` and `ssl_key`.
    Files,
    /// Made here.
    SelfSigned,
    /// From an authority.
    Acme,
}

/// How an authority sees that names are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AcmeChallenge {
    /// In a handshake at port 443.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// At port 80.
    #[serde(rename = "http-01")]
    Http01,
}

/// A certificate for other names.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CertificateConfig {
    /// The certificate in PEM, with those that vouch for it.
    #[schemars(extend("format" = "path"))]
    pub ssl_cert: PathBuf,
    /// Its key.
    #[schemars(extend("format" = "path"))]
    pub ssl_key: PathBuf,
}

impl ProxyConfig {
    /// Where the certificate comes from; `None` is plain HTTP.
    pub fn tls(&self) -> Option<Tls> {
        match self.tls {
            Some(Tls::Off) => None,
            Some(tls) => Some(tls),
            None => self.ssl_cert.is_some().then_some(Tls::Files),
        }
    }
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            should_start: true,
            max_connections: 8192,
            header_bytes: ByteSize(64 << 10),
            header_timeout: Seconds(30.0),
            connect_timeout: Seconds(5.0),
            pool_idle: Seconds(4.0),
            pool_size: 64,
            upload_idle: Seconds(300.0),
            stall_timeout: Seconds(300.0),
            tls_handshake_timeout: Seconds(10.0),
            websocket_handshake_timeout: Seconds(60.0),
            connections_per_address: 0,
            new_connections_per_address: 0,
            new_connections_per_address_burst: 0,
            requests_per_address: 0,
            requests_per_address_burst: 0,
            concurrent_per_server: 0,
            requests_per_server: 0,
            requests_per_server_burst: 0,
            cookie_firewall: false,
            metrics_address: None,
            access_log_file: None,
            drain_timeout: Seconds(10.0),
            route_grace: Seconds(10.0),
            hub_wait: Seconds(10.0),
            activity_interval: Seconds(5.0),
            control_address: None,
            control_url: None,
            site: None,
            token_file: None,
            internal_ssl_folder: None,
            internal_ssl_secret: None,
            listen_socket: None,
            proxy_protocol_from: Vec::new(),
            client_ca_file: None,
            tls: None,
            ssl_cert: None,
            ssl_key: None,
            certificates: Vec::new(),
            self_signed_names: Vec::new(),
            acme_domains: Vec::new(),
            acme_email: None,
            acme_directory: LETS_ENCRYPT.into(),
            acme_ca_file: None,
            acme_secret: None,
            acme_challenge: None,
            http2: true,
            redirect_port: None,
            hsts_max_age: Seconds(0.0),
            ssl_ca: None,
            client_certificate_optional: false,
        }
    }
}

impl Config {
    /// The host that people see, when the configuration tells.
    fn public_host(&self) -> Option<String> {
        let url = url::Url::parse(self.hub.public_url.as_ref()?.as_str()).ok()?;
        Some(url.host_str()?.trim_matches(['[', ']']).to_owned())
    }

    /// The names to order a certificate for.
    pub fn acme_domains(&self) -> Vec<String> {
        match self.proxy.acme_domains.as_slice() {
            [] => self.public_host().into_iter().collect(),
            names => names.to_vec(),
        }
    }

    /// The names in a self-signed certificate. `machine` is this machine's.
    pub fn self_signed_names(&self, machine: Option<String>) -> Vec<String> {
        if !self.proxy.self_signed_names.is_empty() {
            return self.proxy.self_signed_names.clone();
        }
        let bound = Some(self.hub.bind_url.host.clone());
        let own = ["localhost", "127.0.0.1", "::1"].map(|name| Some(name.to_owned()));
        let mut names = Vec::new();
        let below = self.hub.hosts().map(|hosts| format!("*.{}", hosts.domain()));
        for name in [self.public_host(), below, bound, machine].into_iter().chain(own).flatten() {
            if !matches!(name.as_str(), "" | "0.0.0.0" | "::") && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// Whether a certificate can be for it.
fn is_name(text: &str) -> bool {
    rustls_pki_types::ServerName::try_from(text.strip_prefix("*.").unwrap_or(text)).is_ok()
}

/// Whether an object of Kubernetes can be called so, with or without its namespace.
fn is_object(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let mut parts = text.split('/');
    parts.by_ref().take(2).all(|part| !part.is_empty() && part.len() <= 253 && part.chars().all(plain))
        && parts.next().is_none()
}

/// Whether it is an address of HTTP with nothing after the port.
fn is_address(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && (url.path(), url.query(), url.fragment()) == ("/", None, None)
            && (url.username(), url.password()) == ("", None)
    })
}

/// The rules between these options.
pub(super) fn validate(config: &Config, blame: &mut impl FnMut(&str, &str, &str)) {
    let (hub, proxy) = (&config.hub, &config.proxy);
    let tls = proxy.tls();
    if hub.bind_url.https && tls.is_none() {
        blame(
            "hub.bind_url",
            "is an https address, and there is no certificate for it",
            "Set proxy.ssl_cert and proxy.ssl_key, or proxy.tls to \"self-signed\" or \"acme\"; behind another proxy write http:// and set hub.public_url",
        );
    }
    if tls == Some(Tls::Files) {
        for (key, file) in [("proxy.ssl_cert", &proxy.ssl_cert), ("proxy.ssl_key", &proxy.ssl_key)] {
            if file.is_none() {
                blame(key, "is missing", "A certificate and its key are two options, which may name the same file");
            }
        }
    }
    for (key, time) in [
        ("header_timeout", proxy.header_timeout),
        ("connect_timeout", proxy.connect_timeout),
        ("pool_idle", proxy.pool_idle),
        ("upload_idle", proxy.upload_idle),
        ("stall_timeout", proxy.stall_timeout),
        ("tls_handshake_timeout", proxy.tls_handshake_timeout),
        ("websocket_handshake_timeout", proxy.websocket_handshake_timeout),
        ("activity_interval", proxy.activity_interval),
    ] {
        super::validate::positive(&format!("proxy.{key}"), time, blame);
    }
    for (index, network) in proxy.proxy_protocol_from.iter().enumerate() {
        if network.parse::<specola_proxy::Front>().is_err() {
            blame(
                &format!("proxy.proxy_protocol_from[{index}]"),
                "has to be a network or an address, such as \"10.0.0.0/24\", or \"unix:\"",
                "",
            );
        }
    }
    for (index, more) in proxy.certificates.iter().enumerate() {
        if more.ssl_cert.as_os_str().is_empty() || more.ssl_key.as_os_str().is_empty() {
            blame(&format!("proxy.certificates[{index}]"), "needs ssl_cert and ssl_key", "");
        }
    }
    if !proxy.certificates.is_empty() && tls != Some(Tls::Files) {
        blame("proxy.certificates", "count with tls = \"files\" only", "");
    }
    let lists = [("proxy.self_signed_names", &proxy.self_signed_names), ("proxy.acme_domains", &proxy.acme_domains)];
    for (key, list) in lists {
        if let Some(index) = list.iter().position(|name| !is_name(name)) {
            blame(&format!("{key}[{index}]"), "has to be a host name or an IP address", "");
        }
    }
    if tls == Some(Tls::Acme) {
        if config.acme_domains().is_empty() {
            blame("proxy.acme_domains", "is empty", "Name the hosts, or set hub.public_url");
        }
        if config.acme_domains().iter().any(|name| name.starts_with("*.")) {
            blame("proxy.acme_domains", "cannot have a name with *", "Authorities want a record in the DNS for those");
        }
        if !proxy.acme_directory.starts_with("https://") {
            blame("proxy.acme_directory", "has to begin with https://", "");
        }
        if proxy.acme_challenge == Some(AcmeChallenge::Http01) && proxy.redirect_port.is_none() {
            blame("proxy.acme_challenge", "needs redirect_port", "The authority looks at port 80");
        }
    }
    if let Some(secret) = &proxy.acme_secret {
        if tls != Some(Tls::Acme) {
            blame("proxy.acme_secret", "counts with tls = \"acme\" only", "");
        }
        if !is_object(secret) {
            blame("proxy.acme_secret", "has to be NAME or NAMESPACE/NAME, as Kubernetes has names", "");
        }
    }
    if let Some(secret) = &proxy.internal_ssl_secret {
        if !hub.internal_ssl {
            blame("proxy.internal_ssl_secret", "counts with hub.internal_ssl only", "");
        }
        if !is_object(secret) {
            blame("proxy.internal_ssl_secret", "has to be NAME or NAMESPACE/NAME, as Kubernetes has names", "");
        }
    }
    let addresses = [
        ("proxy.metrics_address", &proxy.metrics_address, "Such as 127.0.0.1:8002"),
        ("proxy.control_address", &proxy.control_address, "Such as 0.0.0.0:8001"),
    ];
    for (key, address, such) in addresses {
        if address.as_ref().is_some_and(|address| address.parse::<std::net::SocketAddr>().is_err()) {
            blame(key, "has to be an IP address and a port", such);
        }
    }
    if proxy.control_url.as_ref().is_some_and(|url| !is_address(url)) {
        blame("proxy.control_url", "has to be an address without a path", "Such as http://hub:8001");
    }
    match proxy.redirect_port {
        Some(_) if tls.is_none() => blame("proxy.redirect_port", "leads to https, which is off", "Set proxy.tls"),
        Some(port) if port == hub.bind_url.port || port == hub.hub_port => {
            blame("proxy.redirect_port", "is the port of something else", "")
        }
        _ => {}
    }
}

/// What is allowed, and worth a second look.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let proxy = &config.proxy;
    let mut warnings = Vec::new();
    if proxy.tls().is_none() && (proxy.ssl_key.is_some() || proxy.ssl_ca.is_some()) {
        warnings.push("proxy.ssl_key and proxy.ssl_ca count with TLS only, which is off (proxy.tls)".into());
    }
    if proxy.tls() == Some(Tls::Acme) && config.hub.subdomain_host.is_some() {
        warnings.push(
            "hub.subdomain_host needs a certificate for *.HOST, which proxy.tls = \"acme\" cannot order; name one in \
             proxy.ssl_cert"
                .into(),
        );
    }
    if proxy.tls() == Some(Tls::SelfSigned) && proxy.hsts_max_age.0 > 0.0 {
        warnings.push(
            "With proxy.hsts_max_age, browsers do not let people pass the warning of a self-signed certificate".into(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(proxy: &ProxyConfig) -> specola_proxy::Limits {
        specola_proxy::Limits {
            max_connections: proxy.max_connections,
            header_bytes: usize::try_from(proxy.header_bytes.0).unwrap_or(usize::MAX),
            header_read: proxy.header_timeout.duration(),
            connect: proxy.connect_timeout.duration(),
            pool_idle: proxy.pool_idle.duration(),
            pool_size: proxy.pool_size,
            upload_idle: proxy.upload_idle.duration(),
            stalled: proxy.stall_timeout.duration(),
            tls_handshake: proxy.tls_handshake_timeout.duration(),
            switch: proxy.websocket_handshake_timeout.duration(),
            address_connections: proxy.connections_per_address,
            address_arrivals: proxy.new_connections_per_address,
            address_arrivals_burst: proxy.new_connections_per_address_burst,
            address_rate: proxy.requests_per_address,
            address_burst: proxy.requests_per_address_burst,
            route_requests: proxy.concurrent_per_server,
            route_rate: proxy.requests_per_server,
            route_burst: proxy.requests_per_server_burst,
            drain: proxy.drain_timeout.duration(),
            route_grace: proxy.route_grace.duration(),
            hub_wait: proxy.hub_wait.duration(),
            activity_interval: proxy.activity_interval.duration(),
            ..specola_proxy::Limits::default()
        }
    }

    #[test]
    fn an_address_of_the_hub_has_nothing_after_the_port() {
        for good in ["http://hub:8001", "https://[fd00::1]:8001/", "http://10.0.0.7"] {
            assert!(is_address(good), "{good}");
        }
        for bad in ["hub:8001", "unix:///run/hub.sock", "http://hub:8001/x", "http://hub?x", "http://me@hub", "http://"]
        {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn the_defaults_are_the_proxys_own() {
        assert_eq!(format!("{:?}", limits(&ProxyConfig::default())), format!("{:?}", specola_proxy::Limits::default()));
    }
}
