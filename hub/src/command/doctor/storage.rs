//! Object stores: whether they answer, and whether their STS reads tokens of people. A role is taken with a person's token.
//! Where the doctor is given none, it shows one that is none, and a store that works refuses it as such. Some then tell that
//! the role is not there; Ceph looks at the token first.

use std::path::Path;

use hub_core::secret::Secret;

use super::finding::Finding;
use crate::command::database::now;
use crate::config::{Config, StorageConfig};
use crate::login::oidc::http::Client;
use crate::storage::sts::{self, Ask, NO_ROLE, Trouble};

/// Three parts, as a token has, that nobody signed.
const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzcGVjb2xhLWRvY3RvciJ9.c3BlY29sYS1kb2N0b3I";

/// What to do about a certificate.
const UNTRUSTED: &str = "Name its authorities in ca_file of the storage, or install them on this machine";

/// Asks each store, with the token in a file if there is one.
pub async fn check(config: &Config, token: Option<&Path>) -> Vec<Finding> {
    if config.storage.is_empty() {
        return vec![Finding::skipped("object stores", "none is configured")];
    }
    let token = match token {
        None => None,
        Some(file) => match tokio::fs::read_to_string(file).await {
            Ok(text) => Some(Secret::new(text.trim())),
            Err(error) => {
                let what = format!("{} cannot be read: {error}", file.display());
                return vec![Finding::bad("token", what, "Name a file such as BEARER_TOKEN_FILE of a lab")];
            }
        },
    };
    let mut findings = Vec::new();
    for storage in &config.storage {
        findings.extend(of_one(storage, token.as_ref()).await);
    }
    findings
}

async fn of_one(storage: &StorageConfig, token: Option<&Secret>) -> Vec<Finding> {
    let (url, nobodys) = (storage.sts_endpoint(), Secret::new(TOKEN));
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
    let (mut findings, tried) = (Vec::new(), token.is_some());
    for role_arn in roles {
        let seconds = if token.is_some() { storage.duration.duration().as_secs() } else { 900 };
        let token = token.unwrap_or(&nobodys);
        let ask = Ask { url: &url, token, role_arn, session: "specola-doctor", seconds };
        let answer = sts::assume(&client, &ask, now()).await.map(drop);
        let role = role_arn.rsplit('/').next().filter(|name| !name.is_empty());
        let about =
            role.map_or_else(|| format!("store {}", storage.name), |role| format!("{role} at {}", storage.name));
        findings.push(judge(about, &url, role_arn, answer, tried));
    }
    if url.trim_end_matches('/') != storage.endpoint() {
        findings.push(objects(storage, &client).await);
    }
    findings
}

/// Whether objects can be asked for, where that is elsewhere. Whatever it answers, it is there.
async fn objects(storage: &StorageConfig, client: &Client) -> Finding {
    let (about, url) = (format!("objects of {}", storage.name), storage.endpoint());
    match client.get(&url, None).await.map_err(Trouble::from) {
        Ok(_) => Finding::good(about, format!("{url} answers")),
        Err(Trouble::Untrusted(what)) => {
            Finding::bad(about, format!("the certificate of {url} is not trusted: {what}"), UNTRUSTED)
        }
        Err(what) => Finding::bad(about, format!("{url}: {what}"), "Is it running, and endpoint right?"),
    }
}

/// `tried`: the token is somebody's.
fn judge(about: String, url: &str, role_arn: &str, answer: Result<(), Trouble>, tried: bool) -> Finding {
    match answer {
        Ok(()) if tried => Finding::good(about, format!("{url} gives keys")),
        Ok(()) => {
            Finding::bad(about, "gives keys for a token that nobody signed", "Do not use it: it checks no tokens")
        }
        Err(Trouble::Denied { code, words }) if code.contains(NO_ROLE) => {
            let remedy = format!("Make the role {role_arn} there, or write another one into storage.roles");
            Finding::bad(about, format!("the role is not there: {code} {words}"), remedy)
        }
        Err(Trouble::Denied { code, words }) if tried => {
            let remedy = "Does the store know the identity provider, is the token for the audience that it wants, and does \
                          the role trust both? Is the role there, and may it be taken for `duration` seconds?";
            Finding::bad(about, format!("{url} refuses the token: {code} {words}"), remedy)
        }
        Err(Trouble::Denied { code, .. }) => {
            Finding::good(about, format!("{url} refuses what is no token ({code}); --token takes the role"))
        }
        Err(Trouble::Away(what)) => {
            Finding::bad(about, format!("{url} does not answer: {what}"), "Is it running, and sts_endpoint right?")
        }
        Err(Trouble::Untrusted(what)) => {
            Finding::bad(about, format!("the certificate of {url} is not trusted: {what}"), UNTRUSTED)
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
        let judge =
            |answer, tried| judge("store".to_owned(), "http://s3/", "arn:aws:iam:::role/a", answer, tried).level;
        let level = |answer| judge(answer, false);
        assert_eq!(level(denied("InvalidIdentityToken")), Level::Ok);
        assert_eq!(level(denied("AccessDenied")), Level::Ok);
        assert_eq!(level(denied("NoSuchEntity")), Level::Bad);
        assert_eq!(level(Err(Trouble::Away("gone".to_owned()))), Level::Bad);
        assert_eq!(level(Err(Trouble::Untrusted("UnknownIssuer".to_owned()))), Level::Bad);
        assert_eq!(level(Err(Trouble::Broken("<html>".to_owned()))), Level::Bad);
        assert_eq!(level(Ok(())), Level::Bad);
        // The token is somebody's.
        assert_eq!(judge(Ok(()), true), Level::Ok);
        assert_eq!(judge(denied("AccessDenied"), true), Level::Bad);
    }
}
