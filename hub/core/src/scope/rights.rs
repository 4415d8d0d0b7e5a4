//! The rights of one request: scopes, expanded and resolved. Made anew for each request, never kept.

use std::collections::BTreeMap;

use super::catalogue::Scope;
use super::reach::{Filters, Reach, Target};
use super::set::ScopeSet;
use super::text::{Filter, Kind, RawScope};

/// What a request may do. Starts with nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// Held without filter.
    all: ScopeSet,
    /// Held for one thing, named as in a filter. No set is empty, none repeats what is held without filter.
    only: BTreeMap<(Kind, String), ScopeSet>,
}

/// The answer to "may I?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allowed,
    /// No, and the answer is 404: held for something else, so that existence stays unsaid.
    Hidden,
    /// No, and the answer is 403.
    Forbidden,
}

impl Rights {
    /// Answers for one scope. `Target::Hub` is never hidden.
    pub fn may(&self, scope: Scope, target: &Target<'_>) -> Verdict {
        self.may_any(&[scope], target)
    }

    /// Answers for several scopes of which one is enough.
    pub fn may_any(&self, scopes: &[Scope], target: &Target<'_>) -> Verdict {
        if scopes.iter().any(|&scope| self.covers(scope, target)) {
            return Verdict::Allowed;
        }
        let held_elsewhere = scopes.iter().any(|&scope| self.only.values().any(|held| held.contains(scope)));
        if *target != Target::Hub && held_elsewhere { Verdict::Hidden } else { Verdict::Forbidden }
    }

    /// Whether a scope is held for this target, without filter or by one.
    pub fn covers(&self, scope: Scope, target: &Target<'_>) -> bool {
        let by_filter =
            |((kind, name), held): (&(Kind, String), &ScopeSet)| held.contains(scope) && target.is_within(*kind, name);
        self.all.contains(scope) || self.only.iter().any(by_filter)
    }

    /// Whether a scope is held without filter.
    pub fn holds(&self, scope: Scope) -> bool {
        self.all.contains(scope)
    }

    /// How far a scope reaches; lists restrict their query by it.
    pub fn reach(&self, scope: Scope) -> Reach {
        if self.holds(scope) {
            return Reach::All;
        }
        let mut filters = Filters::default();
        for ((kind, name), _) in self.only.iter().filter(|(_, held)| held.contains(scope)) {
            filters.add(*kind, name.clone());
        }
        if filters == Filters::default() { Reach::Nothing } else { Reach::Only(filters) }
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.only.is_empty()
    }

    /// All scopes as texts, sorted, as `GET /user` sends them.
    pub fn scopes(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.raw().map(|scope| scope.to_string()).collect();
        texts.sort();
        texts
    }

    /// All scopes, each with its filter, in no useful order.
    pub fn raw(&self) -> impl Iterator<Item = RawScope> {
        let all = self.all.iter().map(|name| RawScope { name, filter: Filter::None });
        let only = self.only.iter().flat_map(|((kind, thing), held)| {
            held.iter().map(|name| RawScope { name, filter: Filter::One(*kind, thing.clone()) })
        });
        all.chain(only)
    }

    /// Adds other rights to these.
    pub fn extend(&mut self, other: Rights) {
        self.add_all(&other.all);
        for ((kind, name), held) in other.only {
            self.add(kind, name, &held);
        }
    }

    /// The scopes that are not literally among `other`'s.
    pub(super) fn without(&self, other: &Rights) -> Rights {
        let mut rest = Rights { all: self.all.difference(&other.all), only: BTreeMap::new() };
        for (thing, held) in &self.only {
            let left = other.only.get(thing).map_or_else(|| held.clone(), |theirs| held.difference(theirs));
            rest.add(thing.0, thing.1.clone(), &left);
        }
        rest
    }

    pub(super) fn add_all(&mut self, scopes: &ScopeSet) {
        self.all.extend(scopes);
        self.only.retain(|_, held| {
            *held = held.difference(scopes);
            !held.is_empty()
        });
    }

    pub(super) fn add(&mut self, kind: Kind, name: String, scopes: &ScopeSet) {
        let fresh = scopes.difference(&self.all);
        if !fresh.is_empty() {
            self.only.entry((kind, name)).or_default().extend(&fresh);
        }
    }

    pub(super) fn all(&self) -> &ScopeSet {
        &self.all
    }

    pub(super) fn only(&self) -> &BTreeMap<(Kind, String), ScopeSet> {
        &self.only
    }
}
