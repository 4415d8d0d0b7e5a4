//! Who is let in: JupyterHub 6's rules, as pure functions.
//!
//! One deviation: JupyterHub lets `admin_users` in only when `allowed_users` is set too. Here they always are.

use std::collections::{BTreeMap, BTreeSet};

use hub_core::name::UserName;
use regex::Regex;

use crate::config::AuthConfig;

/// The lists and rules of the configuration, with the names in them normalised.
#[derive(Debug)]
pub struct Rules {
    allowed: BTreeSet<String>,
    admins: BTreeSet<String>,
    blocked: BTreeSet<String>,
    allow_all: bool,
    allow_existing: bool,
    map: BTreeMap<String, String>,
    pattern: Option<Regex>,
}

/// The two names of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// What was typed, in small letters: whose password is asked for.
    pub typed: String,
    /// The name in the hub, after `username_map`.
    pub hub: UserName,
}

/// What the rules say of somebody who is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Let in; `admin` is `Some(true)` for those in `admin_users`, else not said.
    Allowed {
        /// Whether the rules make an administrator of them.
        admin: Option<bool>,
    },
    /// In `blocked_users`.
    Blocked,
    /// Nothing lets them in.
    NotListed,
}

impl Rules {
    /// Takes the rules out of the configuration. The error is that of `username_pattern`.
    pub fn new(auth: &AuthConfig) -> Result<Self, regex::Error> {
        let map = auth.username_map.clone();
        let names = |list: &BTreeSet<String>| list.iter().map(|name| UserName::normalise(name, &map)).collect();
        // JupyterHub matches from the beginning, not to the end.
        let pattern = auth.username_pattern.as_deref().filter(|pattern| !pattern.is_empty());
        Ok(Self {
            allowed: names(&auth.allowed_users),
            admins: names(&auth.admin_users),
            blocked: names(&auth.blocked_users),
            allow_all: auth.allows_all(),
            allow_existing: auth.allows_existing_users(),
            pattern: pattern.map(|pattern| Regex::new(&format!("^(?:{pattern})"))).transpose()?,
            map,
        })
    }

    /// The names behind what was typed; `None` when it cannot be a user name.
    pub fn names(&self, typed: &str) -> Option<Names> {
        let typed = typed.to_lowercase();
        let hub = UserName::parse(&UserName::normalise(&typed, &self.map)).ok()?;
        let fits = self.fits(&hub);
        // The typed name is parsed as well: it is given to PAM and to the log.
        (fits && UserName::parse(&typed).is_ok()).then_some(Names { typed, hub })
    }

    /// Whether a name fits the configured pattern.
    pub fn fits(&self, name: &UserName) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(name.as_str()))
    }

    /// Decides about somebody who is proven. `known`: in the database. `admin_by_group`: the method says so.
    pub fn verdict(&self, name: &UserName, known: bool, admin_by_group: bool) -> Verdict {
        let name = name.as_str();
        let admin = self.admins.contains(name).then_some(true);
        if self.blocked.contains(name) {
            return Verdict::Blocked;
        }
        let allowed = self.allow_all || self.allowed.contains(name) || (self.allow_existing && known);
        if allowed || admin.is_some() || admin_by_group { Verdict::Allowed { admin } } else { Verdict::NotListed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::auth::Authenticator;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn verdict(auth: &AuthConfig, name: &str, known: bool) -> Verdict {
        let rules = Rules::new(auth).unwrap();
        rules.verdict(&rules.names(name).unwrap().hub, known, false)
    }

    #[test]
    fn the_rules_are_jupyterhubs() {
        const YES: Verdict = Verdict::Allowed { admin: None };
        const ADMIN: Verdict = Verdict::Allowed { admin: Some(true) };
        const NO: Verdict = Verdict::NotListed;
        let auth = AuthConfig { authenticator: Authenticator::Pam, ..AuthConfig::default() };
        let listed = AuthConfig { allowed_users: set(&["Ada"]), admin_users: set(&["root"]), ..auth.clone() };
        let strict = AuthConfig { allow_existing_users: Some(false), ..listed.clone() };
        let all = AuthConfig { allow_all: Some(true), blocked_users: set(&["eve"]), ..auth.clone() };
        let existing = AuthConfig { allow_existing_users: Some(true), ..auth.clone() };
        let admins = AuthConfig { admin_users: set(&["root"]), ..auth.clone() };
        let blocked = AuthConfig { blocked_users: set(&["ada"]), ..listed.clone() };
        // Configuration, name, in the database, verdict.
        let table = [
            ("nothing set", &auth, "ada", false, NO),
            ("nothing set, known", &auth, "ada", true, NO),
            ("listed", &listed, "ada", false, YES),
            ("listed, in capitals", &listed, "ADA", false, YES),
            ("listed: others not", &listed, "eve", false, NO),
            ("a list makes existing users allowed", &listed, "eve", true, YES),
            ("unless that is taken back", &strict, "eve", true, NO),
            ("a list lets administrators in", &listed, "root", false, ADMIN),
            ("so does no list", &admins, "root", false, ADMIN),
            ("all", &all, "ada", false, YES),
            ("all but the blocked", &all, "eve", true, Verdict::Blocked),
            ("existing", &existing, "ada", true, YES),
            ("existing: others not", &existing, "ada", false, NO),
            ("blocked wins over listed", &blocked, "ada", true, Verdict::Blocked),
        ];
        for (case, auth, name, known, expected) in table {
            assert_eq!(verdict(auth, name, known), expected, "{case}");
        }
    }

    #[test]
    fn the_methods_differ_in_whom_they_let_in_by_default() {
        let of = |authenticator, known| {
            verdict(&AuthConfig { authenticator, ..AuthConfig::default() }, "ada", known) == Verdict::NotListed
        };
        assert!(!of(Authenticator::Demo, false));
        assert!(of(Authenticator::Pam, true));
        assert!(of(Authenticator::Password, false) && !of(Authenticator::Password, true));
    }

    #[test]
    fn an_administrator_by_group_is_let_in_unless_blocked() {
        let auth =
            AuthConfig { authenticator: Authenticator::Pam, blocked_users: set(&["eve"]), ..AuthConfig::default() };
        let rules = Rules::new(&auth).unwrap();
        let name = |name| rules.names(name).unwrap().hub;
        assert_eq!(rules.verdict(&name("ada"), false, true), Verdict::Allowed { admin: None });
        assert_eq!(rules.verdict(&name("eve"), false, true), Verdict::Blocked);
    }

    #[test]
    fn names_are_made_small_mapped_and_checked() {
        let auth = AuthConfig {
            username_map: BTreeMap::from([
                ("ada".to_owned(), "lovelace".to_owned()),
                ("bad".to_owned(), "a/b".to_owned()),
            ]),
            username_pattern: Some("[a-z]+$".into()),
            ..AuthConfig::default()
        };
        let rules = Rules::new(&auth).unwrap();
        let names = rules.names("Ada").unwrap();
        assert_eq!((names.typed.as_str(), names.hub.as_str()), ("ada", "lovelace"));
        for name in ["", "a/b", "..", " ada", "bad", "ada1", "a\0"] {
            assert_eq!(rules.names(name), None, "{name:?}");
        }
    }
}
