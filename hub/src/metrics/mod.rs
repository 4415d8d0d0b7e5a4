//! What is counted and timed: JupyterHub's families, with its names, labels and buckets, so that its dashboards show this
//! hub too. Not what is counted in the database: `api/metrics.rs` asks for that when somebody reads.
//!
//! One set for the process, as the figures about the process itself are: whoever does something counts it by a function
//! here, which does nothing before `begin` was called. No lock is shared by the threads that answer requests: each
//! remembers the histograms it has met, and a histogram is a handful of atomic numbers.

mod families;
pub mod handlers;
mod request;

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use prometheus::{HistogramVec, TextEncoder};

use families::Metrics;
pub use request::request;

use crate::config::Environment;

/// The periods of `active_users`, with their days.
pub const PERIODS: [(&str, i64); 3] = [("24h", 1), ("7d", 7), ("30d", 30)];

static METRICS: OnceLock<Metrics> = OnceLock::new();

/// Begins to count, with the names and buckets that the environment asks for. A second call changes nothing.
pub fn begin(environment: &Environment) -> Result<()> {
    if METRICS.get().is_none() {
        let metrics = Metrics::new(environment)?;
        // Of two that begin at once, one is the first.
        let _ = METRICS.set(metrics);
    }
    Ok(())
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

/// How long ago what a driver watches has said anything.
pub fn watched(spawner: &str, heard: Option<Duration>) {
    if let (Some(metrics), Some(ago)) = (METRICS.get(), heard) {
        metrics.watch_age.with_label_values(&[spawner]).set(ago.as_secs_f64());
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
}
