//! Whose turn it is when devices are short, and how long the wait may be. First come, first served: nobody is overtaken,
//! also not by somebody who wants less.

use chrono::TimeDelta;

/// One kind of devices, as somebody sees it who waits for some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kind {
    /// How many nobody has.
    pub free: u64,
    /// How many those want who came before.
    pub ahead: u64,
    /// How many are wanted.
    pub wanted: u64,
    /// For how long each of the others has been in use.
    pub in_use: Vec<TimeDelta>,
    /// For how long one is used as a rule; nothing where none was given back yet.
    pub usual: Option<TimeDelta>,
}

impl Kind {
    /// Whether there is enough for those who came before and for this one.
    pub fn is_turn(&self) -> bool {
        self.free >= self.ahead.saturating_add(self.wanted)
    }

    /// How long it may be until then, from how long devices were used before. `None` where nothing is known of that.
    pub fn wait(&self) -> Option<TimeDelta> {
        // Uses are counted in whole seconds, so that one of less is none.
        let usual = self.usual?.max(TimeDelta::seconds(1));
        let Some(behind) = self.ahead.saturating_add(self.wanted).checked_sub(self.free.saturating_add(1)) else {
            return Some(TimeDelta::zero());
        };
        // One that is used for longer than usual may be given back at any time, and nobody knows when.
        let left = |used: &TimeDelta| if *used < usual { usual - *used } else { usual / 4 };
        let mut left: Vec<TimeDelta> = self.in_use.iter().map(left).collect();
        left.sort_unstable();
        let devices = u64::try_from(left.len()).ok().filter(|devices| *devices > 0)?;
        // Those who get one before this one use it for as long as anybody.
        let rounds = i32::try_from(behind / devices).ok()?;
        let first = left.get(usize::try_from(behind % devices).ok()?)?;
        first.checked_add(&usual.checked_mul(rounds)?)
    }
}

/// A wait in words, no more exact than it is known: "about 40 minutes".
pub fn about(wait: TimeDelta) -> String {
    let minutes = wait.num_seconds().max(0).saturating_add(30) / 60;
    match minutes {
        0 | 1 => "about a minute".to_owned(),
        2..=10 => format!("about {minutes} minutes"),
        11..=57 => format!("about {} minutes", (minutes + 2) / 5 * 5),
        58..=89 => "about an hour".to_owned(),
        90..=2879 => format!("about {} hours", (minutes + 30) / 60),
        _ => format!("about {} days", minutes.saturating_add(720) / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind(free: u64, ahead: u64, wanted: u64) -> Kind {
        Kind { free, ahead, wanted, ..Kind::default() }
    }

    #[test]
    fn nobody_is_overtaken() {
        assert!(kind(1, 0, 1).is_turn());
        assert!(!kind(1, 2, 1).is_turn(), "the one that is free is kept for who wants two");
        assert!(kind(3, 2, 1).is_turn());
        assert!(!kind(0, 0, 1).is_turn());
        assert!(kind(u64::MAX, u64::MAX, 1).wait().is_none_or(|wait| wait <= TimeDelta::zero()));
    }

    #[test]
    fn the_wait_follows_from_how_long_others_used_one() {
        let minutes = TimeDelta::minutes;
        let of = |ahead, wanted, in_use: &[i64]| {
            let in_use = in_use.iter().copied().map(minutes).collect();
            Kind { in_use, usual: Some(minutes(60)), ..kind(0, ahead, wanted) }.wait()
        };
        assert_eq!(of(0, 1, &[20]), Some(minutes(40)));
        assert_eq!(of(1, 1, &[20]), Some(minutes(100)));
        assert_eq!(of(1, 1, &[20, 50]), Some(minutes(40)), "the second of two that are given back");
        assert_eq!(of(0, 2, &[20, 50]), Some(minutes(40)));
        assert_eq!(of(0, 1, &[500]), Some(minutes(15)));
        assert_eq!(of(0, 1, &[]), None);
        let unknown = Kind { in_use: vec![minutes(5)], ..kind(0, 0, 1) };
        assert_eq!(unknown.wait(), None);
        let short = Kind { usual: Some(TimeDelta::zero()), ..unknown };
        assert_eq!(short.wait(), Some(TimeDelta::milliseconds(250)), "it is known, though it was given back at once");
        let free = Kind { usual: Some(minutes(1)), ..kind(1, 0, 1) };
        assert_eq!(free.wait(), Some(TimeDelta::zero()));
    }

    #[test]
    fn a_wait_is_told_as_exactly_as_it_is_known() {
        for (seconds, told) in [
            (-5, "about a minute"),
            (80, "about a minute"),
            (90, "about 2 minutes"),
            (10 * 60, "about 10 minutes"),
            (41 * 60, "about 40 minutes"),
            (57 * 60, "about 55 minutes"),
            (70 * 60, "about an hour"),
            (95 * 60, "about 2 hours"),
            (50 * 3600, "about 2 days"),
            (i64::MAX / 1000, "about 106751991167 days"),
        ] {
            assert_eq!(about(TimeDelta::seconds(seconds)), told, "{seconds}");
        }
    }

    proptest! {
        #[test]
        fn who_comes_later_never_waits_less(
            free in 0..3u64, ahead in 0..9u64, wanted in 1..4u64, used in prop::collection::vec(0..200i64, 1..5),
        ) {
            let in_use: Vec<TimeDelta> = used.into_iter().map(TimeDelta::minutes).collect();
            let at = |ahead| Kind { in_use: in_use.clone(), usual: Some(TimeDelta::minutes(60)), ..kind(free, ahead, wanted) };
            prop_assert!(at(ahead).wait() <= at(ahead + 1).wait());
            prop_assert!(at(ahead).is_turn() || !at(ahead + 1).is_turn());
            prop_assert_eq!(at(ahead).is_turn(), at(ahead).wait() == Some(TimeDelta::zero()));
        }
    }
}
