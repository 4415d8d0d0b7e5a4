//! Times and durations in words. Scripts tell them with the browser's `Intl.RelativeTimeFormat`, by the same thresholds.

use hub_core::clock::Time;

use super::{Words, fill};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const MONTH: i64 = 30 * DAY;
const YEAR: i64 = 365 * DAY;

impl Words {
    /// How long ago `time` was, or in how much time it will be, in one unit.
    pub fn relative(&self, time: Time, now: Time) -> String {
        let seconds = (time - now).num_seconds();
        let (size, future) = (seconds.saturating_abs(), seconds > 0);
        if size < 10 {
            return self.just_now.to_owned();
        }
        let (unit, past, ahead) = match size {
            ..MINUTE => (1, (self.second_ago, self.seconds_ago), (self.in_second, self.in_seconds)),
            MINUTE..HOUR => (MINUTE, (self.minute_ago, self.minutes_ago), (self.in_minute, self.in_minutes)),
            HOUR..DAY => (HOUR, (self.hour_ago, self.hours_ago), (self.in_hour, self.in_hours)),
            DAY..MONTH => (DAY, (self.day_ago, self.days_ago), (self.in_day, self.in_days)),
            MONTH..YEAR => (MONTH, (self.month_ago, self.months_ago), (self.in_month, self.in_months)),
            _ => (YEAR, (self.year_ago, self.years_ago), (self.in_year, self.in_years)),
        };
        let count = size / unit;
        let (one, many) = if future { ahead } else { past };
        fill(if count == 1 { one } else { many }, count)
    }

    /// A duration in seconds, short: "45 s", "1 min 20 s".
    pub fn duration(&self, seconds: &u64) -> String {
        let (minutes, rest) = (seconds / 60, seconds % 60);
        match (minutes, rest) {
            (0, rest) => fill(self.short_seconds, rest),
            (minutes, 0) => fill(self.short_minutes, minutes),
            (minutes, rest) => format!("{} {}", fill(self.short_minutes, minutes), fill(self.short_seconds, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ENGLISH;
    use super::*;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let now = Time::from_timestamp(1_700_000_000, 0).unwrap();
        let told = |seconds| ENGLISH.relative(now + chrono::TimeDelta::seconds(seconds), now);
        let table = [
            (0, "just now"),
            (9, "just now"),
            (-59, "59 seconds ago"),
            (-60, "1 minute ago"),
            (-7200, "2 hours ago"),
            (DAY, "in 1 day"),
            (29 * DAY, "in 29 days"),
            (-31 * DAY, "1 month ago"),
            (400 * DAY, "in 1 year"),
        ];
        for (seconds, words) in table {
            assert_eq!(told(seconds), words, "{seconds}");
        }
    }

    #[test]
    fn durations_are_short() {
        let table = [(0, "0 s"), (59, "59 s"), (60, "1 min"), (80, "1 min 20 s"), (3600, "60 min")];
        for (seconds, words) in table {
            assert_eq!(ENGLISH.duration(&seconds), words);
        }
    }
}
