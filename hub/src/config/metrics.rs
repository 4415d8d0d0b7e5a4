//! `[metrics]`: what is measured once in a while. The names are those of JupyterHub's `PeriodicMetricsCollector`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::unit::Seconds;

/// What is measured once in a while for `/hub/metrics`. Names as in JupyterHub's `PeriodicMetricsCollector`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MetricsConfig {
    /// Counts the users who were active in the last day, 7 days and 30 days.
    pub active_users_enabled: bool,
    /// How many seconds lie between two such counts, which read all users.
    pub active_users_update_interval: Seconds,
    /// Measures how late the hub wakes up from a short sleep.
    pub event_loop_interval_enabled: bool,
    /// How long that sleep is, in seconds.
    pub event_loop_interval_resolution: Seconds,
    /// A delay of so many seconds is logged.
    pub event_loop_interval_log_threshold: Seconds,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            active_users_enabled: true,
            active_users_update_interval: Seconds(3600.0),
            event_loop_interval_enabled: true,
            event_loop_interval_resolution: Seconds(0.05),
            event_loop_interval_log_threshold: Seconds(1.0),
        }
    }
}
