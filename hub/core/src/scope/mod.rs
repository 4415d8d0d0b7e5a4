//! Scopes: what exists, what each contains, and what a request may do with those it holds.
//!
//! Nothing is looked up here: whose groups matter is asked for by [`questions`], and the answer comes as a [`Membership`].

mod catalogue;
mod describe;
mod expand;
mod fields;
mod intersect;
mod reach;
mod request;
mod rights;
mod set;
mod share;
mod text;
#[cfg(test)]
mod vectors;

pub use catalogue::{Catalogue, Custom, Scope};
pub use describe::{Description, describe};
pub use expand::{Client, Owner, Share, access_scopes, identify_anybody, identify_scopes};
pub use fields::{GroupFields, ServiceFields, UserFields};
pub use intersect::{Membership, questions};
pub use reach::{Filters, Reach, Target};
pub use request::{Grant, resolve_requested};
pub use rights::{Rights, Verdict};
pub use text::{Filter, Kind, RawScope, ScopeError, ScopeName};
