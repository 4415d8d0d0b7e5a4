//! What the proxy is told at its start: addresses, the link to the hub, and named bounds.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    chp::{ChpOptions, Listen},
    cookies::CookieFirewall,
    hand_over::Sockets,
    reload::Reload,
    secure::{CertificateFiles, TlsOptions},
};

/// Everything [`crate::run`] needs.
/// The defaults listen nowhere and lead nowhere.
#[derive(Clone, Default)]
pub struct Options {
    /// Threads that serve connections, each on a processor; with 0 the caller's runtime serves them.
    pub workers: usize,
    /// Public listeners.
    pub listen: Vec<SocketAddr>,
    /// Where the route stream comes from.
    pub hub: HubLink,
    /// Bearer token for the hub's control interface.
    pub token: String,
    /// File that holds the last known routes; loaded at start, replaced by rename.
    pub snapshot: Option<PathBuf>,
    /// Name of this proxy, told to the hub.
    pub identity: String,
    /// Where this proxy is, told to the hub: the name of a site.
    pub site: Option<String>,
    /// Where requests go that match no route: the hub's URL.
    pub default_target: Option<String>,
    /// Named bounds.
    pub limits: Limits,
    /// Unix socket (mode 0600) for `GET /status`, `POST /stop` and `POST /hand-over`.
    pub admin_socket: Option<PathBuf>,
    /// Takes the place of the proxy at the admin socket, if there is one, with its listeners.
    pub take_over: bool,
    /// Listeners that are used instead of binding new ones at their addresses.
    pub sockets: Sockets,
    /// Where a service manager is told that the proxy serves, as in `NOTIFY_SOCKET`.
    pub notify: Option<OsString>,
    /// Names the program's file; the status tells it.
    pub program: Option<String>,
    /// Networks whose `X-Forwarded-*` headers are believed; from others they are replaced.
    pub trusted_proxies: Vec<Cidr>,
    /// Load balancers, each of whose connections begins with a header of the PROXY protocol.
    pub proxy_protocol_from: Vec<Front>,
    /// A PEM file of authorities to believe, beside those of this machine, when an upstream speaks TLS.
    pub client_ca: Option<PathBuf>,
    /// A PEM file of the only authorities to believe of the hub, when it speaks TLS: for the default target and routes that
    /// are the hub's. None is those of other upstreams.
    pub hub_ca: Option<PathBuf>,
    /// TLS on the public listeners; None is plain HTTP.
    pub tls: Option<TlsOptions>,
    /// Has certificates read again at once.
    pub reload: Reload,
    /// Brings limits that were read again; they hold for what begins after that.
    pub new_limits: Option<watch::Receiver<Limits>>,
    /// Where metrics are told, without a password.
    pub metrics: Option<Listen>,
    /// The file of the access log.
    pub access_log: Option<PathBuf>,
    /// What stands between cookies of the hub and servers.
    pub cookie_firewall: Option<CookieFirewall>,
    /// Any word; the status tells it, so that whoever started the proxy can see whether it has these settings.
    pub mark: Option<String>,
    /// Further public listeners, such as unix sockets.
    pub doors: Vec<Listen>,
    /// What the proxy shows to upstreams that ask for a certificate.
    pub client_certificate: Option<CertificateFiles>,
    /// Believes every upstream that speaks TLS.
    pub insecure: bool,
    /// Set to behave as configurable-http-proxy.
    pub chp: Option<ChpOptions>,
}

/// Where the hub's control interface is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HubLink {
    /// A unix socket.
    Unix(PathBuf),
    /// `http://host:port/`.
    Http(String),
    /// No hub: the snapshot and the default target are all there is.
    #[default]
    None,
}

/// Named bounds on every wait, queue and buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For an upstream to begin its answer once it has the request: unbounded when None.
    pub answer: Option<Duration>,
    /// Silence of an upstream before its answer or within it: unbounded when None. Websockets may always be silent.
    pub download_idle: Option<Duration>,
    /// To connect to an upstream: 5 s.
    pub connect: Duration,
    /// For a client to send a request head, also the longest idle wait between requests: 30 s.
    pub header_read: Duration,
    /// A shorter such wait: none when None.
    pub keep_alive: Option<Duration>,
    /// For a load balancer to say whose connection it passes on: 5 s.
    pub proxy_header: Duration,
    /// For a TLS handshake: 10 s.
    pub tls_handshake: Duration,
    /// How often files with certificates are looked at: 10 s.
    pub certificate_look: Duration,
    /// Before an ACME authority that failed is asked again: 5 min at first, twice as long each time.
    pub acme_retry: Duration,
    /// The longest such wait: 6 h.
    pub acme_retry_max: Duration,
    /// The least time between two certificates: 10 min.
    pub acme_pause: Duration,
    /// How often proxies that share a certificate look what others did: 5 s.
    pub acme_look: Duration,
    /// Bytes of a request or response head: 64 KiB.
    pub header_bytes: usize,
    /// Requests at once on one connection of HTTP/2: 128.
    pub http2_streams: u32,
    /// Requests that a client of HTTP/2 may take back beyond those it let be answered: 200.
    pub http2_resets: usize,
    /// Age at which an idle upstream connection is dropped: 4 s, below the 5 s of most servers.
    pub pool_idle: Duration,
    /// Idle upstream connections kept for one route: 64.
    pub pool_size: usize,
    /// Idle upstream connections kept in all: 4096, or what open files allow.
    pub pool_all: usize,
    /// Silence of a client or a server that does not take what is sent to it: 300 s.
    pub stalled: Duration,
    /// For a server to answer the handshake of a websocket: 60 s.
    pub switch: Duration,
    /// Silence of a client in the middle of an upload: 300 s. There is no bound on a whole upload.
    pub upload_idle: Duration,
    /// What one direction of a tunnel may still take after the other has ended: 30 s.
    pub tunnel_half_close: Duration,
    /// What requests and tunnels may still take after a stop: 10 s.
    pub drain: Duration,
    /// For the next proxy to serve once it has the listeners: 30 s.
    pub hand_over: Duration,
    /// What tunnels may still take after another proxy has taken over: a week.
    pub leave: Duration,
    /// What requests and tunnels of a deleted route may still take: 10 s. As configurable-http-proxy there is no bound.
    pub route_grace: Duration,
    /// Open client connections; more wait in the accept queue: 8192.
    pub max_connections: usize,
    /// Open connections of one address: unbounded when 0.
    pub address_connections: usize,
    /// New connections a second of one address: unbounded when 0.
    pub address_arrivals: u32,
    /// New connections at once of an address after a pause; as many as in a second when 0.
    pub address_arrivals_burst: u32,
    /// Requests a second of one address: unbounded when 0.
    pub address_rate: u32,
    /// Requests at once of an address after a pause; as many as in a second when 0.
    pub address_burst: u32,
    /// Requests and websockets that a route may have at once: unbounded when 0. The hub's has no bound.
    pub route_requests: usize,
    /// Requests a second at one route: unbounded when 0.
    pub route_rate: u32,
    /// Requests at once at a route after a pause; as many as in a second when 0.
    pub route_burst: u32,
    /// How long a request for the hub waits while connecting to it is refused: 10 s.
    pub hub_wait: Duration,
    /// To fetch an error page from the hub: 2 s.
    pub error_page: Duration,
    /// Bytes of an error page from the hub: 1 MiB.
    pub error_page_bytes: usize,
    /// Silence after which the route stream counts as dead: 15 s.
    pub link_silence: Duration,
    /// Bytes of one line of the route stream: 256 MiB, about two million routes.
    pub link_line_bytes: usize,
    /// To send an acknowledgement or an activity batch: 10 s.
    pub link_post: Duration,
    /// Time between activity batches: 5 s.
    pub activity_interval: Duration,
    /// Routes in one activity batch: 1000.
    pub activity_batch: usize,
    /// Routes whose activity is kept while no hub takes it: 100 000.
    pub activity_kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answer: None,
            download_idle: None,
            keep_alive: None,
            connect: Duration::from_secs(5),
            header_read: Duration::from_secs(30),
            proxy_header: Duration::from_secs(5),
            tls_handshake: Duration::from_secs(10),
            certificate_look: Duration::from_secs(10),
            acme_retry: Duration::from_secs(300),
            acme_retry_max: Duration::from_secs(6 * 3600),
            acme_pause: Duration::from_secs(600),
            acme_look: Duration::from_secs(5),
            header_bytes: 64 * 1024,
            http2_streams: 128,
            http2_resets: 200,
            pool_idle: Duration::from_secs(4),
            pool_size: 64,
            pool_all: 4096,
            stalled: Duration::from_secs(300),
            switch: Duration::from_secs(60),
            upload_idle: Duration::from_secs(300),
            tunnel_half_close: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            hand_over: Duration::from_secs(30),
            leave: Duration::from_secs(7 * 24 * 3600),
            route_grace: Duration::from_secs(10),
            max_connections: 8192,
            address_connections: 0,
            address_arrivals: 0,
            address_arrivals_burst: 0,
            address_rate: 0,
            address_burst: 0,
            route_requests: 0,
            route_rate: 0,
            route_burst: 0,
            hub_wait: Duration::from_secs(10),
            error_page: Duration::from_secs(2),
            error_page_bytes: 1024 * 1024,
            link_silence: Duration::from_secs(11),
            link_line_bytes: 256 * 1024 * 1024,
            link_post: Duration::from_secs(10),
            activity_interval: Duration::from_secs(5),
            activity_batch: 1000,
            activity_kept: 100_000,
        }
    }
}

/// A network, such as `10.0.0.0/8`, `::1/128` or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// IPv4 is held as IPv4-mapped IPv6.
    base: u128,
    mask: u128,
}

impl Cidr {
    /// Whether the address lies in the network. IPv4 and IPv4-mapped IPv6 are the same.
    pub fn contains(&self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.base
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let wrong = || CidrError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let (width, offset) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let prefix: u32 = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| wrong())?,
            None => width,
        };
        if prefix > width {
            return Err(wrong());
        }
        let mask = u128::MAX.checked_shl(128 - offset - prefix).unwrap_or(0);
        Ok(Self { base: bits(address) & mask, mask })
    }
}

/// The text is not a network.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a network such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct CidrError(String);

/// Where load balancers are: a network, or `unix:` for whoever comes to a unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// Whoever comes from there.
    Network(Cidr),
    /// Whoever comes to a unix socket.
    Unix,
}

impl FromStr for Front {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        if text == "unix:" { Ok(Self::Unix) } else { text.parse().map(Self::Network) }
    }
}

fn bits(address: IpAddr) -> u128 {
    let address: Ipv6Addr = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    address.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses_and_no_others() {
        let cases = [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "8.8.8.8", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ];
        for (network, address, expected) in cases {
            let network: Cidr = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network:?} {address}");
        }
    }

    #[test]
    fn what_is_not_a_network_is_refused() {
        for text in ["", "10.0.0.0/33", "host", "10.0.0.0/x", "::/129", "/8", "unix:/run/door.sock"] {
            assert!(text.parse::<Cidr>().is_err() && text.parse::<Front>().is_err(), "{text}");
        }
    }
}
