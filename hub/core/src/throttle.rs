//! How long a login must wait after failures: a pure decision over what was recorded for one user or one address.
//!
//! The record is kept by the caller, once per user name and once per address; both must let a login pass.

use std::net::IpAddr;

use chrono::Duration;

use crate::clock::Time;

/// The bounds of one kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Failures without any wait.
    pub free: u32,
    /// The wait after the first failure beyond; it doubles with each further one.
    pub first_wait: Duration,
    /// No wait is longer, so that nobody can lock somebody else out for good.
    pub longest_wait: Duration,
    /// After so long without failures all is forgotten.
    pub memory: Duration,
}

/// For one user name: five tries, then 2 s doubling up to 5 minutes.
pub const PER_USER: Limits = Limits {
    free: 5,
    first_wait: Duration::seconds(2),
    longest_wait: Duration::minutes(5),
    memory: Duration::hours(1),
};

/// For one address, behind which a whole lecture room may sit: thirty tries, then 1 s doubling up to 1 minute.
pub const PER_ADDRESS: Limits = Limits {
    free: 30,
    first_wait: Duration::seconds(1),
    longest_wait: Duration::minutes(1),
    memory: Duration::minutes(15),
};

/// What is known of failed logins under one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// How many in a row.
    pub count: u32,
    /// When the last one was.
    pub last: Time,
}

/// Tells from when a login may be tried again; `None` if it may be tried now.
pub fn blocked_until(failures: Option<Failures>, limits: &Limits, now: Time) -> Option<Time> {
    let failures = failures.filter(|failures| remembered(failures, limits, now))?;
    let beyond = failures.count.checked_sub(limits.free)?;
    let doublings = beyond.checked_sub(1)?;
    // Beyond 2^20 every sensible wait is at its bound already.
    let wait = limits.first_wait * 2_i32.pow(doublings.min(20));
    let until = failures.last.checked_add_signed(wait.min(limits.longest_wait))?;
    (until > now).then_some(until)
}

/// What to record after one more failure.
pub fn after_failure(failures: Option<Failures>, limits: &Limits, now: Time) -> Failures {
    let before = failures.filter(|failures| remembered(failures, limits, now)).map_or(0, |failures| failures.count);
    Failures { count: before.saturating_add(1), last: now }
}

/// Whether a record still counts; others may be deleted. A record from the future (a clock was set back) counts.
pub fn remembered(failures: &Failures, limits: &Limits, now: Time) -> bool {
    now.signed_duration_since(failures.last) < limits.memory
}

/// The key under which an address is recorded: of IPv6 the network of 64 bits, of which one host has all addresses.
pub fn address_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            format!("{}/64", std::net::Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn at(seconds: i64) -> Time {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn wait_after(count: u32) -> Option<i64> {
        let failures = Failures { count, last: at(0) };
        blocked_until(Some(failures), &PER_USER, at(0)).map(|until| (until - at(0)).num_seconds())
    }

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        assert_eq!(wait_after(0), None);
        assert_eq!(wait_after(5), None);
        assert_eq!(wait_after(6), Some(2));
        assert_eq!(wait_after(7), Some(4));
        assert_eq!(wait_after(13), Some(256));
        assert_eq!(wait_after(14), Some(300));
        assert_eq!(wait_after(u32::MAX), Some(300));
    }

    #[test]
    fn a_wait_ends_by_itself() {
        let failures = Failures { count: 6, last: at(0) };
        assert_eq!(blocked_until(Some(failures), &PER_USER, at(1)), Some(at(2)));
        assert_eq!(blocked_until(Some(failures), &PER_USER, at(2)), None);
        assert_eq!(blocked_until(None, &PER_USER, at(0)), None);
    }

    #[test]
    fn one_host_has_one_key() {
        let table = [
            ("10.1.2.3", "10.1.2.3"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ];
        for (address, key) in table {
            assert_eq!(address_key(address.parse().unwrap()), key);
        }
    }

    #[test]
    fn old_failures_are_forgotten() {
        let old = Failures { count: 50, last: at(0) };
        assert_eq!(after_failure(Some(old), &PER_USER, at(3600)), Failures { count: 1, last: at(3600) });
        assert_eq!(after_failure(Some(old), &PER_USER, at(3599)), Failures { count: 51, last: at(3599) });
        assert_eq!(after_failure(None, &PER_USER, at(0)).count, 1);
    }
}
