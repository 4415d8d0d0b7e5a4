//! The hook `post_auth`: asked about everybody who has proven who they are and may log in.

use std::net::IpAddr;

use callout::Callout;
use serde_json::{Value, json};

use super::{Identity, Outcome, Refusal};
use crate::config::HooksConfig;
use crate::hook::person::{self, Person, Said};

/// The hook, where one is configured.
#[derive(Debug, Default)]
pub struct PostAuth {
    callout: Option<Callout>,
    send_auth_state: bool,
}

impl PostAuth {
    /// Takes it out of the configuration.
    pub fn new(config: &HooksConfig) -> Self {
        Self { callout: config.post_auth.callout(), send_auth_state: config.send_auth_state }
    }

    /// Asks about somebody. No answer, or one that is not understood, lets nobody in; the error is for the log.
    pub async fn ask(&self, identity: Identity, address: Option<IpAddr>) -> Result<Outcome, String> {
        let Some(callout) = &self.callout else { return Ok(Outcome::Welcome(identity)) };
        let mut question = json!({
            "specola": callout::VERSION,
            "call": "post_auth",
            "name": identity.name.as_str(),
            "admin": identity.admin,
            "groups": identity.groups,
            "address": address,
        });
        if self.send_auth_state {
            question["auth_state"] = identity.auth_state.as_ref().map_or(Value::Null, |state| state.0.clone());
        }
        let said = |what: String| format!("hooks.post_auth: {what}");
        let answer = callout.ask(&question).await.map_err(|trouble| said(trouble.to_string()))?;
        match person::read(answer).map_err(|what| said(format!("the answer is not understood ({what})")))? {
            Said::Refuse(sentence) => {
                tracing::warn!(name = identity.name.as_str(), ?sentence, "login refused by the hook post_auth");
                Ok(Outcome::Refused(sentence.map_or(Refusal::NotAllowed, Refusal::Said)))
            }
            Said::Person(person) => changed(identity, person).map(Outcome::Welcome).map_err(said),
        }
    }
}

/// Lays what the hook said over who somebody is. Who it is stays: the allow rules have judged that name.
fn changed(identity: Identity, said: Person) -> Result<Identity, String> {
    if said.name.as_deref().is_some_and(|name| name != identity.name.as_str()) {
        return Err("it changes the name, which no rule has looked at".to_owned());
    }
    Ok(Identity {
        admin: said.admin.or(identity.admin),
        groups: said.groups.or(identity.groups),
        roles: said.roles.or(identity.roles),
        auth_state: said.auth_state.or(identity.auth_state),
        ..identity
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_core::name::UserName;

    #[test]
    fn a_hook_changes_rights_and_groups_but_not_the_name() {
        let ada = Identity {
            name: UserName::parse("ada").unwrap(),
            admin: None,
            groups: Some(vec!["a".into()]),
            roles: None,
            must_change_password: true,
            auth_state: None,
            account: None,
        };
        let said = |name: Option<&str>| Person {
            name: name.map(str::to_owned),
            admin: Some(true),
            groups: Some(vec![]),
            ..Person::default()
        };
        let after = changed(ada.clone(), said(Some("ada"))).unwrap();
        assert_eq!(after, Identity { admin: Some(true), groups: Some(vec![]), ..ada.clone() });
        assert_eq!(changed(ada.clone(), Person::default()).unwrap(), ada);
        assert!(changed(ada, said(Some("eve"))).is_err());
    }
}
