//! Time as an argument. The one place where production code reads the system clock.

use chrono::{DateTime, SubsecRound, Utc};

/// An instant in UTC, as fine as the databases keep it (microseconds).
pub type Time = DateTime<Utc>;

/// Tells the time. Tests bring one that they can move.
pub trait Clock: Send + Sync {
    /// Returns the present instant, truncated to microseconds.
    fn now(&self) -> Time;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        Utc::now().trunc_subsecs(6)
    }
}

/// Formats an instant as JupyterHub's JSON does: Python's `isoformat()` and a `Z`, microseconds left out when zero.
pub fn isoformat(time: Time) -> String {
    let fraction = time.timestamp_subsec_micros();
    let whole = time.format("%Y-%m-%dT%H:%M:%S");
    if fraction == 0 { format!("{whole}Z") } else { format!("{whole}.{fraction:06}Z") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_six_digits_or_absent() {
        let whole = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        assert_eq!(isoformat(whole), "2023-11-14T22:13:20Z");
        let fine = DateTime::from_timestamp(1_700_000_000, 42_000).unwrap();
        assert_eq!(isoformat(fine), "2023-11-14T22:13:20.000042Z");
    }
}
