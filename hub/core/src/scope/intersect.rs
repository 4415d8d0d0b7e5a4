//! What two sets of rights have in common, across kinds of filters: a group's member, a user's server.

use std::collections::{BTreeMap, BTreeSet};

use super::reach::{Filters, Reach};
use super::rights::Rights;

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

    fn in_any(&self, user: &str, groups: &BTreeSet<String>) -> bool {
        self.0.get(user).is_some_and(|of| !of.is_disjoint(groups))
    }
}

/// Names the users whose groups decide about the intersection of these rights.
pub fn questions(a: &Rights, b: &Rights) -> BTreeSet<String> {
    let mut users = BTreeSet::new();
    for (name, reach) in a.held() {
        if let (Reach::Only(mine), Some(Reach::Only(theirs))) = (reach, b.held().get(name)) {
            ask(mine, theirs, &mut users);
            ask(theirs, mine, &mut users);
        }
    }
    users
}

fn ask(a: &Filters, b: &Filters, users: &mut BTreeSet<String>) {
    if b.groups.is_empty() {
        return;
    }
    users.extend(a.users.difference(&b.users).cloned());
    let owners = a.servers.difference(&b.servers).map(|server| owner_of(server));
    users.extend(owners.filter(|&owner| !b.users.contains(owner)).map(str::to_owned));
}

impl Rights {
    /// What both allow. The result never reaches beyond either. `members` must answer [`questions`]; what it does
    /// not know is left out.
    pub fn intersect(&self, other: &Rights, members: &Membership) -> Rights {
        let mut both = Rights::default();
        for (name, mine) in self.held() {
            let Some(theirs) = other.held().get(name) else { continue };
            let reach = match (mine, theirs) {
                (Reach::All, reach) | (reach, Reach::All) => reach.clone(),
                (Reach::Only(mine), Reach::Only(theirs)) => Reach::Only(common(mine, theirs, members)),
                (Reach::Nothing, _) | (_, Reach::Nothing) => Reach::Nothing,
            };
            both.add(name.clone(), reach);
        }
        both
    }

    /// The scopes of `wanted`, as texts, that these rights do not cover. Nobody may give what he lacks.
    pub fn lacks(&self, wanted: &Rights, members: &Membership) -> Vec<String> {
        let covered: BTreeSet<String> = wanted.intersect(self, members).scopes().into_iter().collect();
        wanted.scopes().into_iter().filter(|scope| !covered.contains(scope)).collect()
    }
}

fn common(a: &Filters, b: &Filters, members: &Membership) -> Filters {
    let mut both = Filters {
        groups: a.groups.intersection(&b.groups).cloned().collect(),
        services: a.services.intersection(&b.services).cloned().collect(),
        ..Filters::default()
    };
    for (narrow, wide) in [(a, b), (b, a)] {
        let covers = |user: &str| wide.users.contains(user) || members.in_any(user, &wide.groups);
        both.users.extend(narrow.users.iter().filter(|user| covers(user)).cloned());
        let servers = narrow.servers.iter();
        both.servers.extend(servers.filter(|&one| wide.servers.contains(one) || covers(owner_of(one))).cloned());
    }
    both
}

fn owner_of(server: &str) -> &str {
    server.split_once('/').map_or(server, |(owner, _)| owner)
}
