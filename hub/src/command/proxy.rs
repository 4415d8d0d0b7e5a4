//! `specola proxy`: the process that holds people's connections.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use specola_proxy::chp::Listen;
use specola_proxy::secure::CertificateFiles;
use specola_proxy::{Cidr, CookieFirewall, Front, HubLink, Limits, Options};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::proxy_life::{self, Life};

/// Run the proxy by itself. `specola serve` starts one; more of them may run on other machines.
#[derive(Debug, Args)]
pub struct Proxy {
    /// A public address to listen on; may be given several times.
    #[arg(long, value_name = "IP:PORT", required_unless_present = "listen_socket")]
    listen: Vec<SocketAddr>,
    /// A unix socket to listen on, in plain HTTP; may be given several times.
    #[arg(long, value_name = "FILE")]
    listen_socket: Vec<PathBuf>,
    /// The unix socket of the hub from which routes come.
    #[arg(long, value_name = "FILE", conflicts_with = "hub_url")]
    hub_socket: Option<PathBuf>,
    /// The address of the hub from which routes come, when it is on another machine.
    #[arg(long, value_name = "URL")]
    hub_url: Option<String>,
    /// The file with the token that hub and proxy share.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Where requests go that match no route: the hub's own server.
    #[arg(long, value_name = "URL")]
    default_target: Option<String>,
    /// The file in which the last known routes are kept.
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// The unix socket for status and stop.
    #[arg(long, value_name = "FILE")]
    admin_socket: Option<PathBuf>,
    /// The name told to the hub; the machine's name when absent.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The site that the proxy is at, told to the hub.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// A network whose X-Forwarded headers are believed; may be given several times.
    #[arg(long, value_name = "NETWORK")]
    trusted_proxy: Vec<Cidr>,
    /// A network of load balancers whose connections begin with a header of the PROXY protocol, or `unix:` for those that
    /// come to a unix socket; may be given several times.
    #[arg(long, value_name = "NETWORK")]
    proxy_protocol_from: Vec<Front>,
    /// A file of certificate authorities (PEM) to believe, beside those of this machine, when a server or service
    /// speaks https.
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// A file of the only certificate authorities (PEM) to believe of the hub, when it speaks https.
    #[arg(long, value_name = "FILE")]
    hub_ca: Option<PathBuf>,
    /// A file with a certificate and its key (PEM) to show to servers and services that ask for one.
    #[arg(long, value_name = "FILE")]
    client_certificate: Option<PathBuf>,
    #[command(flatten)]
    tls: super::proxy_tls::Tls,
    /// The configuration whose section [proxy] is read again on SIGHUP: its limits hold from then on.
    #[arg(long, value_name = "FILE", env = "SPECOLA_CONFIG")]
    config: Option<PathBuf>,
    /// Take the place of the proxy at the admin socket: its listeners are used, and it ends when the last websocket has.
    #[arg(long, requires = "admin_socket")]
    take_over: bool,
    /// A word that the status tells.
    #[arg(long, hide = true)]
    mark: Option<String>,
    /// How many connections are served at once.
    #[arg(long, value_name = "N")]
    max_connections: Option<usize>,
    /// How large the head of a request or of an answer may be, in bytes.
    #[arg(long, value_name = "BYTES")]
    header_bytes: Option<usize>,
    /// How many idle connections are kept for each server.
    #[arg(long, value_name = "N")]
    pool_size: Option<usize>,
    /// How long a browser may take to send the head of a request, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    header_timeout: Option<Duration>,
    /// How long connecting to a server may take, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    connect_timeout: Option<Duration>,
    /// How long a connection to a server is kept for the next request, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    pool_idle: Option<Duration>,
    /// How long a browser may be silent in the middle of an upload, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    upload_idle: Option<Duration>,
    /// How long a browser or a server may not take what is sent to it, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    stall_timeout: Option<Duration>,
    /// How long a TLS handshake may take, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    tls_handshake_timeout: Option<Duration>,
    /// How long a server may take to answer the handshake of a websocket, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    websocket_handshake_timeout: Option<Duration>,
    /// How many connections one address may have at once; 0 is no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    connections_per_address: usize,
    /// How many new connections a second one address may open; 0 is no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    new_connections_per_address: u32,
    /// How many new connections an address may open at once after a pause; 0 is as many as in a second.
    #[arg(long, value_name = "N", default_value_t = 0)]
    new_connections_per_address_burst: u32,
    /// How many requests a second one address may send; 0 is no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    requests_per_address: u32,
    /// How many requests an address may send at once after a pause; 0 is as many as in a second.
    #[arg(long, value_name = "N", default_value_t = 0)]
    requests_per_address_burst: u32,
    /// How many requests and websockets one server may have at once; 0 is no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    concurrent_per_server: usize,
    /// How many requests a second one server may get; 0 is no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    requests_per_server: u32,
    /// How many requests a server may get at once after a pause; 0 is as many as in a second.
    #[arg(long, value_name = "N", default_value_t = 0)]
    requests_per_server_burst: u32,
    /// A cookie of the hub's that servers are not shown and cannot set; with one, what they set holds below their own
    /// path. May be given several times.
    #[arg(long, value_name = "NAME")]
    guard_cookie: Vec<String>,
    /// An address at which metrics are told without a password.
    #[arg(long, value_name = "IP:PORT")]
    metrics_address: Option<SocketAddr>,
    /// A file for the access log: one JSON object for each answer.
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
    /// How long requests may still take when their server was stopped, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    route_grace: Option<Duration>,
    /// How long requests for the hub wait while it restarts, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    hub_wait: Option<Duration>,
    /// How long running requests have to end when the proxy stops, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    drain_timeout: Option<Duration>,
    /// How often the hub is told which servers were in use, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    activity_interval: Option<Duration>,
}

/// A time; what is longer than anybody waits is as long as that.
fn seconds(text: &str) -> Result<Duration> {
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    let seconds: f64 = text.parse()?;
    ensure!(seconds >= 0.0, "has to be 0 seconds or more");
    Ok(Duration::try_from_secs_f64(seconds).map_or(LONGEST, |time| time.min(LONGEST)))
}

/// The same, where none at all would end everything at once.
fn positive(text: &str) -> Result<Duration> {
    let time = seconds(text)?;
    ensure!(!time.is_zero(), "has to be more than 0 seconds");
    Ok(time)
}

impl Proxy {
    pub(super) fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits {
            max_connections: self.max_connections.unwrap_or(default.max_connections),
            header_bytes: self.header_bytes.unwrap_or(default.header_bytes),
            pool_size: self.pool_size.unwrap_or(default.pool_size),
            header_read: self.header_timeout.unwrap_or(default.header_read),
            connect: self.connect_timeout.unwrap_or(default.connect),
            pool_idle: self.pool_idle.unwrap_or(default.pool_idle),
            upload_idle: self.upload_idle.unwrap_or(default.upload_idle),
            stalled: self.stall_timeout.unwrap_or(default.stalled),
            tls_handshake: self.tls_handshake_timeout.unwrap_or(default.tls_handshake),
            switch: self.websocket_handshake_timeout.unwrap_or(default.switch),
            address_connections: self.connections_per_address,
            address_arrivals: self.new_connections_per_address,
            address_arrivals_burst: self.new_connections_per_address_burst,
            address_rate: self.requests_per_address,
            address_burst: self.requests_per_address_burst,
            route_requests: self.concurrent_per_server,
            route_rate: self.requests_per_server,
            route_burst: self.requests_per_server_burst,
            route_grace: self.route_grace.unwrap_or(default.route_grace),
            hub_wait: self.hub_wait.unwrap_or(default.hub_wait),
            drain: self.drain_timeout.unwrap_or(default.drain),
            activity_interval: self.activity_interval.unwrap_or(default.activity_interval),
            ..default
        }
    }

    fn options(self) -> Result<Options> {
        let token = std::fs::read_to_string(&self.token_file)
            .with_context(|| format!("cannot read the token file {}", self.token_file.display()))?;
        let limits = self.limits();
        let tls = self.tls.options(self.listen.first())?;
        let hub = match (self.hub_socket, self.hub_url) {
            (Some(socket), _) => HubLink::Unix(socket),
            (None, Some(url)) => HubLink::Http(url),
            (None, None) => HubLink::None,
        };
        let host = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        Ok(Options {
            workers: workers(),
            listen: self.listen,
            hub,
            token: token.trim().to_owned(),
            snapshot: self.snapshot,
            identity: self.name.or_else(host).unwrap_or_else(|| "proxy".to_owned()),
            site: self.site,
            default_target: self.default_target,
            limits,
            admin_socket: self.admin_socket,
            take_over: self.take_over,
            metrics: self.metrics_address.map(Listen::Tcp),
            access_log: self.access_log,
            cookie_firewall: (!self.guard_cookie.is_empty()).then(|| CookieFirewall::new(self.guard_cookie)),
            trusted_proxies: self.trusted_proxy,
            proxy_protocol_from: self.proxy_protocol_from,
            client_ca: self.client_ca,
            hub_ca: self.hub_ca,
            client_certificate: self
                .client_certificate
                .map(|file| CertificateFiles { certificate: file.clone(), key: file }),
            tls,
            mark: self.mark,
            doors: self.listen_socket.into_iter().map(Listen::Unix).collect(),
            ..Options::default()
        })
    }
}

/// A thread for each processor that this process may use, but no more than serve everybody.
pub(super) fn workers() -> usize {
    const MOST: usize = 8;
    std::thread::available_parallelism().map_or(1, |processors| processors.get().min(MOST))
}

/// Has as many open files as the system lets us have, and keeps the limits within them. `over_tls` is whether servers speak
/// TLS.
pub(super) fn within_open_files(limits: Limits, over_tls: bool) -> Limits {
    let Some(open_files) = raise_open_files() else { return limits };
    let wanted = limits.max_connections;
    let limits = limits.within(open_files, over_tls);
    if limits.max_connections < wanted && wanted < usize::MAX {
        let most = limits.max_connections;
        tracing::warn!("{open_files} open files are enough for {most} connections at once, not for {wanted}");
    }
    limits
}

/// Gives how many that is, if it is known.
fn raise_open_files() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = || {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard)
    };
    raised().inspect_err(|error| tracing::warn!("the limit of open files stays as it is: {error}")).ok()
}

/// Runs the command until a signal.
pub async fn run(arguments: Proxy) -> Result<()> {
    super::init_proxy_log();
    let config = arguments.config.clone();
    let mut options = arguments.options()?;
    let over_tls = options.client_certificate.is_some();
    options.limits = within_open_files(options.limits, over_tls);
    let stop = CancellationToken::new();
    let limits = config.map(|file| {
        let (sender, receiver) = watch::channel(options.limits.clone());
        options.new_limits = Some(receiver);
        (file, sender)
    });
    options.sockets = proxy_life::passed_sockets();
    options.notify = std::env::var_os("NOTIFY_SOCKET");
    options.program = proxy_life::program_mark();
    let program = std::env::current_exe().ok();
    let life = Life { stop: stop.clone(), reload: options.reload.clone(), limits, over_tls, program };
    tokio::spawn(life.obey());
    specola_proxy::run(options, stop).await
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        proxy: Proxy,
    }

    #[test]
    fn times_are_read_and_those_that_break_the_proxy_are_refused() {
        let limits = |argument: &str| {
            let line = Line::try_parse_from(["proxy", "--listen=[::1]:1", "--token-file=/token", argument]);
            line.map(|line| line.proxy.limits())
        };
        for name in [
            "header-timeout",
            "connect-timeout",
            "pool-idle",
            "upload-idle",
            "stall-timeout",
            "tls-handshake-timeout",
            "websocket-handshake-timeout",
            "activity-interval",
        ] {
            for wrong in ["0", "0.0", "-1", "nan", "x", "1e-12"] {
                assert!(limits(&format!("--{name}={wrong}")).is_err(), "{name} {wrong}");
            }
            assert!(limits(&format!("--{name}=1e300")).is_ok(), "{name}");
        }
        for name in ["route-grace", "hub-wait", "drain-timeout"] {
            assert!(limits(&format!("--{name}=0")).is_ok() && limits(&format!("--{name}=-1")).is_err(), "{name}");
        }
        assert_eq!(limits("--hub-wait=0").unwrap().hub_wait, Duration::ZERO);
        assert_eq!(limits("--pool-idle=1.5").unwrap().pool_idle, Duration::from_millis(1500));
    }
}
