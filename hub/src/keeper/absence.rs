//! How long the database was away: who was not heard meanwhile may have been there all the time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a hub writes that it is there.
pub const PERIOD: Duration = Duration::from_secs(5);
/// One that is not written to for longer was away.
const LATE: Duration = Duration::from_secs(10);

/// Told by whoever writes to the database every few seconds.
pub struct Absence(Mutex<Told>);

struct Told {
    /// The last time that the database took something.
    last: Instant,
    /// When it came back, and how long it had been away.
    ended: Option<(Instant, Duration)>,
}

impl Default for Absence {
    fn default() -> Self {
        Self(Mutex::new(Told { last: Instant::now(), ended: None }))
    }
}

impl Absence {
    /// The database took something, as it does every [`PERIOD`].
    pub fn wrote(&self) {
        self.wrote_at(Instant::now());
    }

    fn wrote_at(&self, now: Instant) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gap = now.saturating_duration_since(told.last);
        if gap > LATE {
            told.ended = Some((now, gap));
        }
        told.last = now;
    }

    /// For so much longer than `silence` somebody may not have been heard who was there: as long as the database was away, until
    /// it has been back for `silence`.
    pub fn grace(&self, silence: Duration) -> Duration {
        self.grace_at(Instant::now(), silence)
    }

    fn grace_at(&self, now: Instant, silence: Duration) -> Duration {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have come back this very moment, and not have been written to yet.
        let open = now.saturating_duration_since(told.last);
        let over = told.ended.filter(|(ended, _)| now.saturating_duration_since(*ended) < silence);
        let open = if open > LATE { open } else { Duration::ZERO };
        open + over.map_or(Duration::ZERO, |(_, gap)| gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_there_before_an_absence_counts_until_they_had_time_to_be_heard() {
        let seconds = Duration::from_secs;
        let (absence, silence) = (Absence::default(), seconds(15));
        let begun = Instant::now();
        let grace = |at: u64| absence.grace_at(begun + seconds(at), silence).as_secs();
        absence.wrote_at(begun + seconds(5));
        absence.wrote_at(begun + seconds(10));
        assert_eq!(grace(10), 0);
        // Away for a minute, and not written to yet when somebody asks.
        assert_eq!(grace(68), 58);
        absence.wrote_at(begun + seconds(70));
        assert_eq!(grace(70), 60);
        absence.wrote_at(begun + seconds(75));
        absence.wrote_at(begun + seconds(80));
        assert_eq!(grace(80), 60, "a proxy heard last at 8 was heard 15 seconds before, but for the absence");
        absence.wrote_at(begun + seconds(85));
        assert_eq!(grace(85), 0);
    }
}
