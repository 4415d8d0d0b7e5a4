//! A set of scopes without filters: one bit for each of JupyterHub's, names for custom ones.

use std::collections::BTreeSet;

use super::catalogue::Scope;
use super::text::ScopeName;

const _: () = assert!(Scope::ALL.len() <= 64, "a scope must be a bit of the set");

/// Scopes that are held for the same thing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ScopeSet {
    known: u64,
    custom: BTreeSet<String>,
}

impl ScopeSet {
    pub fn insert(&mut self, scope: ScopeName) {
        match scope {
            ScopeName::Known(scope) => self.known |= bit(scope),
            ScopeName::Custom(name) => {
                self.custom.insert(name);
            }
        }
    }

    pub fn remove(&mut self, scope: Scope) {
        self.known &= !bit(scope);
    }

    pub fn contains(&self, scope: Scope) -> bool {
        self.known & bit(scope) != 0
    }

    pub fn contains_custom(&self, name: &str) -> bool {
        self.custom.contains(name)
    }

    pub fn is_empty(&self) -> bool {
        self.known == 0 && self.custom.is_empty()
    }

    pub fn extend(&mut self, other: &ScopeSet) {
        self.known |= other.known;
        self.custom.extend(other.custom.iter().cloned());
    }

    pub fn intersection(&self, other: &ScopeSet) -> ScopeSet {
        let custom = self.custom.intersection(&other.custom).cloned().collect();
        ScopeSet { known: self.known & other.known, custom }
    }

    pub fn difference(&self, other: &ScopeSet) -> ScopeSet {
        let custom = self.custom.difference(&other.custom).cloned().collect();
        ScopeSet { known: self.known & !other.known, custom }
    }

    pub fn iter(&self) -> impl Iterator<Item = ScopeName> {
        let known = Scope::ALL.iter().filter(|&&scope| self.contains(scope)).map(|&scope| ScopeName::Known(scope));
        known.chain(self.custom.iter().map(|name| ScopeName::Custom(name.clone())))
    }
}

fn bit(scope: Scope) -> u64 {
    1 << (scope as u8)
}
