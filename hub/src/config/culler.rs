//! `[culler]`: when idle servers are stopped, with jupyterhub-idle-culler's names.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use hub_core::cull::Rules;
use schemars::JsonSchema;
use serde::Deserialize;

use super::unit::Seconds;

/// When servers that nobody uses are stopped. Does what jupyterhub-idle-culler does, without a service.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CullerConfig {
    /// Whether idle servers are stopped.
    pub enabled: bool,
    /// How long a server may be idle. Labs report activity every 5 minutes: much less than 10 minutes stops busy ones.
    pub timeout: Seconds,
    /// Other times for members of groups, by the group's name; 0 is for ever. The most generous group counts.
    pub group_timeouts: BTreeMap<String, Seconds>,
    /// How often servers are looked at; 0 is half the timeout.
    pub cull_every: Seconds,
    /// How old a server may get, even if it is in use; 0 is any age. With `cull_users`, users too.
    pub max_age: Seconds,
    /// Whether users who are away are deleted too. For hubs with temporary users.
    pub cull_users: bool,
    /// Whether `cull_users` takes administrators too.
    pub cull_admin_users: bool,
    /// Whether named servers are deleted after they were stopped.
    pub remove_named_servers: bool,
    /// Whether idle default servers are stopped.
    pub cull_default_servers: bool,
    /// Whether idle named servers are stopped.
    pub cull_named_servers: bool,
}

impl Default for CullerConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            timeout: Seconds(600.0),
            group_timeouts: BTreeMap::new(),
            cull_every: Seconds(0.0),
            max_age: Seconds(0.0),
            cull_users: false,
            cull_admin_users: true,
            remove_named_servers: false,
            cull_default_servers: true,
            cull_named_servers: true,
        }
    }
}

impl CullerConfig {
    /// The rules as the decisions take them; none while the culler is off.
    pub fn rules(&self) -> Option<Rules> {
        let limit = |seconds: Seconds| (!seconds.is_zero()).then(|| span(seconds.duration()));
        self.enabled.then(|| Rules {
            timeout: span(self.timeout.duration()),
            group_timeouts: self.group_timeouts.iter().map(|(name, time)| (name.clone(), limit(*time))).collect(),
            max_age: limit(self.max_age),
            default_servers: self.cull_default_servers,
            named_servers: self.cull_named_servers,
            admin_users: self.cull_admin_users,
        })
    }

    /// How close together activity of servers may be to be recorded once: so long, and no longer than keeps everybody who is
    /// active from seeming idle.
    pub fn resolution(&self, at_most: Duration) -> Duration {
        let limits =
            self.group_timeouts.values().chain([&self.timeout]).filter(|limit| self.enabled && !limit.is_zero());
        limits.map(|limit| limit.duration() / 4).fold(at_most, Duration::min)
    }

    /// Between two looks.
    pub fn period(&self) -> Duration {
        const LEAST: Duration = Duration::from_millis(500);
        let period = if self.cull_every.is_zero() { self.timeout.duration() / 2 } else { self.cull_every.duration() };
        period.clamp(LEAST, Duration::from_secs(86_400))
    }
}

/// A duration that can be added to any instant of ours: a hundred years at most.
fn span(duration: Duration) -> TimeDelta {
    const MOST: TimeDelta = TimeDelta::days(36_500);
    TimeDelta::from_std(duration).map_or(MOST, |span| span.min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_no_limit_and_half_the_timeout_is_the_period() {
        assert_eq!(CullerConfig::default().rules(), None, "off unless wanted");
        let config = CullerConfig {
            enabled: true,
            group_timeouts: [("a".to_owned(), Seconds(0.0)), ("b".to_owned(), Seconds(5.0))].into(),
            ..CullerConfig::default()
        };
        let rules = config.rules().unwrap();
        assert_eq!((rules.timeout, rules.max_age), (TimeDelta::minutes(10), None));
        assert_eq!(rules.group_timeouts, [("a".into(), None), ("b".into(), Some(TimeDelta::seconds(5)))]);
        assert_eq!(config.period(), Duration::from_secs(300));
        let often = CullerConfig { cull_every: Seconds(60.0), ..config.clone() };
        assert_eq!(often.period(), Duration::from_secs(60));
        assert_eq!(config.resolution(Duration::from_secs(30)), Duration::from_millis(1250));
        assert_eq!(CullerConfig::default().resolution(Duration::from_secs(300)), Duration::from_secs(300), "it is off");
        let absurd = CullerConfig { timeout: Seconds(1e300), ..config };
        assert_eq!(absurd.rules().unwrap().timeout, TimeDelta::days(36_500));
    }
}
