//! What is counted and timed: JupyterHub's families, with its names, labels and buckets, so that its dashboards show this
//! hub too. Not what is counted in the database: `api/metrics.rs` asks for that when somebody reads.
//!
//! One set for the process, as the figures about the process itself are: whoever does something counts it by a function
//! here, which does nothing before `begin` was called. No lock is shared by the threads that answer requests: each
//! remembers the histograms it has met, and a histogram is a handful of atomic numbers.

pub mod handlers;
mod request;

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use prometheus::{Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, Opts, Registry, TextEncoder};

pub use request::request;

use crate::config::Environment;

/// Replaces `jupyterhub` in the names.
const PREFIX: &str = "JUPYTERHUB_METRICS_PREFIX";
const SPAWN_BUCKETS: &str = "JUPYTERHUB_SERVER_SPAWN_DURATION_SECONDS_BUCKETS";
const STOP_BUCKETS: &str = "JUPYTERHUB_SERVER_STOP_DURATION_SECONDS_BUCKETS";

/// Those of JupyterHub; the last, `+Inf`, is always there.
const OF_SPAWNS: [f64; 12] = [0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0];
/// Those of Python's client, which has some that Rust's has not.
const USUAL: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const OF_LOOP: [f64; 15] = [0.05, 0.055, 0.06, 0.065, 0.07, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The periods of `active_users`, with their days.
pub const PERIODS: [(&str, i64); 3] = [("24h", 1), ("7d", 7), ("30d", 30)];

static METRICS: OnceLock<Metrics> = OnceLock::new();

struct Metrics {
    registry: Registry,
    requests: HistogramVec,
    spawns: HistogramVec,
    stops: HistogramVec,
    polls: HistogramVec,
    proxy_adds: HistogramVec,
    proxy_deletes: HistogramVec,
    logins: HistogramVec,
    logouts: Histogram,
    check_routes: Histogram,
    proxy_polls: Histogram,
    startup: Histogram,
    init_spawners: Histogram,
    loop_interval: Histogram,
    running_servers: Gauge,
    total_users: Gauge,
    active_users: GaugeVec,
    csp_reports: IntCounter,
    audit_lost: IntCounter,
}

/// Begins to count, with the names and buckets that the environment asks for. A second call changes nothing.
pub fn begin(environment: &Environment) -> Result<()> {
    if METRICS.get().is_none() {
        let metrics = Metrics::new(environment)?;
        // Of two that begin at once, one is the first.
        let _ = METRICS.set(metrics);
    }
    Ok(())
}

impl Metrics {
    fn new(environment: &Environment) -> Result<Self> {
        let prefix = environment.get(PREFIX).map_or("jupyterhub", |prefix| prefix.trim());
        let make = Maker { registry: Registry::new(), prefix };
        let spawn_buckets = buckets(environment, SPAWN_BUCKETS, &OF_SPAWNS)?;
        let stop_buckets = buckets(environment, STOP_BUCKETS, &USUAL)?;
        let status = |name, help| make.histograms(name, help, &["status"], &USUAL);
        let usual = |name, help| make.histogram(name, help, &USUAL);
        let metrics = Self {
            requests: make.histograms(
                "request_duration_seconds",
                "Request duration for all HTTP requests",
                &["method", "handler", "code"],
                &USUAL,
            )?,
            spawns: make.histograms(
                "server_spawn_duration_seconds",
                "Time taken for server spawning operation",
                &["status", "reason"],
                &spawn_buckets,
            )?,
            stops: make.histograms(
                "server_stop_seconds",
                "Time taken for server stopping operation",
                &["status"],
                &stop_buckets,
            )?,
            polls: status("server_poll_duration_seconds", "Time taken to poll if server is running")?,
            proxy_adds: status("proxy_add_duration_seconds", "Duration for adding user routes to proxy")?,
            proxy_deletes: status("proxy_delete_duration_seconds", "Duration for deleting user routes from proxy")?,
            logins: status("login_duration_seconds", "duration for all authentication attempts")?,
            logouts: usual("logout_duration_seconds", "duration for all logout requests")?,
            check_routes: usual("check_routes_duration_seconds", "Time taken to validate all routes in proxy")?,
            proxy_polls: usual("proxy_poll_duration_seconds", "Duration for polling all routes from proxy")?,
            startup: usual("hub_startup_duration_seconds", "Time taken for Hub to start")?,
            init_spawners: usual("init_spawners_duration_seconds", "Time taken for spawners to initialize")?,
            loop_interval: make.histogram(
                "event_loop_interval_seconds",
                "Distribution of measured event loop intervals",
                &OF_LOOP,
            )?,
            running_servers: make.gauge("running_servers", "The number of user servers currently running")?,
            total_users: make.gauge("total_users", "Total number of users")?,
            active_users: make.gauges(
                "active_users",
                "Number of users who were active in the given time period",
                &["period"],
            )?,
            csp_reports: make.counter(prefix, "csp_reports_total", "content security policy violation reports")?,
            audit_lost: make.counter("specola", "audit_lost_total", "Acts that could not be written to the audit")?,
            registry: make.registry,
        };
        metrics.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        metrics.prepare();
        Ok(metrics)
    }

    /// Makes what has to be there before it happens for the first time, so that a rate can be told of it.
    fn prepare(&self) {
        for status in ["success", "failure", "error"] {
            self.spawns.with_label_values(&[status, ""]);
        }
        for reason in ["throttled", "too-many-users", "already-pending"] {
            self.spawns.with_label_values(&["failure", reason]);
        }
        for status in ["success", "failure"] {
            for of in [&self.stops, &self.proxy_adds, &self.proxy_deletes] {
                of.with_label_values(&[status]);
            }
        }
        for status in ["running", "stopped"] {
            self.polls.with_label_values(&[status]);
        }
        for (period, _) in PERIODS {
            self.active_users.with_label_values(&[period]);
        }
    }
}

struct Maker<'a> {
    registry: Registry,
    prefix: &'a str,
}

impl Maker<'_> {
    fn add<C: prometheus::core::Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> Result<C> {
        let made = made.with_context(|| format!("{PREFIX}={} cannot be part of a name", self.prefix))?;
        self.registry.register(Box::new(made.clone()))?;
        Ok(made)
    }

    fn options(&self, name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
        HistogramOpts::new(name, help).namespace(self.prefix).buckets(buckets.to_vec())
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram> {
        self.add(Histogram::with_opts(self.options(name, help, buckets)))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Result<HistogramVec> {
        self.add(HistogramVec::new(self.options(name, help, buckets), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> Result<Gauge> {
        self.add(Gauge::with_opts(Opts::new(name, help).namespace(self.prefix)))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec> {
        self.add(GaugeVec::new(Opts::new(name, help).namespace(self.prefix), labels))
    }

    fn counter(&self, prefix: &str, name: &str, help: &str) -> Result<IntCounter> {
        self.add(IntCounter::with_opts(Opts::new(name, help).namespace(prefix)))
    }
}

/// Bounds of buckets as JupyterHub reads them from a variable: numbers with commas between, rising.
fn buckets(environment: &Environment, name: &str, usual: &[f64]) -> Result<Vec<f64>> {
    let Some(text) = environment.get(name).map(|text| text.trim()).filter(|text| !text.is_empty()) else {
        return Ok(usual.to_vec());
    };
    let wrong = || anyhow!("{name} has to be rising numbers with commas between, not {text:?}");
    let bounds: Vec<f64> =
        text.split(',').map(|bound| bound.trim().parse().ok()).collect::<Option<_>>().ok_or_else(wrong)?;
    let rising = bounds.is_sorted_by(|one, other| one < other) && !bounds.iter().any(|bound| bound.is_nan());
    let bounds: Vec<f64> = bounds.into_iter().filter(|bound| bound.is_finite()).collect();
    if rising && !bounds.is_empty() { Ok(bounds) } else { Err(wrong()) }
}

/// A server is ready (`success`), or was not started: `failure` for what the person asked for, `error` for what is ours.
pub fn spawned(status: &str, reason: &str, took: Duration) {
    if let Some(metrics) = METRICS.get() {
        metrics.spawns.with_label_values(&[status, reason]).observe(took.as_secs_f64());
    }
}

/// A server was stopped, or had to be given up.
pub fn stopped(success: bool, took: Duration) {
    observe_status(|metrics| &metrics.stops, success, took);
}

/// A spawner was asked about a server.
pub fn polled(running: bool, took: Duration) {
    if let Some(metrics) = METRICS.get() {
        let status = if running { "running" } else { "stopped" };
        metrics.polls.with_label_values(&[status]).observe(took.as_secs_f64());
    }
}

/// A route was written and taken by the proxy, or was not.
pub fn route_added(success: bool, took: Duration) {
    observe_status(|metrics| &metrics.proxy_adds, success, took);
}

/// A route was deleted, or was not.
pub fn route_deleted(success: bool, took: Duration) {
    observe_status(|metrics| &metrics.proxy_deletes, success, took);
}

/// Somebody logged in, or was refused.
pub fn logged_in(success: bool, took: Duration) {
    observe_status(|metrics| &metrics.logins, success, took);
}

fn observe_status(of: impl Fn(&Metrics) -> &HistogramVec, success: bool, took: Duration) {
    if let Some(metrics) = METRICS.get() {
        let status = if success { "success" } else { "failure" };
        of(metrics).with_label_values(&[status]).observe(took.as_secs_f64());
    }
}

macro_rules! timed {
    ($($(#[$doc:meta])* $name:ident => $field:ident;)+) => {$(
        $(#[$doc])*
        pub fn $name(took: Duration) {
            if let Some(metrics) = METRICS.get() {
                metrics.$field.observe(took.as_secs_f64());
            }
        }
    )+};
}

timed! {
    /// Somebody logged out.
    logged_out => logouts;
    /// Routes were compared with servers and put right.
    routes_checked => check_routes;
    /// All routes were read.
    routes_read => proxy_polls;
    /// The hub answers for the first time since it was started.
    started => startup;
    /// The servers of before were looked at for the first time.
    servers_found => init_spawners;
    /// A task that slept for a moment was woken so long after it had gone to sleep.
    loop_interval => loop_interval;
}

/// A browser told of a page that broke its policy.
pub fn csp_report() {
    if let Some(metrics) = METRICS.get() {
        metrics.csp_reports.inc();
    }
}

/// An act is in the log, and not in the audit.
pub fn audit_lost() {
    if let Some(metrics) = METRICS.get() {
        metrics.audit_lost.inc();
    }
}

/// How many users there are.
pub fn users_counted(total: i64) {
    if let Some(metrics) = METRICS.get() {
        metrics.total_users.set(total as f64);
    }
}

/// One user more, or one less.
pub fn users_changed(by: f64) {
    if let Some(metrics) = METRICS.get() {
        metrics.total_users.add(by);
    }
}

/// How many users were active in each of `PERIODS`.
pub fn active_users_counted(counts: [i64; 3]) {
    if let Some(metrics) = METRICS.get() {
        for ((period, _), count) in PERIODS.iter().zip(counts) {
            metrics.active_users.with_label_values(&[period]).set(count as f64);
        }
    }
}

/// Everything in Prometheus' text form. `running` is how many servers can be used at this moment.
pub fn text(running: i64) -> Result<String> {
    let metrics = METRICS.get().context("nothing is counted")?;
    metrics.running_servers.set(running as f64);
    let mut text = String::new();
    TextEncoder::new().encode_utf8(&metrics.registry.gather(), &mut text)?;
    Ok(with_pythons_bounds(&text))
}

/// A bound that is a whole number is `1.0` to Python and `1` to Rust, and another bound is another series.
fn with_pythons_bounds(text: &str) -> String {
    const BOUND: &str = "le=\"";
    let mut parts = text.split(BOUND);
    let mut all = String::with_capacity(text.len() + text.len() / 16);
    all.push_str(parts.next().unwrap_or_default());
    for part in parts {
        all.push_str(BOUND);
        match part.split_once('"') {
            Some((bound, rest)) if !bound.is_empty() && bound.bytes().all(|byte| byte.is_ascii_digit()) => {
                all.extend([bound, ".0\"", rest]);
            }
            _ => all.push_str(part),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_written_as_python_writes_them() {
        let text = "a{le=\"1\"} 2\na{le=\"0.5\",handle=\"1\"} 1\na{le=\"+Inf\"} 3\n";
        assert_eq!(with_pythons_bounds(text), text.replace("le=\"1\"}", "le=\"1.0\"}"));
        assert_eq!(with_pythons_bounds("nothing"), "nothing");
    }

    #[test]
    fn the_environment_chooses_names_and_buckets_or_is_told_why_not() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            Metrics::new(&pairs.collect::<Environment>())
        };
        let made = of(&[(PREFIX, "ours"), (SPAWN_BUCKETS, "1, 2,inf")]).ok().unwrap();
        let family =
            made.registry.gather().into_iter().find(|family| family.name() == "ours_server_spawn_duration_seconds");
        let buckets = family.unwrap().get_metric()[0].get_histogram().get_bucket().to_vec();
        assert_eq!(buckets.iter().map(|bucket| bucket.upper_bound()).collect::<Vec<_>>(), [1.0, 2.0]);
        for (name, value) in
            [(PREFIX, "not a name"), (SPAWN_BUCKETS, "2,1"), (STOP_BUCKETS, "a,b"), (STOP_BUCKETS, "inf")]
        {
            let error = of(&[(name, value)]).err().unwrap();
            assert!(format!("{error:#}").contains(name), "{error:#}");
        }
    }
}
