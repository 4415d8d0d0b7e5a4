//! The rights of one request: scopes, expanded and resolved. Made anew for each request, never kept.

use std::collections::BTreeMap;

use super::catalogue::Scope;
use super::reach::{Reach, Target};
use super::text::{Kind, ScopeName};

/// What a request may do. Starts with nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// Never holds `Reach::Nothing` nor empty filters.
    held: BTreeMap<ScopeName, Reach>,
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
        if scopes.iter().any(|&scope| self.reach(scope).covers(target)) {
            return Verdict::Allowed;
        }
        let held_elsewhere = scopes.iter().any(|&scope| *self.reach(scope) != Reach::Nothing);
        if *target != Target::Hub && held_elsewhere { Verdict::Hidden } else { Verdict::Forbidden }
    }

    /// How far a scope reaches; lists restrict their query by it.
    pub fn reach(&self, scope: Scope) -> &Reach {
        self.held.get(&ScopeName::Known(scope)).unwrap_or(&Reach::Nothing)
    }

    /// Whether a scope is held without filter.
    pub fn holds(&self, scope: Scope) -> bool {
        *self.reach(scope) == Reach::All
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// All scopes as texts, sorted, as `GET /user` sends them.
    pub fn scopes(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for (name, reach) in &self.held {
            match reach {
                Reach::Nothing => {}
                Reach::All => texts.push(name.as_str().to_owned()),
                Reach::Only(filters) => {
                    for kind in [Kind::User, Kind::Group, Kind::Server, Kind::Service] {
                        let named = filters.of(kind).iter();
                        texts.extend(named.map(|one| format!("{}!{}={one}", name.as_str(), kind.as_str())));
                    }
                }
            }
        }
        texts.sort();
        texts
    }

    /// Adds other rights to these.
    pub fn extend(&mut self, other: Rights) {
        for (name, reach) in other.held {
            self.add(name, reach);
        }
    }

    pub(super) fn add(&mut self, name: ScopeName, reach: Reach) {
        match &reach {
            Reach::Nothing => return,
            Reach::Only(filters) if filters.is_empty() => return,
            Reach::Only(_) | Reach::All => {}
        }
        self.held.entry(name).or_insert(Reach::Nothing).join(reach);
    }

    pub(super) fn held(&self) -> &BTreeMap<ScopeName, Reach> {
        &self.held
    }
}
