//! `configurable-http-proxy`: the proxy with the command line and the REST API of configurable-http-proxy 5.
//!
//! The binary behaves so when it is called by that name, as a link to it is, and as `specola configurable-http-proxy`.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::{ArgAction, Parser};
use http::{HeaderName, HeaderValue};
use specola_proxy::chp::{ChpOptions, Listen};
use specola_proxy::secure::{CertificateFiles, CertificateSource, ClientCertificates, Redirect, TlsOptions, Versions};
use specola_proxy::{HubLink, Limits, Options, Proxy};
use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

/// The name by which it is called.
pub const NAME: &str = "configurable-http-proxy";
/// Named in the environment, for it must not be seen in a list of processes.
const TOKEN: &str = "CONFIGPROXY_AUTH_TOKEN";
/// A file that has it instead, as the image of configurable-http-proxy takes it.
const TOKEN_FILE: &str = "CONFIGPROXY_AUTH_TOKEN_FILE";
/// How long a client may keep a connection without a request, when nothing is said of it.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long Node gives a client for a head.
const HEAD: Duration = Duration::from_secs(60);
/// What configurable-http-proxy ends with after a signal.
const INTERRUPTED: u8 = 2;

/// Run as configurable-http-proxy: its options, its REST API.
#[derive(Debug, Parser)]
#[command(name = NAME, version, disable_version_flag = true, args_override_self = true)]
pub struct Chp {
    /// Print the version.
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
    /// The public address; every one when absent.
    #[arg(long, conflicts_with = "socket")]
    ip: Option<String>,
    /// The public port; 8000 when absent.
    #[arg(long, conflicts_with = "socket")]
    port: Option<u16>,
    /// A unix socket to listen on instead.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The key of the certificate to show.
    #[arg(long, value_name = "FILE")]
    ssl_key: Option<PathBuf>,
    /// The certificate to show.
    #[arg(long, value_name = "FILE")]
    ssl_cert: Option<PathBuf>,
    /// The authorities of certificates of clients.
    #[arg(long, value_name = "FILE")]
    ssl_ca: Option<PathBuf>,
    /// Clients have to show a certificate.
    #[arg(long)]
    ssl_request_cert: bool,
    /// Accepted: clients with a wrong certificate are always turned away.
    #[arg(long)]
    ssl_reject_unauthorized: bool,
    /// The one version of TLS to speak: TLSv1_2 or TLSv1_3. Both when absent.
    #[arg(long, value_name = "VERSION")]
    ssl_protocol: Option<String>,
    /// Without effect: only good ciphers are there.
    #[arg(long, value_name = "LIST")]
    ssl_ciphers: Option<String>,
    /// Without effect: there is no RC4.
    #[arg(long)]
    ssl_allow_rc4: bool,
    /// Without effect: there is no Diffie-Hellman over primes.
    #[arg(long, value_name = "FILE")]
    ssl_dhparam: Option<PathBuf>,
    /// The address of the REST API.
    #[arg(long, default_value = "localhost")]
    api_ip: String,
    /// The port of the REST API; the one after the public port when absent.
    #[arg(long)]
    api_port: Option<u16>,
    /// A unix socket for the REST API instead; address and port do not count then.
    #[arg(long, value_name = "PATH")]
    api_socket: Option<PathBuf>,
    /// The key of the certificate that the REST API shows.
    #[arg(long, value_name = "FILE")]
    api_ssl_key: Option<PathBuf>,
    /// The certificate that the REST API shows.
    #[arg(long, value_name = "FILE")]
    api_ssl_cert: Option<PathBuf>,
    /// The authorities of certificates of the REST API's callers.
    #[arg(long, value_name = "FILE")]
    api_ssl_ca: Option<PathBuf>,
    /// Callers of the REST API have to show a certificate.
    #[arg(long)]
    api_ssl_request_cert: bool,
    /// Accepted: callers with a wrong certificate are always turned away.
    #[arg(long)]
    api_ssl_reject_unauthorized: bool,
    /// The key of the certificate to show to targets.
    #[arg(long, value_name = "FILE")]
    client_ssl_key: Option<PathBuf>,
    /// The certificate to show to targets that ask for one.
    #[arg(long, value_name = "FILE")]
    client_ssl_cert: Option<PathBuf>,
    /// The authorities of certificates of targets.
    #[arg(long, value_name = "FILE")]
    client_ssl_ca: Option<PathBuf>,
    /// Accepted: targets always show one.
    #[arg(long)]
    client_ssl_request_cert: bool,
    /// Accepted: targets with a wrong certificate are always turned away.
    #[arg(long)]
    client_ssl_reject_unauthorized: bool,
    /// Where requests go that match no route.
    #[arg(long, value_name = "URL")]
    default_target: Option<String>,
    /// A server that makes error pages.
    #[arg(long, value_name = "URL", conflicts_with = "error_path")]
    error_target: Option<String>,
    /// A folder with error pages.
    #[arg(long, value_name = "PATH")]
    error_path: Option<PathBuf>,
    /// A port on which plain HTTP is answered with the https address.
    #[arg(long, value_name = "PORT")]
    redirect_port: Option<u16>,
    /// The port of that https address.
    #[arg(long, value_name = "PORT")]
    redirect_to: Option<u16>,
    /// Where to write the process id.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Do not tell targets of clients in X-Forwarded headers.
    #[arg(long)]
    no_x_forward: bool,
    /// Do not put the path of a target before that of a request.
    #[arg(long)]
    no_prepend_path: bool,
    /// Take the prefix of the route off the path of a request.
    #[arg(long)]
    no_include_prefix: bool,
    /// Put the proxy into the Location of answers.
    #[arg(long)]
    auto_rewrite: bool,
    /// Put the target into the Host of requests.
    #[arg(long)]
    change_origin: bool,
    /// Put this scheme into the Location of answers.
    #[arg(long, value_name = "SCHEME")]
    protocol_rewrite: Option<String>,
    /// Set a header in requests; may be given several times.
    #[arg(long, value_name = "NAME:VALUE", value_parser = header)]
    custom_header: Vec<(HeaderName, HeaderValue)>,
    /// Believe every certificate of targets.
    #[arg(long)]
    insecure: bool,
    /// The first segment of a route is a host.
    #[arg(long)]
    host_routing: bool,
    /// The address of the metrics.
    #[arg(long, default_value = "")]
    metrics_ip: String,
    /// The port of the metrics; none when absent.
    #[arg(long)]
    metrics_port: Option<u16>,
    /// A unix socket for the metrics instead; address and port do not count then.
    #[arg(long, value_name = "PATH")]
    metrics_socket: Option<PathBuf>,
    /// How much is written: debug, info, warn or error.
    #[arg(long, default_value = "info")]
    log_level: String,
    /// How long a request and its answer may stand still, in milliseconds.
    #[arg(long, value_name = "MS")]
    timeout: Option<u64>,
    /// How long a target may take to begin its answer, in milliseconds.
    #[arg(long, value_name = "MS")]
    proxy_timeout: Option<u64>,
    /// Not there: routes are kept in memory.
    #[arg(long, value_name = "CLASS")]
    storage_backend: Option<String>,
    /// How long a client may keep a connection without a request, in milliseconds.
    #[arg(long, value_name = "MS")]
    keep_alive_timeout: Option<u64>,
}

/// Whether the program was called by this name.
pub fn is_called(program: Option<&OsStr>) -> bool {
    program.and_then(|program| Path::new(program).file_name()).is_some_and(|name| name == NAME)
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue)> {
    let text = text.trim();
    let (name, value) = text.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
        // The words of configurable-http-proxy.
        anyhow!("A colon was expected in custom header: {text}")
    })?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}

/// The addresses of a name; several for a name such as `localhost`. `*` and nothing stand for every address.
fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    if matches!(host, "" | "*") {
        // As Node does: both families in one socket, where the machine has both.
        let both = std::net::UdpSocket::bind("[::]:0").is_ok();
        let every: IpAddr = if both { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        return Ok(vec![SocketAddr::new(every, port)]);
    }
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = plain.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let mut found: Vec<_> =
        (plain, port).to_socket_addrs().with_context(|| format!("there is no address {host}"))?.collect();
    found.dedup();
    // A machine without IPv6 still has a name for it.
    let usable = |address: &SocketAddr| std::net::UdpSocket::bind(SocketAddr::new(address.ip(), 0)).is_ok();
    found.retain(usable);
    if found.is_empty() { bail!("there is no address {host} on this machine") } else { Ok(found) }
}

fn listen(socket: Option<PathBuf>, host: &str, port: u16) -> Result<Vec<Listen>> {
    match socket {
        Some(path) => Ok(vec![Listen::Unix(path)]),
        None => Ok(addresses(host, port)?.into_iter().map(Listen::Tcp).collect()),
    }
}

fn versions(text: Option<&str>) -> Result<Versions> {
    let Some(text) = text else { return Ok(Versions::Both) };
    match text.trim_end_matches("_method").replace(['_', '.'], "").to_ascii_lowercase().as_str() {
        "tls" | "sslv23" => Ok(Versions::Both),
        "tlsv12" => Ok(Versions::Only12),
        "tlsv13" => Ok(Versions::Only13),
        _ => bail!("{text} is not spoken: TLSv1_2 and TLSv1_3 are"),
    }
}

/// TLS of one of the two servers. Errors: half a pair is missing.
fn tls(
    what: &str,
    pair: (Option<PathBuf>, Option<PathBuf>),
    ca: Option<PathBuf>,
    asks: bool,
    versions: Versions,
) -> Result<Option<TlsOptions>> {
    let (certificate, key) = match pair {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return Ok(None),
        _ => bail!("--{what}-cert and --{what}-key belong together"),
    };
    let mut options = TlsOptions::new(CertificateSource::Files(vec![CertificateFiles { certificate, key }]));
    options.versions = versions;
    options.clients = match (asks, ca) {
        (false, _) => ClientCertificates::Ignored,
        (true, Some(ca)) => ClientCertificates::Required(ca),
        (true, None) => bail!("--{what}-request-cert needs --{what}-ca"),
    };
    Ok(Some(options))
}

/// A word for how much is written. None when it is none.
fn level(word: &str) -> Option<&'static str> {
    ["debug", "info", "warn", "error"].into_iter().find(|level| level.eq_ignore_ascii_case(word))
}

/// The token, from the environment or from the file that it names. None when the API is open to everybody.
fn token(named: Option<String>, file: Option<PathBuf>) -> Result<Option<String>> {
    let (named, file) = (named.filter(|token| !token.is_empty()), file.filter(|file| !file.as_os_str().is_empty()));
    let token = match (named, file) {
        (Some(_), Some(_)) => bail!("both {TOKEN} and {TOKEN_FILE} are set (but are exclusive)"),
        (named, None) => named,
        (None, Some(file)) => {
            let read = std::fs::read_to_string(&file);
            let read = read.with_context(|| format!("cannot read {TOKEN_FILE}, {}", file.display()))?;
            let token = read.trim();
            // An open API is not what somebody wants who names a file.
            if token.is_empty() { bail!("{TOKEN_FILE}, {}, is empty", file.display()) } else { Some(token.to_owned()) }
        }
    };
    Ok(token)
}

impl Chp {
    fn limits(&self) -> Limits {
        let given = |time: Option<u64>| time.filter(|time| *time > 0).map(Duration::from_millis);
        let default = Limits::default();
        let silence = given(self.timeout);
        let keep_alive = given(self.keep_alive_timeout).unwrap_or(KEEP_ALIVE);
        Limits {
            upload_idle: silence.unwrap_or(default.upload_idle),
            download_idle: silence,
            answer: given(self.proxy_timeout),
            keep_alive: Some(keep_alive),
            header_read: keep_alive.max(HEAD),
            // As many as there are open files for: configurable-http-proxy has no bound.
            max_connections: usize::MAX,
            // Node's own bound is 16 KiB; cookies of several hubs are larger.
            ..default
        }
    }

    /// Told before anything is done, for each option that does nothing here.
    fn warnings(&self) -> Vec<String> {
        let without_effect = [
            ("--ssl-ciphers", self.ssl_ciphers.is_some()),
            ("--ssl-allow-rc4", self.ssl_allow_rc4),
            ("--ssl-dhparam", self.ssl_dhparam.is_some()),
        ];
        let set = without_effect.iter().filter(|(_, set)| *set);
        let mut warnings: Vec<String> =
            set.map(|(name, _)| format!("{name} has no effect: only good ciphers are there")).collect();
        if level(&self.log_level).is_none() {
            warnings.push(format!("--log-level {} is not known: info is used", self.log_level));
        }
        if self.ip.as_deref() == Some("*") {
            warnings.push("Interpreting ip='*' as all-interfaces. Preferred usage is 0.0.0.0 for all IPv4 or '' for all-interfaces.".to_owned());
        }
        warnings
    }

    fn options(self, token: Option<String>) -> Result<Options> {
        if self.storage_backend.is_some() {
            bail!("--storage-backend is a module of Node and cannot be used: routes are kept in memory");
        }
        let limits = self.limits();
        let versions = versions(self.ssl_protocol.as_deref())?;
        let port = self.port.unwrap_or(8000);
        let public = listen(self.socket, self.ip.as_deref().unwrap_or_default(), port)?;
        let mut secured = tls("ssl", (self.ssl_cert, self.ssl_key), self.ssl_ca, self.ssl_request_cert, versions)?;
        if let Some(from) = self.redirect_port {
            // The words of configurable-http-proxy.
            let secured = secured.as_mut().context("HTTPS redirection specified but certificates not provided.")?;
            let first = public.iter().find_map(|listen| match listen {
                Listen::Tcp(address) => Some(*address),
                Listen::Unix(_) => None,
            });
            secured.redirect =
                first.map(|address| Redirect { listen: SocketAddr::new(address.ip(), from), port: self.redirect_to });
        }
        let api_tls = tls(
            "api-ssl",
            (self.api_ssl_cert, self.api_ssl_key),
            self.api_ssl_ca,
            self.api_ssl_request_cert,
            versions,
        )?;
        let api = listen(self.api_socket, &self.api_ip, self.api_port.unwrap_or(port.saturating_add(1)))?;
        let metrics = match (self.metrics_socket, self.metrics_port) {
            (None, None) => None,
            (socket, port) => listen(socket, &self.metrics_ip, port.unwrap_or_default())?.into_iter().next(),
        };
        let client_certificate = match (self.client_ssl_cert, self.client_ssl_key) {
            (Some(certificate), Some(key)) => Some(CertificateFiles { certificate, key }),
            (None, None) => None,
            _ => bail!("--client-ssl-cert and --client-ssl-key belong together"),
        };
        let (mut addresses, mut doors) = (Vec::new(), Vec::new());
        for listen in public {
            match listen {
                Listen::Tcp(address) => addresses.push(address),
                door => doors.push(door),
            }
        }
        Ok(Options {
            workers: super::proxy::workers(),
            listen: addresses,
            doors,
            hub: HubLink::None,
            identity: NAME.to_owned(),
            default_target: self.default_target,
            limits,
            // Who runs configurable-http-proxy behind a front has no way to name it: as there, all are believed.
            trusted_proxies: ["0.0.0.0/0", "::/0"].iter().filter_map(|all| all.parse().ok()).collect(),
            proxy_protocol_from: Vec::new(),
            client_ca: self.client_ssl_ca,
            tls: secured,
            client_certificate,
            insecure: self.insecure,
            chp: Some(ChpOptions {
                api,
                token,
                api_tls,
                metrics,
                error_target: self.error_target,
                error_path: self.error_path,
                host_routing: self.host_routing,
                prepend_path: !self.no_prepend_path,
                include_prefix: !self.no_include_prefix,
                x_forward: !self.no_x_forward,
                auto_rewrite: self.auto_rewrite,
                change_origin: self.change_origin,
                protocol_rewrite: self.protocol_rewrite,
                custom_headers: self.custom_header,
            }),
            ..Options::default()
        })
    }
}

/// A file with the process id, which goes when the proxy does.
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: PathBuf) -> Result<Self> {
        std::fs::write(&path, std::process::id().to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Runs it until a signal, and ends at once then.
pub async fn run(arguments: Chp) -> Result<ExitCode> {
    super::chp_log::init(level(&arguments.log_level).unwrap_or("info"));
    arguments.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    let token = token(std::env::var(TOKEN).ok(), std::env::var_os(TOKEN_FILE).map(PathBuf::from))?;
    if token.is_none() {
        tracing::warn!("REST API is not authenticated.");
    }
    let pid_file = arguments.pid_file.clone();
    let default_target = arguments.default_target.clone().unwrap_or_else(|| "(no default)".to_owned());
    let mut options = arguments.options(token)?;
    let over_tls = options.client_certificate.is_some();
    options.limits = super::proxy::within_open_files(options.limits, over_tls);
    let (scheme, reload) = (if options.tls.is_some() { "https" } else { "http" }, options.reload.clone());
    let api_scheme = options.chp.as_ref().map_or("http", |chp| if chp.api_tls.is_some() { "https" } else { "http" });
    let redirects_to = options.tls.as_ref().and_then(|tls| tls.redirect.as_ref()?.port);
    let (doors, api) = (options.doors.clone(), options.chp.as_ref().map(|chp| chp.api.clone()).unwrap_or_default());
    let stop = CancellationToken::new();
    let life = super::proxy_life::Life { stop: stop.clone(), reload, limits: None, over_tls, program: None };
    let signals = tokio::spawn(life.obey());
    let proxy = Proxy::bind(options).await?;
    for address in proxy.addresses() {
        tracing::info!("Proxying {scheme}://{address} to {default_target}");
    }
    for door in &doors {
        tracing::info!("Proxying {scheme}://{} to {default_target}", shown(door));
    }
    for listen in &api {
        tracing::info!("Proxy API at {api_scheme}://{}/api/routes", shown(listen));
    }
    if let (_, Some(address)) = proxy.chp_addresses() {
        tracing::info!("Serve metrics at http://{address}/metrics");
    }
    if let Some(address) = proxy.redirect_address() {
        let public = proxy.addresses().first().map_or(443, SocketAddr::port);
        let to = redirects_to.unwrap_or(public);
        tracing::info!("Added HTTP to HTTPS redirection from {} to {to}", address.port());
    }
    let _pid = pid_file
        .map(|file| {
            tracing::info!("Writing pid {} to {}", std::process::id(), file.display());
            PidFile::write(file)
        })
        .transpose()?;
    tokio::select! {
        served = proxy.serve(CancellationToken::new()) => served?,
        () = stop.cancelled() => {}
    }
    let terminated = signals.await.is_ok_and(|asked| asked == Some(SignalKind::terminate()));
    tracing::warn!("{}", if terminated { "Terminated" } else { "Interrupted" });
    Ok(ExitCode::from(INTERRUPTED))
}

fn shown(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Options> {
        let given = [NAME].iter().chain(arguments);
        Chp::try_parse_from(given)?.options(Some("secret".into()))
    }

    #[test]
    fn it_is_recognised_by_its_name_alone() {
        assert!(is_called(Some(OsStr::new("/usr/bin/configurable-http-proxy"))));
        assert!(!is_called(Some(OsStr::new("/opt/configurable-http-proxy/specola"))));
        assert!(!is_called(None));
    }

    #[test]
    fn what_jupyterhub_passes_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (key, certificate, ca) = (path("k"), path("c"), path("ca"));
        let options = parsed(&[
            "--ip",
            "",
            "--port",
            "8000",
            "--api-ip",
            "127.0.0.1",
            "--api-port",
            "8001",
            "--error-target",
            "http://127.0.0.1:8081/hub/error",
            "--log-level",
            "info",
            "--host-routing",
            "--api-ssl-key",
            &key,
            "--api-ssl-cert",
            &certificate,
            "--api-ssl-ca",
            &ca,
            "--api-ssl-request-cert",
            "--api-ssl-reject-unauthorized",
            "--client-ssl-key",
            &key,
            "--client-ssl-cert",
            &certificate,
            "--client-ssl-ca",
            &ca,
            "--client-ssl-request-cert",
            "--client-ssl-reject-unauthorized",
        ])
        .unwrap();
        let chp = options.chp.unwrap();
        assert_eq!(options.listen.iter().map(SocketAddr::port).collect::<Vec<_>>(), [8000]);
        assert_eq!(chp.api, [Listen::Tcp("127.0.0.1:8001".parse().unwrap())]);
        assert_eq!(chp.api_tls.unwrap().clients, ClientCertificates::Required(ca.clone().into()));
        assert!(chp.host_routing && chp.prepend_path && chp.include_prefix && chp.x_forward);
        assert_eq!(options.client_ca, Some(ca.into()));
        let sockets = parsed(&["--socket", "/run/p.sock", "--api-socket", "/run/a.sock"]).unwrap();
        assert_eq!(sockets.doors, [Listen::Unix("/run/p.sock".into())]);
        assert_eq!(sockets.chp.unwrap().api, [Listen::Unix("/run/a.sock".into())]);
    }

    #[test]
    fn the_api_is_at_the_next_port() {
        let api = |arguments: &[&str]| parsed(arguments).unwrap().chp.unwrap().api;
        let port = |listen: &Listen| match listen {
            Listen::Tcp(address) => address.port(),
            Listen::Unix(_) => 0,
        };
        assert!(api(&[]).iter().all(|listen| port(listen) == 8001));
        assert!(api(&["--port", "9000"]).iter().all(|listen| port(listen) == 9001));
    }

    #[test]
    fn the_last_of_several_counts_and_sockets_before_ports() {
        let more = ["--api-socket", "/a", "--api-ip", "::1", "--api-port", "5", "--host-routing", "--host-routing"];
        let metrics = ["--metrics-ip", "::1", "--metrics-port", "6", "--metrics-socket", "/m"];
        let headers = ["--custom-header", "a:1", "--custom-header", "b:2", "--port", "1", "--port", "2"];
        let options = parsed(&[&more[..], &metrics, &headers].concat()).unwrap();
        assert_eq!(options.listen.iter().map(SocketAddr::port).collect::<Vec<_>>(), [2]);
        let chp = options.chp.unwrap();
        assert_eq!((chp.api, chp.metrics), (vec![Listen::Unix("/a".into())], Some(Listen::Unix("/m".into()))));
        assert_eq!(chp.custom_headers.len(), 2);
    }

    #[test]
    fn times_are_those_of_configurable_http_proxy() {
        let seconds = Duration::from_secs;
        let plain = parsed(&["--timeout", "0", "--proxy-timeout", "0", "--keep-alive-timeout", "0"]).unwrap().limits;
        assert_eq!((plain.download_idle, plain.answer, plain.upload_idle), (None, None, seconds(300)));
        assert_eq!((plain.keep_alive, plain.header_read), (Some(seconds(5)), seconds(60)));
        let more = ["--timeout", "1000", "--proxy-timeout", "2000", "--keep-alive-timeout", "90000"];
        let given = parsed(&more).unwrap().limits;
        assert_eq!(
            (given.download_idle, given.upload_idle, given.answer),
            (Some(seconds(1)), seconds(1), Some(seconds(2)))
        );
        // A head may take as long as the wait for it.
        assert_eq!((given.keep_alive, given.header_read), (Some(seconds(90)), seconds(90)));
    }

    #[test]
    fn clients_may_be_as_many_as_there_are_open_files_for() {
        let limits = parsed(&[]).unwrap().limits;
        for (open_files, expected) in [(1_048_576, 502_343), (20_000, 9483), (204, 1), (100, 1)] {
            assert_eq!(limits.clone().within(open_files, false).max_connections, expected, "{open_files}");
        }
    }

    #[test]
    fn the_token_may_be_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(token(None, file("good", " secret\n")).unwrap(), text("secret"));
        assert_eq!(token(text(""), Some(PathBuf::new())).unwrap(), None);
        assert_eq!(token(text("own"), None).unwrap(), text("own"));
        for (named, path) in
            [(text("own"), file("good", "secret")), (None, file("empty", "\n")), (None, Some("/no".into()))]
        {
            assert!(token(named, path).unwrap_err().to_string().contains(TOKEN_FILE));
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_told() {
        let warnings = |word| Chp::try_parse_from([NAME, "--log-level", word]).unwrap().warnings();
        assert_eq!((level("DEBUG"), level("loud")), (Some("debug"), None));
        assert!(warnings("Warn").is_empty());
        assert_eq!(warnings("loud"), ["--log-level loud is not known: info is used"]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let cases: [(&[&str], &str); 8] = [
            (&["--error-target", "http://x", "--error-path", "/x"], "cannot be used with"),
            (&["--socket", "/x", "--port", "1"], "cannot be used with"),
            (&["--custom-header", "nocolon"], "A colon was expected in custom header: nocolon"),
            (&["--redirect-port", "80"], "certificates not provided"),
            (&["--ssl-key", "/x"], "belong together"),
            (&["--ssl-protocol", "SSLv3", "--port", "1"], "is not spoken"),
            (&["--storage-backend", "x"], "kept in memory"),
            (&["--nonsense"], "unexpected argument"),
        ];
        for (arguments, says) in cases {
            let problem = parsed(arguments).err().map(|problem| format!("{problem:#}")).unwrap_or_default();
            assert!(problem.contains(says), "{arguments:?}: {problem}");
        }
    }
}
