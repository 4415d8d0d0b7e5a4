//! When an idle server, or a person who is away, has to go: jupyterhub-idle-culler's decisions as pure functions.
//!
//! Where the original differs: it deletes administrators by `max_age` even where `cull_admin_users` is off; this does
//! not.

use chrono::TimeDelta;

use crate::clock::Time;

/// The operator's rules, with the names jupyterhub-idle-culler has for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// How long without activity is too long, where no group says otherwise.
    pub timeout: TimeDelta,
    /// By group: how long without activity is too long for its members; `None` for any time at all.
    pub group_timeouts: Vec<(String, Option<TimeDelta>)>,
    /// How long a server may run, or a user exist, used or not; `None` for any time.
    pub max_age: Option<TimeDelta>,
    /// Whether default servers are stopped when idle.
    pub default_servers: bool,
    /// Whether named servers are stopped when idle.
    pub named_servers: bool,
    /// Whether administrators are deleted too, where users are.
    pub admin_users: bool,
}

/// What is known of a running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Whether it is a named server.
    pub named: bool,
    /// When it was started.
    pub started: Option<Time>,
    /// When it was last used, as proxy and server told.
    pub last_activity: Option<Time>,
}

/// What is known of a user without a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away {
    /// Whether the user administers the hub.
    pub admin: bool,
    /// When the user was made.
    pub created: Option<Time>,
    /// When the user was last active.
    pub last_activity: Option<Time>,
}

/// Why something has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Not used for so long.
    Idle(TimeDelta),
    /// There for so long, used or not.
    Old(TimeDelta),
}

/// When a server will be stopped, or a user deleted, if nobody uses it, and whether using it helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The earliest instant.
    pub at: Time,
    /// Whether activity puts it off.
    pub by_idleness: bool,
}

impl Rules {
    /// How long a member of these groups may be idle: the most that any group with a rule grants, or else the rule
    /// for everybody. `None` for any time.
    pub fn timeout_for(&self, groups: &[String]) -> Option<TimeDelta> {
        let mut granted = self.group_timeouts.iter().filter(|(name, _)| groups.contains(name)).map(|(_, time)| *time);
        let first = granted.next();
        let most = granted.fold(first, |most, next| most.map(|most| most.zip(next).map(|(a, b)| a.max(b))));
        most.unwrap_or(Some(self.timeout))
    }

    /// The shortest time after which anybody may be idle too long: for looking only at those who might be.
    pub fn shortest_timeout(&self) -> TimeDelta {
        let of_groups = self.group_timeouts.iter().filter_map(|(_, timeout)| *timeout);
        of_groups.fold(self.timeout, |shortest, timeout| shortest.min(timeout))
    }

    /// Whether a running server has to stop, and why. A server of which neither start nor activity is known stays.
    pub fn judge_server(&self, server: &Running, groups: &[String], now: Time) -> Option<Reason> {
        let allowed = if server.named { self.named_servers } else { self.default_servers };
        let age = server.started.map(|started| now - started);
        let idle = server.last_activity.map(|active| now - active).or(age);
        judge(allowed.then(|| self.timeout_for(groups)).flatten(), self.max_age, idle, age)
    }

    /// Whether a user whose servers are all stopped has to go, and why.
    pub fn judge_user(&self, user: &Away, groups: &[String], now: Time) -> Option<Reason> {
        if user.admin && !self.admin_users {
            return None;
        }
        let age = user.created.map(|created| now - created);
        let idle = user.last_activity.map(|active| now - active).or(age);
        judge(self.timeout_for(groups), self.max_age, idle, age)
    }

    /// When a running server will have to stop, if it is not used until then.
    pub fn end_of(&self, server: &Running, groups: &[String]) -> Option<End> {
        let allowed = if server.named { self.named_servers } else { self.default_servers };
        let timeout = allowed.then(|| self.timeout_for(groups)).flatten();
        self.first(server.last_activity, server.started, timeout)
    }

    /// When a user will have to go who does nothing until then. Who has a server in use stays as long as it is.
    pub fn end_of_user(&self, user: &Away, groups: &[String]) -> Option<End> {
        if user.admin && !self.admin_users {
            return None;
        }
        self.first(user.last_activity, user.created, self.timeout_for(groups))
    }

    fn first(&self, active: Option<Time>, begun: Option<Time>, timeout: Option<TimeDelta>) -> Option<End> {
        let at = |since: Option<Time>, limit: Option<TimeDelta>| since?.checked_add_signed(limit?);
        let idle = at(active.or(begun), timeout).map(|at| End { at, by_idleness: true });
        let old = at(begun, self.max_age).map(|at| End { at, by_idleness: false });
        [idle, old].into_iter().flatten().min_by_key(|end| end.at)
    }
}

fn judge(
    timeout: Option<TimeDelta>,
    max_age: Option<TimeDelta>,
    idle: Option<TimeDelta>,
    age: Option<TimeDelta>,
) -> Option<Reason> {
    let reached = |time: Option<TimeDelta>, limit: Option<TimeDelta>| {
        time.zip(limit).filter(|(time, limit)| time >= limit).map(|(time, _)| time)
    };
    reached(idle, timeout).map(Reason::Idle).or_else(|| reached(age, max_age).map(Reason::Old))
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Idle(time) => write!(f, "idle for {} s", time.num_seconds()),
            Self::Old(time) => write!(f, "{} s old", time.num_seconds()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn seconds(seconds: i64) -> TimeDelta {
        TimeDelta::seconds(seconds)
    }

    /// An hour of idleness, and whatever the test changes.
    fn rules() -> Rules {
        Rules {
            timeout: seconds(3600),
            group_timeouts: Vec::new(),
            max_age: None,
            default_servers: true,
            named_servers: true,
            admin_users: true,
        }
    }

    #[test]
    fn a_server_is_judged_as_the_original_judges_it() {
        let (idle, old) = (|time| Some(Reason::Idle(seconds(time))), |time| Some(Reason::Old(seconds(time))));
        let day = Rules { max_age: Some(seconds(86_400)), ..rules() };
        let only_named = Rules { default_servers: false, max_age: Some(seconds(86_400)), ..rules() };
        let only_default = Rules { named_servers: false, ..rules() };
        // Rules, named, started and last active so many seconds ago, verdict.
        let table = [
            (rules(), false, Some(9000), Some(3600), idle(3600)),
            (rules(), false, Some(9000), Some(3599), None),
            (rules(), true, Some(9000), Some(4000), idle(4000)),
            (rules(), false, Some(90_000), Some(0), None),
            (rules(), false, Some(4000), None, idle(4000)),
            (rules(), false, Some(10), None, None),
            (rules(), false, None, None, None),
            (rules(), false, None, Some(4000), idle(4000)),
            // A clock that went back is no idleness.
            (rules(), false, Some(-50), Some(-50), None),
            (day.clone(), false, Some(86_400), Some(0), old(86_400)),
            (day.clone(), false, Some(86_399), Some(0), None),
            (day.clone(), false, None, Some(0), None),
            (day, true, Some(90_000), Some(5000), idle(5000)),
            (only_named.clone(), false, Some(9000), Some(9000), None),
            (only_named.clone(), true, Some(9000), Some(9000), idle(9000)),
            // As the original: its age ends a server whatever its kind.
            (only_named, false, Some(90_000), Some(90_000), old(90_000)),
            (only_default.clone(), true, Some(9000), Some(9000), None),
            (only_default, false, Some(9000), Some(9000), idle(9000)),
        ];
        for (rules, named, started, active, verdict) in table {
            let ago = |time: Option<i64>| time.map(|time| at(-time));
            let server = Running { named, started: ago(started), last_activity: ago(active) };
            assert_eq!(rules.judge_server(&server, &[], at(0)), verdict, "{server:?} {rules:?}");
        }
    }

    #[test]
    fn the_most_generous_group_counts() {
        let group_timeouts =
            vec![("short".to_owned(), Some(seconds(60))), ("long".into(), Some(seconds(7200))), ("never".into(), None)];
        let rules = Rules { group_timeouts, ..rules() };
        let table: [(&[&str], Option<i64>); 6] = [
            (&[], Some(3600)),
            (&["other"], Some(3600)),
            (&["short"], Some(60)),
            (&["other", "short", "long"], Some(7200)),
            (&["never", "short"], None),
            (&["short", "never"], None),
        ];
        for (groups, timeout) in table {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            assert_eq!(rules.timeout_for(&groups), timeout.map(seconds), "{groups:?}");
        }
        assert_eq!(rules.shortest_timeout(), seconds(60));
    }

    #[test]
    fn administrators_stay_where_they_are_not_culled_however_old() {
        let kept = Rules { admin_users: false, max_age: Some(seconds(10)), ..rules() };
        let user = |admin| Away { admin, created: Some(at(-9000)), last_activity: Some(at(-5000)) };
        assert_eq!(kept.judge_user(&user(true), &[], at(0)), None);
        assert_eq!(kept.judge_user(&user(false), &[], at(0)), Some(Reason::Idle(seconds(5000))));
        assert_eq!(rules().judge_user(&user(true), &[], at(0)), Some(Reason::Idle(seconds(5000))));
        let never_came = Away { admin: false, created: Some(at(-4000)), last_activity: None };
        assert_eq!(rules().judge_user(&never_came, &[], at(0)), Some(Reason::Idle(seconds(4000))));
        let unknown = Away { admin: false, created: None, last_activity: None };
        assert_eq!(kept.judge_user(&unknown, &[], at(0)), None);
    }

    #[test]
    fn the_end_that_is_told_is_the_end_that_comes() {
        let aged = Rules { max_age: Some(seconds(5000)), ..rules() };
        for (started, active) in [(0, 0), (0, 1000), (0, 4000), (0, 4999)] {
            let server = Running { named: false, started: Some(at(started)), last_activity: Some(at(active)) };
            let end = aged.end_of(&server, &[]).unwrap();
            assert_eq!(aged.judge_server(&server, &[], end.at - seconds(1)), None);
            let reason = aged.judge_server(&server, &[], end.at).unwrap();
            assert_eq!(matches!(reason, Reason::Idle(_)), end.by_idleness, "{reason:?}");
        }
        let of_groups = Rules { group_timeouts: vec![("staff".into(), None)], ..rules() };
        for (created, active) in [(-9000, 0), (-9000, -3000), (-20, -20)] {
            let user = |admin| Away { admin, created: Some(at(created)), last_activity: Some(at(active)) };
            for rules in [rules(), aged.clone(), of_groups.clone()] {
                let end = rules.end_of_user(&user(false), &[]).unwrap();
                assert_eq!(rules.judge_user(&user(false), &[], end.at - seconds(1)), None);
                let reason = rules.judge_user(&user(false), &[], end.at).unwrap();
                assert_eq!(matches!(reason, Reason::Idle(_)), end.by_idleness, "{reason:?}");
                let kept = Rules { admin_users: false, ..rules.clone() };
                assert_eq!(
                    (kept.end_of_user(&user(true), &[]), kept.judge_user(&user(true), &[], at(9999))),
                    (None, None)
                );
            }
            assert_eq!(of_groups.end_of_user(&user(false), &["staff".to_owned()]), None);
        }
        let none = Rules { default_servers: false, ..rules() };
        let server = Running { named: false, started: Some(at(0)), last_activity: None };
        assert_eq!(none.end_of(&server, &[]), None);
        assert_eq!(Rules { timeout: TimeDelta::MAX, ..rules() }.end_of(&server, &[]), None);
    }
}
