//! What a client may be granted of the scopes it asks for: first as written, then as expanded.

use std::collections::BTreeSet;

use super::catalogue::Catalogue;
use super::expand::{Client, Owner};
use super::intersect::Membership;
use super::rights::Rights;
use super::text::RawScope;

/// The outcome of a request for scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// To be granted, in short form where the whole of it is allowed.
    pub allowed: BTreeSet<RawScope>,
    /// Asked for, and not or not wholly allowed.
    pub refused: BTreeSet<RawScope>,
}

/// Compares requested scopes with those held, both as written (`!user`, `self`), for a token of `owner` to `client`.
/// A requested scope that only partly is held is granted in that part, and counted as refused.
pub fn resolve_requested(
    catalogue: &Catalogue,
    requested: &BTreeSet<RawScope>,
    have: &BTreeSet<RawScope>,
    owner: Owner<'_>,
    client: Client<'_>,
    members: &Membership,
) -> Grant {
    let mut allowed: BTreeSet<RawScope> = requested.intersection(have).cloned().collect();
    let mut refused = BTreeSet::new();
    let held = Rights::expand(catalogue, have, owner, client);
    for scope in requested.difference(have) {
        let granted = Rights::expand(catalogue, &allowed, owner, client);
        let fresh = Rights::expand(catalogue, [scope], owner, client).without(&granted);
        let common = fresh.intersect(&held, members);
        if common == fresh {
            allowed.insert(scope.clone());
            continue;
        }
        refused.insert(scope.clone());
        allowed.extend(common.raw());
    }
    Grant { allowed, refused }
}
