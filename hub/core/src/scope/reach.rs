//! How far one scope reaches: everything, some named things, or nothing; and what a request is about.

use std::collections::BTreeSet;

use super::text::Kind;

/// The things a filtered scope names, joined: one match is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    /// User names.
    pub users: BTreeSet<String>,
    /// Group names; they also cover the groups' members and those members' servers.
    pub groups: BTreeSet<String>,
    /// Servers as `user/server`.
    pub servers: BTreeSet<String>,
    /// Service names.
    pub services: BTreeSet<String>,
}

impl Filters {
    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty() && self.servers.is_empty() && self.services.is_empty()
    }

    /// The names of one kind.
    pub fn of(&self, kind: Kind) -> &BTreeSet<String> {
        match kind {
            Kind::User => &self.users,
            Kind::Group => &self.groups,
            Kind::Server => &self.servers,
            Kind::Service => &self.services,
        }
    }

    pub(super) fn add(&mut self, kind: Kind, name: String) {
        let names = match kind {
            Kind::User => &mut self.users,
            Kind::Group => &mut self.groups,
            Kind::Server => &mut self.servers,
            Kind::Service => &mut self.services,
        };
        names.insert(name);
    }

    fn covers(&self, target: &Target<'_>) -> bool {
        let user_or_group = |user: &str, groups: &[String]| {
            self.users.contains(user) || groups.iter().any(|group| self.groups.contains(group))
        };
        match *target {
            Target::Hub => false,
            Target::User { name, groups } => user_or_group(name, groups),
            Target::Server { user, name, groups } => {
                self.servers.contains(&format!("{user}/{name}")) || user_or_group(user, groups)
            }
            Target::Group(name) => self.groups.contains(name),
            Target::Service(name) => self.services.contains(name),
        }
    }
}

/// How far a scope reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// The scope is not held.
    Nothing,
    /// Held for some things only.
    Only(Filters),
    /// Held without filter.
    All,
}

impl Reach {
    /// Whether the scope is good for this target.
    pub fn covers(&self, target: &Target<'_>) -> bool {
        match self {
            Reach::Nothing => false,
            Reach::Only(filters) => filters.covers(target),
            Reach::All => true,
        }
    }

    pub(super) fn join(&mut self, other: Reach) {
        match (&mut *self, other) {
            (Reach::All, _) | (_, Reach::Nothing) => {}
            (Reach::Only(mine), Reach::Only(more)) => {
                mine.users.extend(more.users);
                mine.groups.extend(more.groups);
                mine.servers.extend(more.servers);
                mine.services.extend(more.services);
            }
            (this, other) => *this = other,
        }
    }
}

/// What a request is about, as its path tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// Nothing in particular: only an unfiltered scope will do.
    Hub,
    /// A user; `groups` are the names of the groups it is in.
    User { name: &'a str, groups: &'a [String] },
    /// A server of a user; an empty `name` is the default server, `groups` are the user's.
    Server { user: &'a str, name: &'a str, groups: &'a [String] },
    /// A group.
    Group(&'a str),
    /// A service.
    Service(&'a str),
}
