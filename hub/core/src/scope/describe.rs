//! Scopes in words, as the consent page shows them.

use super::catalogue::Catalogue;
use super::text::{Filter, Kind, RawScope};

/// One scope in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub scope: String,
    /// What it allows.
    pub allows: String,
    /// What it is limited to; empty if nothing.
    pub filter: String,
}

/// Describes scopes to the user of this name, one by one and without their sub-scopes.
pub fn describe<'r>(
    catalogue: &Catalogue,
    scopes: impl IntoIterator<Item = &'r RawScope>,
    user: &str,
) -> Vec<Description> {
    let describe = |scope: &RawScope| Description {
        scope: scope.name.as_str().to_owned(),
        allows: catalogue.description(&scope.name).to_owned(),
        filter: filter_in_words(&scope.filter, user),
    };
    scopes.into_iter().map(describe).collect()
}

fn filter_in_words(filter: &Filter, user: &str) -> String {
    match filter {
        Filter::None => String::new(),
        Filter::Holder(Kind::User) => "only you".to_owned(),
        Filter::One(Kind::User, name) if name == user => "only you".to_owned(),
        Filter::Holder(kind) => format!("only this {}", kind.as_str()),
        Filter::One(Kind::Group, name) => format!("users in group {name}"),
        Filter::One(kind, name) => format!("{} {name}", kind.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_told_to_the_one_who_consents() {
        let catalogue = Catalogue::default();
        let table = [
            ("servers", ""),
            ("servers!user", "only you"),
            ("servers!user=alice", "only you"),
            ("servers!user=bob", "user bob"),
            ("servers!group=g", "users in group g"),
            ("access:servers!server", "only this server"),
            ("access:services!service=svc", "service svc"),
        ];
        for (scope, expected) in table {
            let told = describe(&catalogue, [&catalogue.parse(scope).unwrap()], "alice");
            assert_eq!(told[0].filter, expected, "{scope}");
            assert!(!told[0].allows.is_empty());
        }
    }
}
