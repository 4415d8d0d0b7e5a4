//! The families: names, labels and buckets as in JupyterHub's `metrics.py`.

use anyhow::{Context, Result, anyhow};
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, Opts, Registry};

use super::PERIODS;
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

/// Every family, registered.
pub struct Metrics {
    pub registry: Registry,
    pub requests: HistogramVec,
    pub spawns: HistogramVec,
    pub stops: HistogramVec,
    pub polls: HistogramVec,
    pub proxy_adds: HistogramVec,
    pub proxy_deletes: HistogramVec,
    pub logins: HistogramVec,
    pub logouts: Histogram,
    pub check_routes: Histogram,
    pub proxy_polls: Histogram,
    pub startup: Histogram,
    pub init_spawners: Histogram,
    pub loop_interval: Histogram,
    pub running_servers: Gauge,
    pub total_users: Gauge,
    pub active_users: GaugeVec,
    pub csp_reports: IntCounter,
    pub audit_lost: IntCounter,
    pub watch_age: GaugeVec,
}

impl Metrics {
    /// Makes them with the names and buckets that the environment asks for.
    pub fn new(environment: &Environment) -> Result<Self> {
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
            watch_age: make.gauges_of(
                "specola",
                "watch_age_seconds",
                "How long ago what is watched for servers that end has said anything",
                &["spawner"],
            )?,
            registry: make.registry,
        };
        metrics.registry.register(Box::new(ProcessCollector::for_self()))?;
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
    fn add<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> Result<C> {
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
        self.gauges_of(self.prefix, name, help, labels)
    }

    fn gauges_of(&self, prefix: &str, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec> {
        self.add(GaugeVec::new(Opts::new(name, help).namespace(prefix), labels))
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

#[cfg(test)]
mod tests {
    use super::*;

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
