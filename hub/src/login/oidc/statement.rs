//! What a provider says of somebody's groups, or roles, place by place; and what it means that a place says nothing.
//!
//! A provider that tells groups in the ID token alone need not send one with a refresh: silence of that kind takes nothing
//! away. A place that was asked and leaves the claim out says that there are none.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Where names are told, in the order in which they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The answer of the userinfo endpoint.
    Userinfo,
    /// The ID token.
    IdToken,
    /// The access token, where it is a JWT of the provider's.
    AccessToken,
    /// An address of its own, with a list of them.
    Asked,
}

/// The names each place told; `None` where it has no such claim. A place that gave no answer at all is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Statement(BTreeMap<Source, Option<Vec<String>>>);

impl Statement {
    /// Adds what a place told.
    pub fn add(&mut self, source: Source, names: Option<Vec<String>>) {
        self.0.insert(source, names);
    }

    /// Every name, each once.
    pub fn names(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        self.0.values().flatten().flatten().filter(|name| seen.insert(*name)).cloned().collect()
    }

    /// With what was told before by places that gave no answer now. It stands until a place that did answer takes it back:
    /// one that told the name before and does no longer, or that told nothing at all before and does now.
    pub fn after(mut self, before: &Self) -> Self {
        let is_taken_back = |name: &String| {
            self.0.iter().any(|(source, now)| {
                let names_it = now.as_ref().is_some_and(|names| names.contains(name));
                match before.0.get(source).and_then(Option::as_ref) {
                    Some(then) => then.contains(name) && !names_it,
                    None => now.is_some() && !names_it,
                }
            })
        };
        let silent = before.0.iter().filter(|(source, _)| !self.0.contains_key(source));
        let stands: Vec<_> = silent
            .map(|(source, then)| {
                let left =
                    then.as_ref().map(|names| names.iter().filter(|name| !is_taken_back(name)).cloned().collect());
                (*source, left)
            })
            .collect();
        self.0.extend(stands);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(told: &[(Source, Option<&[&str]>)]) -> Statement {
        let mut statement = Statement::default();
        for (source, names) in told {
            statement.add(*source, names.map(|names| names.iter().map(|&name| name.to_owned()).collect()));
        }
        statement
    }

    #[test]
    fn who_says_nothing_takes_nothing_away_and_who_speaks_does() {
        use Source::{AccessToken, Asked, IdToken, Userinfo};
        let id_token_alone = statement(&[(IdToken, Some(&["a", "b"])), (Userinfo, None), (AccessToken, None)]);
        let userinfo_alone = statement(&[(IdToken, None), (Userinfo, Some(&["a"]))]);
        let both = statement(&[(IdToken, Some(&["a"])), (Userinfo, Some(&["a"]))]);
        let each_its_own = statement(&[(IdToken, Some(&["a", "b"])), (Userinfo, Some(&["a"]))]);
        let jwt_alone = statement(&[(IdToken, None), (Userinfo, None), (AccessToken, Some(&["a"]))]);
        let asked = statement(&[(IdToken, None), (Userinfo, None), (Asked, Some(&["a"]))]);
        let nothing = statement(&[(IdToken, None), (Userinfo, None)]);
        type Case<'a> = (&'a str, &'a Statement, &'a [(Source, Option<&'a [&'a str]>)], &'a [&'a str]);
        let table: &[Case] = &[
            ("no ID token, and the others never spoke of groups", &id_token_alone, &[(Userinfo, None)], &["a", "b"]),
            ("the same with a JWT", &id_token_alone, &[(Userinfo, None), (AccessToken, None)], &["a", "b"]),
            ("an ID token without the claim", &id_token_alone, &[(Userinfo, None), (IdToken, None)], &[]),
            ("an ID token with an empty one", &id_token_alone, &[(Userinfo, None), (IdToken, Some(&[]))], &[]),
            ("an ID token with others", &id_token_alone, &[(Userinfo, None), (IdToken, Some(&["c"]))], &["c"]),
            ("userinfo speaks for the first time, of none", &id_token_alone, &[(Userinfo, Some(&[]))], &[]),
            ("userinfo speaks for the first time", &id_token_alone, &[(Userinfo, Some(&["b"]))], &["b"]),
            ("userinfo leaves its claim out, as IAM does for none", &userinfo_alone, &[(Userinfo, None)], &[]),
            ("userinfo tells another", &userinfo_alone, &[(Userinfo, Some(&["b"]))], &["b"]),
            ("both told it, and the one that speaks does no longer", &both, &[(Userinfo, None)], &[]),
            ("both told it, and the one that speaks still does", &both, &[(Userinfo, Some(&["a"]))], &["a"]),
            ("what the ID token alone told stays", &each_its_own, &[(Userinfo, Some(&["a"]))], &["a", "b"]),
            ("and what userinfo told too is lost with it", &each_its_own, &[(Userinfo, Some(&[]))], &["b"]),
            ("the access token is none that can be read now", &jwt_alone, &[(Userinfo, None)], &["a"]),
            ("the access token has none now", &jwt_alone, &[(Userinfo, None), (AccessToken, None)], &[]),
            ("the list that is asked for", &asked, &[(Userinfo, None), (Asked, Some(&[]))], &[]),
            ("no group before, none now", &nothing, &[(Userinfo, None)], &[]),
            ("no group before, one now", &nothing, &[(Userinfo, Some(&["a"]))], &["a"]),
        ];
        for (case, before, now, expected) in table {
            assert_eq!(statement(now).after(before).names(), *expected, "{case}");
        }
    }

    #[test]
    fn what_was_taken_back_does_not_come_again_at_the_next_refresh() {
        use Source::{IdToken, Userinfo};
        let login = statement(&[(IdToken, Some(&["a", "b"])), (Userinfo, Some(&["a"]))]);
        let first = statement(&[(Userinfo, Some(&[]))]).after(&login);
        assert_eq!(statement(&[(Userinfo, Some(&[]))]).after(&first).names(), ["b"]);
        let kept = serde_json::to_value(&first).unwrap();
        assert_eq!(kept, serde_json::json!({ "userinfo": [], "id_token": ["b"] }));
        assert_eq!(serde_json::from_value::<Statement>(kept).unwrap(), first);
    }
}
