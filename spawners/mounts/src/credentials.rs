//! Keys of object stores: who gives them, and the file through which a helper reads the newest.
//!
//! The file is in the format of a `credential_process`, and the process is `cat`. So the helper asks for keys when those
//! it has expire, and needs neither the hub nor any network for that; the hub replaces the file long before.

use std::io;
use std::path::Path;

use async_trait::async_trait;
use hub_core::clock::Time;
use hub_core::secret::Secret;
use serde_json::{Map, json};
use spawners::{Identity, ObjectStore};

use crate::place;

/// Who gives keys.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Returns keys for the person of a server, good for a while yet.
    async fn keys(&self, server: &Identity, store: &ObjectStore) -> Result<Keys, NoKeys>;
}

/// Keys of an object store.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Names the key.
    pub access_key: String,
    /// What requests are signed with.
    pub secret_key: Secret,
    /// What goes along with keys that expire.
    pub session_token: Option<Secret>,
    /// From when on they are refused; absent for keys that last.
    pub expires_at: Option<Time>,
}

/// There are no keys now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct NoKeys(
    /// A sentence for the person.
    pub String,
);

impl Keys {
    /// Writes the file that a helper reads.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut object = Map::new();
        object.insert("Version".into(), json!(1));
        object.insert("AccessKeyId".into(), json!(self.access_key));
        object.insert("SecretAccessKey".into(), json!(self.secret_key.expose()));
        if let Some(token) = &self.session_token {
            object.insert("SessionToken".into(), json!(token.expose()));
        }
        if let Some(end) = self.expires_at {
            object.insert("Expiration".into(), json!(end.format("%Y-%m-%dT%H:%M:%SZ").to_string()));
        }
        place::write(path, &serde_json::to_vec(&object)?)
    }

    /// When others should be asked for: halfway to the end of these.
    pub(crate) fn renew_at(&self, now: Time) -> Option<Time> {
        self.expires_at.map(|end| now + (end - now) / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, TimeDelta};

    fn keys(expires_at: Option<Time>) -> Keys {
        let session_token = expires_at.map(|_| Secret::new("token"));
        Keys { access_key: "AKIA".into(), secret_key: Secret::new("s3cret"), session_token, expires_at }
    }

    #[test]
    fn the_file_is_what_a_credential_process_prints_and_for_the_hub_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        keys(DateTime::from_timestamp(1_700_000_000, 5)).write(&path).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let expected = json!({
            "Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "s3cret", "SessionToken": "token",
            "Expiration": "2023-11-14T22:13:20Z",
        });
        assert_eq!(read, expected);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn keys_are_renewed_at_half_of_their_life_and_lasting_ones_never() {
        let now = DateTime::UNIX_EPOCH;
        assert_eq!(keys(Some(now + TimeDelta::hours(1))).renew_at(now), Some(now + TimeDelta::minutes(30)));
        assert_eq!(keys(None).renew_at(now), None);
    }
}
