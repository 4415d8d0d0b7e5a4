//! What two sets of rights have in common, across kinds of filters: a group's member, a user's server.

use std::collections::{BTreeMap, BTreeSet};

use super::rights::Rights;
use super::set::ScopeSet;
use super::text::Kind;

/// Which users are in which groups, as far as it was looked up. Users not in it are in no group.
#[derive(Debug, Clone, Default)]
pub struct Membership(BTreeMap<String, BTreeSet<String>>);

impl Membership {
    /// Knows of no groups: enough where [`questions`] is empty.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds the groups of a user.
    pub fn learn(&mut self, user: impl Into<String>, groups: impl IntoIterator<Item = String>) {
        self.0.entry(user.into()).or_default().extend(groups);
    }

    fn groups_of(&self, user: &str) -> impl Iterator<Item = &String> {
        self.0.get(user).into_iter().flatten()
    }
}

/// Names the users whose groups decide about the intersection of these rights.
pub fn questions(a: &Rights, b: &Rights) -> BTreeSet<String> {
    let mut users = BTreeSet::new();
    for (narrow, wide) in [(a, b), (b, a)] {
        let of_groups = wide.only().iter().filter(|((kind, _), _)| *kind == Kind::Group).map(|(_, held)| held);
        let of_groups: Vec<&ScopeSet> = of_groups.collect();
        for ((kind, name), held) in narrow.only() {
            let Some(user) = owner_of(*kind, name) else { continue };
            let open = held.difference(&covered(wide, *kind, name, &Membership::none()));
            if of_groups.iter().any(|group| !group.intersection(&open).is_empty()) {
                users.insert(user.to_owned());
            }
        }
    }
    users
}

impl Rights {
    /// What both allow. The result never reaches beyond either. `members` must answer [`questions`]; what it does
    /// not know is left out.
    pub fn intersect(&self, other: &Rights, members: &Membership) -> Rights {
        let mut both = Rights::default();
        both.add_all(&self.all().intersection(other.all()));
        for (narrow, wide) in [(self, other), (other, self)] {
            for ((kind, name), held) in narrow.only() {
                both.add(*kind, name.clone(), &held.intersection(&covered(wide, *kind, name, members)));
            }
        }
        both
    }

    /// The scopes of `wanted`, as texts, that these rights do not cover. Nobody may give what he lacks.
    pub fn lacks(&self, wanted: &Rights, members: &Membership) -> Vec<String> {
        wanted.without(&wanted.intersect(self, members)).scopes()
    }
}

/// The scopes that are held for this thing, or for something that contains it.
fn covered(rights: &Rights, kind: Kind, name: &str, members: &Membership) -> ScopeSet {
    let mut scopes = rights.all().clone();
    let mut add = |kind, name: &str| {
        if let Some(held) = rights.only().get(&(kind, name.to_owned())) {
            scopes.extend(held);
        }
    };
    add(kind, name);
    if let Some(user) = owner_of(kind, name) {
        add(Kind::User, user);
        members.groups_of(user).for_each(|group| add(Kind::Group, group));
    }
    scopes
}

/// The user that a user or a server belongs to.
fn owner_of(kind: Kind, name: &str) -> Option<&str> {
    match kind {
        Kind::User => Some(name),
        Kind::Server => Some(name.split_once('/').map_or(name, |(owner, _)| owner)),
        Kind::Group | Kind::Service => None,
    }
}
