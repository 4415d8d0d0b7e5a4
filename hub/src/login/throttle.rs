//! How guessing is slowed down: failures are counted in the database, for each name and for each address.
//!
//! Two counters a name: a few failures cost a short wait each, many a long one. The wait is bounded, so that nobody
//! locks somebody else out for good.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_store::{Store, StoreError, Throttle};

use crate::config::auth::ThrottleConfig;
use crate::config::unit::Seconds;

/// So many times the free failures bring the long wait.
const MANY: u32 = 4;

/// The bounds of the configuration.
#[derive(Debug)]
pub struct Throttles {
    few_of_user: Throttle,
    many_of_user: Throttle,
    of_address: Throttle,
}

/// The counters that one login concerns.
#[derive(Debug)]
pub struct Keys {
    few: String,
    many: String,
    address: Option<String>,
}

impl Throttles {
    /// Takes the bounds out of the configuration.
    pub fn new(config: &ThrottleConfig) -> Self {
        let throttle = |failures: u32, block| Throttle { failures, window: delta(config.memory), block: delta(block) };
        Self {
            few_of_user: throttle(config.failures_per_user, config.first_wait),
            many_of_user: throttle(config.failures_per_user.saturating_mul(MANY), config.longest_wait),
            of_address: throttle(config.failures_per_address, config.first_wait),
        }
    }

    /// The counters for a name and an address.
    pub fn keys(&self, name: &str, address: Option<IpAddr>) -> Keys {
        Keys {
            few: format!("user:{name}"),
            many: format!("user-long:{name}"),
            address: address.map(|address| format!("address:{}", network(address))),
        }
    }

    /// How long a login has to wait; `None` when it may be tried now.
    pub async fn wait(&self, store: &Store, keys: &Keys, now: Time) -> Result<Option<Duration>, StoreError> {
        let Some(until) = store.login_blocked_until(&keys.all(), now).await? else { return Ok(None) };
        let left = (until - now).to_std().unwrap_or_default();
        Ok(Some(Duration::from_secs(left.as_secs().saturating_add(1))))
    }

    /// Counts a failure.
    pub async fn failed(&self, store: &Store, keys: &Keys, now: Time) -> Result<(), StoreError> {
        store.record_login_failure(&keys.few, self.few_of_user, now).await?;
        store.record_login_failure(&keys.many, self.many_of_user, now).await?;
        if let Some(address) = &keys.address {
            store.record_login_failure(address, self.of_address, now).await?;
        }
        Ok(())
    }

    /// Forgets the failures of a name. Those of the address stay: one good account must not buy more guesses.
    pub async fn succeeded(&self, store: &Store, keys: &Keys) -> Result<(), StoreError> {
        store.clear_login_failures(&keys.few).await?;
        store.clear_login_failures(&keys.many).await?;
        Ok(())
    }
}

impl Keys {
    fn all(&self) -> Vec<String> {
        [Some(&self.few), Some(&self.many), self.address.as_ref()].into_iter().flatten().cloned().collect()
    }
}

/// One subscriber has a whole /64 of IPv6 addresses, so they count as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

fn delta(seconds: Seconds) -> TimeDelta {
    // A hundred years is as good as for ever, and can be added to any date.
    TimeDelta::from_std(seconds.duration()).unwrap_or(TimeDelta::MAX).min(TimeDelta::days(36_500))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_subscriber_count_as_one() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
