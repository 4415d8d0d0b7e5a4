//! Whose something in the cluster is that outlives servers: by the account on it, and by the name where no account of this
//! hub's is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use spawners::Identity;

use crate::label;

/// How something stands to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tie {
    /// It is theirs, whatever they are called by now.
    Own,
    /// It is somebody else's, whatever that one is called by now.
    Foreign,
    /// It has their name, and no account. So is what KubeSpawner made.
    Named,
    /// It has another name, and no account.
    Misnamed,
    /// Nothing on it tells.
    Open,
}

impl Tie {
    /// How something stands to the person of a server.
    pub fn of(metadata: &ObjectMeta, server: &Identity) -> Self {
        Self::to(metadata, &server.hub, server.account.as_deref(), &server.user)
    }

    /// How something stands to an account of a hub's, which has this name.
    pub fn to(metadata: &ObjectMeta, hub: &str, account: Option<&str>, user: &str) -> Self {
        let label = |name: &str| metadata.labels.as_ref().and_then(|labels| labels.get(name)).map(String::as_str);
        // What numbers another hub gives its accounts says nothing about those of this one.
        if label(label::HUB) == Some(hub)
            && let (Some(written), Some(account)) = (label(label::USER), account)
        {
            return if written == account { Self::Own } else { Self::Foreign };
        }
        match metadata.annotations.as_ref().and_then(|annotations| annotations.get(label::USERNAME)) {
            Some(name) if name == user => Self::Named,
            Some(_) => Self::Misnamed,
            None => Self::Open,
        }
    }

    /// Whether the person may have it, where it is what a server of theirs asks for.
    pub fn may_have(self) -> bool {
        matches!(self, Self::Own | Self::Named | Self::Open)
    }

    /// Whether it is said to be the person's.
    pub fn is_theirs(self) -> bool {
        matches!(self, Self::Own | Self::Named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_account_comes_before_a_name() {
        let table = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let tie = |labels: &[(&str, &str)], name: Option<&str>| {
            let annotations = name.map(|name| table(&[(label::USERNAME, name)]));
            let metadata = ObjectMeta { labels: Some(table(labels)), annotations, ..ObjectMeta::default() };
            Tie::to(&metadata, "h", Some("5-1"), "anna")
        };
        let of = |hub: &'static str, account: &'static str| [(label::HUB, hub), (label::USER, account)];
        assert_eq!(tie(&of("h", "5-1"), Some("ann")), Tie::Own);
        assert_eq!(tie(&of("h", "5-2"), Some("anna")), Tie::Foreign, "the number alone may be given again");
        assert_eq!(tie(&of("other", "5-2"), Some("anna")), Tie::Named, "another hub's numbers are no numbers here");
        assert_eq!(tie(&of("other", "5-1"), Some("eve")), Tie::Misnamed);
        assert_eq!(tie(&[(label::HUB, "h")], Some("anna")), Tie::Named, "made before accounts were written");
        assert_eq!(tie(&[], None), Tie::Open);
    }
}
