//! Object stores: whether they answer, and whether their STS reads tokens of people. A role is taken with a person's token,
//! which the doctor has not: it shows one that is none, and a store that works refuses it as such.

use hub_core::secret::Secret;

use super::finding::Finding;
use crate::command::database::now;
use crate::config::{Config, StorageConfig};
use crate::login::oidc::http::Client;
use crate::storage::sts::{self, Ask, Trouble};

/// Three parts, as a token has, that nobody signed.
const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzcGVjb2xhLWRvY3RvciJ9.c3BlY29sYS1kb2N0b3I";

/// Asks each store.
pub async fn check(config: &Config) -> Vec<Finding> {
    if config.storage.is_empty() {
        return vec![Finding::skipped("object stores", "none is configured")];
    }
    let mut findings = Vec::new();
    for storage in &config.storage {
        findings.extend(of_one(storage).await);
    }
    findings
}

async fn of_one(storage: &StorageConfig) -> Vec<Finding> {
    let (url, token) = (storage.sts_endpoint(), Secret::new(TOKEN));
    let client = match Client::new(storage.ca_file.as_deref(), storage.timeout.duration()) {
        Ok(client) => client.accepting("application/xml"),
        Err(what) => return vec![Finding::bad(format!("store {}", storage.name), what, "")],
    };
    // Several groups may share a role; a store without roles is asked once, for none.
    let mut roles: Vec<&str> = storage.roles.iter().map(|role| role.role_arn.as_str()).collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() {
        roles.push("");
    }
    let mut findings = Vec::new();
    for role_arn in roles {
        let ask = Ask { url: &url, token: &token, role_arn, session: "specola-doctor", seconds: 900 };
        let answer = sts::assume(&client, &ask, now()).await.map(drop);
        let role = role_arn.rsplit('/').next().filter(|name| !name.is_empty());
        let about =
            role.map_or_else(|| format!("store {}", storage.name), |role| format!("{role} at {}", storage.name));
        findings.push(judge(about, &url, role_arn, answer));
    }
    findings
}

fn judge(about: String, url: &str, role_arn: &str, answer: Result<(), Trouble>) -> Finding {
    match answer {
        Ok(()) => {
            Finding::bad(about, "gives keys for a token that nobody signed", "Do not use it: it checks no tokens")
        }
        Err(Trouble::Denied { code, words }) if code.contains("NoSuchEntity") => {
            let remedy = format!("Make the role {role_arn} there, or write another one into storage.roles");
            Finding::bad(about, format!("the role is not there: {code} {words}"), remedy)
        }
        Err(Trouble::Denied { code, .. }) => Finding::good(about, format!("{url} refuses what is no token ({code})")),
        Err(Trouble::Away(what)) => {
            Finding::bad(about, format!("{url} does not answer: {what}"), "Is it running, and sts_endpoint right?")
        }
        Err(Trouble::Broken(what)) => {
            let remedy =
                "Does it do STS? MinIO wants an OpenID provider (MINIO_IDENTITY_OPENID_*), Ceph rgw_s3_auth_use_sts";
            Finding::bad(about, format!("{url} answers otherwise than an STS: {what}"), remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_store_that_refuses_what_is_no_token_is_well() {
        let denied = |code: &str| Err(Trouble::Denied { code: code.to_owned(), words: "so".to_owned() });
        let level = |answer| judge("store".to_owned(), "http://s3/", "arn:aws:iam:::role/a", answer).level;
        assert_eq!(level(denied("InvalidIdentityToken")), Level::Ok);
        assert_eq!(level(denied("AccessDenied")), Level::Ok);
        assert_eq!(level(denied("NoSuchEntity")), Level::Bad);
        assert_eq!(level(Err(Trouble::Away("gone".to_owned()))), Level::Bad);
        assert_eq!(level(Err(Trouble::Broken("<html>".to_owned()))), Level::Bad);
        assert_eq!(level(Ok(())), Level::Bad);
    }
}
