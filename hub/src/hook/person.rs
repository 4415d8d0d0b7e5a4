//! What a login method or the hook `post_auth` says of a person, read strictly. What is not understood lets nobody in.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::auth_state::AuthState;
use super::before::refusal;
use crate::config::hub::RoleConfig;

/// The longest name of a group, in characters, as the database keeps it.
pub const LONGEST_GROUP: usize = 255;
/// A person may be in so many groups.
const MOST_GROUPS: usize = 10_000;

/// What was said.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// It is they.
    Person(Person),
    /// Not let in; with a sentence for the person, where one was given.
    Refuse(Option<String>),
}

/// A person, as somebody else knows them. What is absent was not said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Person {
    /// The name, not normalised.
    pub name: Option<String>,
    /// Whether to administer the hub.
    pub admin: Option<bool>,
    /// The groups to be in, and no others.
    pub groups: Option<Vec<String>>,
    /// The roles to have, and no others.
    pub roles: Option<Vec<RoleConfig>>,
    /// What is to be kept for later.
    pub auth_state: Option<AuthState>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    admin: Option<bool>,
    groups: Option<Vec<String>>,
    roles: Option<Vec<RoleConfig>>,
    auth_state: Option<Value>,
}

/// Reads an answer. The error says what is wrong with it, for the operator.
pub fn read(mut answer: Map<String, Value>) -> Result<Said, String> {
    if let Some(sentence) = refusal(&mut answer)? {
        return Ok(Said::Refuse(sentence));
    }
    let written: Written = serde_json::from_value(Value::Object(answer)).map_err(|error| error.to_string())?;
    let groups = written.groups.as_deref().unwrap_or_default();
    if groups.len() > MOST_GROUPS {
        return Err(format!("more than {MOST_GROUPS} groups"));
    }
    if let Some(group) = groups.iter().find(|group| !is_group(group)) {
        return Err(format!("{:?} cannot be a group", callout::excerpt(group.as_bytes(), 64)));
    }
    let auth_state = written.auth_state.map(AuthState);
    let Written { name, admin, groups, roles, .. } = written;
    Ok(Said::Person(Person { name, admin, groups, roles, auth_state }))
}

fn is_group(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= LONGEST_GROUP && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_about_a_person_is_read_strictly() {
        let read = |answer: Value| read(answer.as_object().unwrap().clone());
        let ada = Person {
            name: Some("ada".into()),
            admin: Some(true),
            groups: Some(vec!["a b".into()]),
            roles: Some(vec![RoleConfig { name: "tutor".into(), ..RoleConfig::default() }]),
            auth_state: Some(AuthState(json!({"token": 1}))),
        };
        let told = json!({"name": "ada", "admin": true, "groups": ["a b"], "roles": [{"name": "tutor"}], "auth_state": {"token": 1}});
        let nulls = json!({"name": null, "admin": null, "groups": null, "auth_state": null, "refuse": null});
        let table = [
            (told, Ok(Said::Person(ada))),
            (nulls, Ok(Said::Person(Person::default()))),
            (json!({}), Ok(Said::Person(Person::default()))),
            (json!({"refuse": true, "name": "ada"}), Ok(Said::Refuse(None))),
            (json!({"refuse": "Come back on Monday."}), Ok(Said::Refuse(Some("Come back on Monday.".into())))),
        ];
        for (answer, expected) in table {
            assert_eq!(read(answer.clone()), expected, "{answer}");
        }
        let bad = [
            json!({"refuse": []}),
            json!({"name": 1}),
            json!({"admin": "yes"}),
            json!({"roles": ["tutor"]}),
            json!({"roles": [{"scopes": []}]}),
            json!({"groups": "users"}),
            json!({"groups": [""]}),
            json!({"groups": ["a\nb"]}),
            json!({"groups": ["x".repeat(256)]}),
            json!({"user": "ada"}),
        ];
        for answer in bad {
            assert!(read(answer.clone()).is_err(), "{answer}");
        }
    }
}
