//! Who is let in and who administers: JupyterHub 6's rules and those of groups, as pure functions.
//!
//! Two deviations. JupyterHub lets `admin_users` in only when `allowed_users` is set too; here they always are. People of
//! an identity provider are let in for being known only where `allow_existing_users` is written: otherwise a list of users
//! beside a rule about groups would let everybody stay who ever was in one.

use std::collections::{BTreeMap, BTreeSet};

use hub_core::name::UserName;
use hub_core::policy::group::GroupRule;
use regex::Regex;

use super::oidc::Claims;
use super::oidc::group;
use crate::config::{AuthConfig, ProviderConfig};

/// The lists and rules of the configuration, with the names in them normalised.
#[derive(Debug)]
pub struct Rules {
    allowed: BTreeSet<String>,
    admins: BTreeSet<String>,
    blocked: BTreeSet<String>,
    groups: GroupRules,
    allow_all: bool,
    allow_existing: bool,
    of_providers: BTreeMap<String, ProviderRules>,
    /// What is written, with no method's default, for people of providers.
    written: Written,
    map: BTreeMap<String, String>,
    pattern: Option<Regex>,
}

/// Rules about groups.
#[derive(Debug, Default)]
struct GroupRules {
    allowed: Vec<GroupRule>,
    admins: Vec<GroupRule>,
}

/// Rules for the people of one provider.
#[derive(Debug)]
struct ProviderRules {
    groups: GroupRules,
    owners: BTreeSet<String>,
    allow_all: bool,
}

#[derive(Debug, Clone, Copy)]
struct Written {
    allow_all: bool,
    allow_existing: bool,
}

/// The two names of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// What was typed, in small letters: whose password is asked for.
    pub typed: String,
    /// The name in the hub, after `username_map`.
    pub hub: UserName,
}

/// Somebody who is proven, as far as the rules look.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The name in the hub.
    pub name: &'a UserName,
    /// Whether the database knows them.
    pub known: bool,
    /// Whether they administer the hub, where the login method says so.
    pub admin: Option<bool>,
    /// Their groups, where the login method tells them.
    pub groups: Option<&'a [String]>,
    /// The provider they come from, and its number of them.
    pub account: Option<(&'a str, &'a str)>,
}

/// What the rules say of somebody who is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Let in.
    Allowed {
        /// Whether to administer the hub; `None` where nobody says.
        admin: Option<bool>,
    },
    /// In `blocked_users`, or under a name that is no person's.
    Blocked,
    /// Nothing lets them in.
    NotListed,
}

impl Rules {
    /// Takes the rules out of the configuration. The error is that of `username_pattern`.
    pub fn new(auth: &AuthConfig) -> Result<Self, regex::Error> {
        let map = auth.username_map.clone();
        let names = |list: &BTreeSet<String>| -> BTreeSet<String> {
            list.iter().map(|name| UserName::normalise(name, &map)).collect()
        };
        // JupyterHub matches from the beginning, not to the end.
        let pattern = auth.username_pattern.as_deref().filter(|pattern| !pattern.is_empty());
        Ok(Self {
            allowed: names(&auth.allowed_users),
            admins: names(&auth.admin_users),
            blocked: names(&auth.blocked_users).into_iter().chain(auth.reserved_users.iter().cloned()).collect(),
            groups: GroupRules::new(&auth.allowed_groups, &auth.admin_groups),
            allow_all: auth.allows_all(),
            allow_existing: auth.allows_existing_users(),
            of_providers: auth.providers.iter().map(|one| (one.name.clone(), ProviderRules::new(one))).collect(),
            written: Written {
                allow_all: auth.allow_all == Some(true),
                allow_existing: auth.allow_existing_users == Some(true),
            },
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

    /// Decides about somebody who is proven.
    pub fn verdict(&self, who: &Candidate<'_>) -> Verdict {
        let name = who.name.as_str();
        if self.blocked.contains(name) {
            return Verdict::Blocked;
        }
        let own = who.account.and_then(|(provider, _)| self.of_providers.get(provider));
        let is_owner = who.account.zip(own).is_some_and(|((_, subject), own)| own.owners.contains(subject));
        let rules = [Some(&self.groups), own.map(|own| &own.groups)];
        let rules = || rules.into_iter().flatten();
        let is_in = |rule: &GroupRule| who.groups.is_some_and(|groups| groups.iter().any(|group| rule.admits(group)));
        let admin = match self.admins.contains(name) || is_owner {
            true => Some(true),
            // Who is in none of the groups any more administers no more.
            false if who.groups.is_some() && rules().any(|rules| !rules.admins.is_empty()) => {
                who.admin.or(Some(rules().flat_map(|rules| &rules.admins).any(is_in)))
            }
            false => who.admin,
        };
        let everybody = match who.account {
            Some(_) => self.written.allow_all || own.is_some_and(|own| own.allow_all),
            None => self.allow_all,
        };
        let known = who.known && if who.account.is_some() { self.written.allow_existing } else { self.allow_existing };
        let by_group = rules().flat_map(|rules| &rules.allowed).any(is_in);
        let allowed = everybody || known || by_group || self.allowed.contains(name) || admin == Some(true);
        if allowed { Verdict::Allowed { admin } } else { Verdict::NotListed }
    }

    /// Decides about somebody of a provider, at a login and again whenever the provider was asked anew.
    pub fn readmit(&self, name: &UserName, known: bool, claims: &Claims) -> Verdict {
        let account = Some((claims.provider.as_str(), claims.subject.as_str()));
        let groups = Some(claims.groups.as_slice());
        self.verdict(&Candidate { name, known, admin: None, groups, account })
    }

    /// The rules of which one would let in somebody of a provider by a group, each once.
    pub fn admitting(&self, provider: &str) -> Vec<&GroupRule> {
        let own = self.of_providers.get(provider).map(|own| &own.groups);
        let rules = [Some(&self.groups), own].into_iter().flatten();
        rules.flat_map(|rules| &rules.allowed).collect::<BTreeSet<&GroupRule>>().into_iter().collect()
    }
}

impl GroupRules {
    fn new(allowed: &BTreeSet<String>, admins: &BTreeSet<String>) -> Self {
        Self::within(allowed, admins, &[])
    }

    /// A rule may be written as the entitlement that the provider writes: it is read as the same group.
    fn within(allowed: &BTreeSet<String>, admins: &BTreeSet<String>, namespaces: &[&str]) -> Self {
        let rule = |text: &String| {
            let named = group::names(text, namespaces).into_iter().next();
            GroupRule::new(named.as_ref().unwrap_or(text))
        };
        let rules = |list: &BTreeSet<String>| list.iter().map(rule).collect();
        Self { allowed: rules(allowed), admins: rules(admins) }
    }
}

impl ProviderRules {
    fn new(config: &ProviderConfig) -> Self {
        Self {
            groups: GroupRules::within(&config.allowed_groups, &config.admin_groups, &config.namespaces()),
            owners: config.owner_subjects.clone(),
            allow_all: config.allow_all,
        }
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
        let name = rules.names(name).unwrap().hub;
        rules.verdict(&Candidate { name: &name, known, admin: None, groups: None, account: None })
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
        let by_group = |name| {
            let name = rules.names(name).unwrap().hub;
            rules.verdict(&Candidate { name: &name, known: false, admin: Some(true), groups: None, account: None })
        };
        assert_eq!(by_group("ada"), Verdict::Allowed { admin: Some(true) });
        assert_eq!(by_group("eve"), Verdict::Blocked);
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
