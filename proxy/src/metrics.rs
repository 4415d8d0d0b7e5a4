//! What is counted, and how it is told to Prometheus: configurable-http-proxy's names, and ours beside them.

use std::{
    fmt::{Display, Write},
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::{
    chp::Door,
    listener, lobby,
    measure::{Histogram, Summary},
    route::Class,
    state::Shared,
};

/// Connections served at once.
const CONNECTIONS: usize = 64;
/// Until an answer begins.
const ANSWERS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// From the switch to the end of a websocket.
const TUNNELS: &[f64] = &[1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0];

/// Why something was refused.
#[derive(Clone, Copy)]
pub(crate) enum Refusal {
    AddressConnections,
    AddressArrivals,
    AddressRate,
    RouteRequests,
    RouteRate,
    /// The route's server was not connected to, and the hub has not said yet that it is still the right one.
    Doubt,
    /// A client of HTTP/2 asks for more at once, and all places are taken.
    Places,
}

const REFUSALS: [&str; 7] = [
    "address_connections",
    "address_arrivals",
    "address_rate",
    "route_requests",
    "route_rate",
    "route_in_doubt",
    "places",
];

/// Why no connection came about.
const FAILURES: [&str; 4] = ["refused", "timeout", "unreachable", "other"];

/// Counters since the start.
pub(crate) struct Meter {
    pub(crate) route_get: AtomicU64,
    pub(crate) route_add: AtomicU64,
    pub(crate) route_delete: AtomicU64,
    sockets: AtomicU64,
    web: AtomicU64,
    proxied: ByStatus,
    api: ByStatus,
    pub(crate) find: Summary,
    answers: [Histogram; Class::ALL.len()],
    tunnels: [Histogram; Class::ALL.len()],
    refusals: [AtomicU64; REFUSALS.len()],
    failures: [AtomicU64; FAILURES.len()],
    pub(crate) retries: AtomicU64,
    /// Answers that came the short way.
    pub(crate) short: AtomicU64,
    pub(crate) log_lost: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            route_get: AtomicU64::default(),
            route_add: AtomicU64::default(),
            route_delete: AtomicU64::default(),
            sockets: AtomicU64::default(),
            web: AtomicU64::default(),
            proxied: ByStatus::default(),
            api: ByStatus::default(),
            find: Summary::default(),
            answers: Class::ALL.map(|_| Histogram::new(ANSWERS)),
            tunnels: Class::ALL.map(|_| Histogram::new(TUNNELS)),
            refusals: Default::default(),
            failures: Default::default(),
            retries: AtomicU64::default(),
            short: AtomicU64::default(),
            log_lost: AtomicU64::default(),
        }
    }
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Meter {
    pub(crate) fn api(&self, status: StatusCode) {
        self.api.count(status);
    }

    /// Counts a request and the head of its answer.
    pub(crate) fn answered(&self, class: Class, socket: bool, status: StatusCode, took: Duration) {
        count(if socket { &self.sockets } else { &self.web });
        self.proxied.count(status);
        if let Some(histogram) = self.answers.get(class as usize) {
            histogram.add(took);
        }
    }

    pub(crate) fn tunnel_ended(&self, class: Class, took: Duration) {
        if let Some(histogram) = self.tunnels.get(class as usize) {
            histogram.add(took);
        }
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        self.refusals.get(refusal as usize).into_iter().for_each(count);
    }

    pub(crate) fn not_connected(&self, problem: &io::Error) {
        let kind = match problem.kind() {
            io::ErrorKind::ConnectionRefused => 0,
            io::ErrorKind::TimedOut => 1,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => 2,
            _ => 3,
        };
        self.failures.get(kind).into_iter().for_each(count);
    }
}

/// A counter for each status. No lock: every request counts here.
struct ByStatus(Vec<AtomicU64>);

impl Default for ByStatus {
    fn default() -> Self {
        Self((0..1000).map(|_| AtomicU64::new(0)).collect())
    }
}

impl ByStatus {
    fn count(&self, status: StatusCode) {
        self.0.get(usize::from(status.as_u16())).into_iter().for_each(count);
    }
}

/// Writes metrics in the text format. Writing to a String does not fail.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn labelled<L: Display, V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) {
        self.head(name, kind, help);
        for (of, value) in values {
            let _ = writeln!(self.0, "{name}{{{label}=\"{of}\"}} {value}");
        }
    }

    fn by_status(&mut self, name: &str, help: &str, counts: &ByStatus) {
        let counts = counts.0.iter().map(load).enumerate().filter(|(_, count)| *count > 0);
        self.labelled(name, "counter", help, "status", counts);
    }

    fn by_class(&mut self, name: &str, help: &str, histograms: &[Histogram]) {
        self.head(name, "histogram", help);
        for (class, histogram) in Class::ALL.iter().zip(histograms) {
            histogram.write(&mut self.0, name, &format!("class=\"{}\"", class.name()));
        }
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// All metrics of a proxy.
pub(crate) fn text(shared: &Shared) -> String {
    let (meter, ledger) = (&shared.meter, &shared.ledger);
    let mut page = Page(String::with_capacity(16 * 1024));
    for (name, help, counter) in [
        ("api_route_get", "Count of API route get requests", &meter.route_get),
        ("api_route_add", "Count of API route add requests", &meter.route_add),
        ("api_route_delete", "Count of API route delete requests", &meter.route_delete),
        ("requests_ws", "Count of websocket requests", &meter.sockets),
        ("requests_web", "Count of web requests", &meter.web),
    ] {
        page.one(name, "counter", help, load(counter));
    }
    page.by_status("requests_proxy", "Count of proxy requests", &meter.proxied);
    page.by_status("requests_api", "Count of API requests", &meter.api);
    meter.find.write(&mut page.0, "find_target_for_req", "Summary of find target requests");
    ledger.updating.write(&mut page.0, "last_activity_updating", "Summary of last activity updating requests");

    page.by_class("specola_proxy_answer_seconds", "Time until an answer begins, by whose server it is", &meter.answers);
    page.by_class("specola_proxy_tunnel_seconds", "How long websockets were open", &meter.tunnels);
    let bytes = [("up", load(&ledger.bytes_up)), ("down", load(&ledger.bytes_down))];
    page.labelled("specola_proxy_bytes_total", "counter", "Bytes of bodies and websockets", "direction", bytes);
    let piped = load(&ledger.bytes_piped);
    page.one("specola_proxy_piped_bytes_total", "counter", "Bytes of bodies that nobody had to copy", piped);
    let refusals = REFUSALS.iter().zip(meter.refusals.iter().map(load));
    page.labelled("specola_proxy_refused_total", "counter", "Refused by a limit", "limit", refusals);
    let failures = FAILURES.iter().zip(meter.failures.iter().map(load));
    page.labelled("specola_proxy_connect_failures_total", "counter", "Servers not reached", "reason", failures);
    for (name, help, counter) in [
        ("specola_proxy_retries_total", "Requests sent once more on another connection", &meter.retries),
        ("specola_proxy_short_total", "Plain requests whose answers were plain too", &meter.short),
        ("specola_proxy_accept_failures_total", "Connections that could not be accepted", &listener::FAILURES),
        ("specola_proxy_access_log_lost_total", "Lines for which the access log was too slow", &meter.log_lost),
    ] {
        page.one(name, "counter", help, load(counter));
    }
    let routes = shared.routes.load().table.len();
    let tunnels = shared.counts.tunnels.load(Ordering::Relaxed);
    page.one("routes", "gauge", "Routes in the table", routes);
    page.one("tunnels", "gauge", "Open websockets", tunnels);
    page.one("specola_proxy_places_taken", "gauge", "Of max_connections", shared.room.taken());
    page.one("specola_proxy_pool_idle", "gauge", "Unused connections to servers", ledger.idle());
    page.one(
        "specola_proxy_linked",
        "gauge",
        "Whether the hub is heard",
        u8::from(shared.counts.linked.load(Ordering::Relaxed)),
    );
    machine(&mut page);
    page.0
}

/// What the kernel knows of this process and of the network it is in. What it does not tell is left out.
fn machine(page: &mut Page) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.one("process_open_fds", "gauge", "Number of open file descriptors.", open.count());
    }
    if let Some(most) = word(&read("/proc/self/limits"), "Max open files", 0) {
        page.one("process_max_fds", "gauge", "Maximum number of open file descriptors.", most);
    }
    let statm = read("/proc/self/statm");
    let bytes = |pages: Option<&str>| Some(number(pages?)?.saturating_mul(rustix::param::page_size() as u64));
    let mut pages = statm.split(' ');
    if let (Some(whole), Some(resident)) = (bytes(pages.next()), bytes(pages.next())) {
        page.one("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", whole);
        page.one("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", resident);
    }
    let stat = read("/proc/self/stat");
    // After the name, which may have anything in it: the state, and ten more before the times.
    let words: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
    let seconds = |at: usize| Some(number(words.get(at)?)? as f64 / rustix::param::clock_ticks_per_second() as f64);
    if let (Some(user), Some(system)) = (seconds(11), seconds(12)) {
        let help = "Total user and system CPU time spent in seconds.";
        page.one("process_cpu_seconds_total", "counter", help, user + system);
    }
    if let (Some(boot), Some(after)) = (word(&read("/proc/stat"), "btime ", 0).and_then(number), seconds(19)) {
        let help = "Start time of the process since unix epoch in seconds.";
        page.one("process_start_time_seconds", "gauge", help, boot as f64 + after);
    }
    let sockets = read("/proc/self/net/sockstat");
    let states = sockets.lines().find_map(|line| line.strip_prefix("TCP: ")).unwrap_or_default();
    let words: Vec<&str> = states.split(' ').collect();
    let pairs = words.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)));
    page.labelled("specola_proxy_machine_sockets", "gauge", "TCP sockets in this network namespace", "state", pairs);
    let netstat = read("/proc/self/net/netstat");
    if let Some(count) = column(&netstat, "TcpExt:", "ListenOverflows") {
        page.one("specola_proxy_machine_accept_overflows_total", "counter", "Connections lost to full queues", count);
    }
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// The word of that number after a name at the begin of a line.
fn word<'a>(text: &'a str, name: &str, at: usize) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().nth(at))
}

/// A value of a table of two lines: names, and values below them.
fn column<'a>(text: &'a str, table: &str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().filter(|line| line.starts_with(table));
    let at = lines.next()?.split(' ').position(|found| found == name)?;
    lines.next()?.split(' ').nth(at)
}

/// Answers `/metrics`, `/health` and `/ready` until the drain.
pub(crate) async fn serve(shared: Arc<Shared>, door: Door) {
    let context = Arc::clone(&shared);
    lobby::serve(shared, door, CONNECTIONS, move |request| answer(&context, request)).await;
}

fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    match request.uri().path() {
        "/metrics" => {
            *response.body_mut() = Full::new(text(shared).into());
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        "/health" => {}
        "/ready" if is_ready(shared) => {}
        "/ready" => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
        _ => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

/// Whether browsers may be sent here: it has had routes, which it keeps when the hub is away, and it does not end.
fn is_ready(shared: &Shared) -> bool {
    !shared.routes.load().epoch.is_empty() && !shared.drain.is_set() && !shared.leaving.is_set()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn tables_of_the_kernel_are_read() {
        let netstat =
            "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 3\nIpExt: InNoRoutes\nIpExt: 0\n";
        assert_eq!(column(netstat, "TcpExt:", "ListenOverflows"), Some("22"));
        assert_eq!(column(netstat, "TcpExt:", "Missing"), None);
        assert_eq!(word("Max open files   1024   4096   files\n", "Max open files", 0), Some("1024"));
        let mut page = Page(String::new());
        machine(&mut page);
        for name in [
            "process_open_fds ",
            "process_max_fds ",
            "process_virtual_memory_bytes ",
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
        ] {
            assert!(page.0.lines().any(|line| line.starts_with(name)), "{name} is not in\n{}", page.0);
        }
        let started =
            page.0.lines().find_map(|line| line.strip_prefix("process_start_time_seconds ")?.parse::<f64>().ok());
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64() - started.unwrap();
        // The clock may have been set meanwhile, and tests take less than a day.
        assert!(since.abs() < 86400.0, "{since}");
    }
}
