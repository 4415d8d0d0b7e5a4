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
    /// Whether nothing is named but things of these kinds. A list that can filter by some kinds only refuses
    /// the others with 403.
    pub fn are_only(&self, kinds: &[Kind]) -> bool {
        let of = |kind, names: &BTreeSet<String>| names.is_empty() || kinds.contains(&kind);
        of(Kind::User, &self.users)
            && of(Kind::Group, &self.groups)
            && of(Kind::Server, &self.servers)
            && of(Kind::Service, &self.services)
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
    /// Whether the scope is good for this target. For one question alone, `Rights::covers` is cheaper.
    pub fn covers(&self, target: &Target<'_>) -> bool {
        let Reach::Only(filters) = self else { return *self == Reach::All };
        let within = |kind, names: &BTreeSet<String>| names.iter().any(|name| target.is_within(kind, name));
        within(Kind::User, &filters.users)
            || within(Kind::Group, &filters.groups)
            || within(Kind::Server, &filters.servers)
            || within(Kind::Service, &filters.services)
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

impl Target<'_> {
    /// Whether a scope that is held for this thing is good for the target.
    pub(super) fn is_within(&self, kind: Kind, thing: &str) -> bool {
        let user_or_group = |user: &str, groups: &[String]| match kind {
            Kind::User => thing == user,
            Kind::Group => groups.iter().any(|group| group == thing),
            Kind::Server | Kind::Service => false,
        };
        match *self {
            Target::Hub => false,
            Target::User { name, groups } => user_or_group(name, groups),
            Target::Server { user, name, .. } if kind == Kind::Server => thing.split_once('/') == Some((user, name)),
            Target::Server { user, groups, .. } => user_or_group(user, groups),
            Target::Group(name) => kind == Kind::Group && thing == name,
            Target::Service(name) => kind == Kind::Service && thing == name,
        }
    }
}
