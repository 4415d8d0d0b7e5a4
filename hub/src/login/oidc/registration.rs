//! Registering the hub at a provider (RFC 7591), and completing a client that somebody else registered, with its
//! registration access token (RFC 7592). The shapes are those of INDIGO IAM.
//!
//! The provider's certificate is always checked: who answers in its place would get the token.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use http::{Method, StatusCode};
use hub_core::secret::Secret;
use serde_json::{Value, json};

use super::discovery::is_same_issuer;
use super::http::{Answer, Client};
use super::tokens::excerpt;
use super::trouble::Trouble;
use crate::config::address::is_loopback;

/// What the provider keeps about a client by itself, and a change must not contain (RFC 7592, section 2.2).
const OF_THE_PROVIDER: [&str; 4] =
    ["registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"];

/// A client to register.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What people read at the provider; 4 to 256 characters.
    pub name: String,
    /// Where people are sent back to.
    pub callback: String,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Whom the provider's administrators write to.
    pub contacts: Vec<String>,
}

/// A client as the provider has it.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Its name.
    pub client_id: String,
    /// Its secret; none for a public client.
    pub client_secret: Option<Secret>,
    /// What permits to read and change it.
    pub access_token: Option<Secret>,
    /// Where people may be sent back to.
    pub redirect_uris: Vec<String>,
    /// What it may ask for.
    pub scopes: BTreeSet<String>,
}

impl Registered {
    /// Which of these scopes the client may not ask for: providers leave out without a word what they keep back.
    pub fn dropped<'a>(&self, wanted: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        wanted.into_iter().filter(|scope| !self.scopes.contains(*scope)).collect()
    }

    /// Reads an answer. Without a token of its own, the one that asked goes on being good.
    fn read(answer: &Value, token: Option<&Secret>) -> Result<Self, Trouble> {
        let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let Some(client_id) = text("client_id") else {
            return Err(Trouble::Broken("a client without client_id".to_owned()));
        };
        Ok(Self {
            client_id: client_id.to_owned(),
            client_secret: text("client_secret").map(Secret::new),
            access_token: text("registration_access_token").map(Secret::new).or_else(|| token.cloned()),
            redirect_uris: addresses(answer),
            scopes: text("scope").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        })
    }

    /// As it is written to a file. For the one place that does that.
    pub fn to_file(&self, issuer: &str) -> String {
        let scope: Vec<&str> = self.scopes.iter().map(String::as_str).collect();
        let written = json!({
            "issuer": issuer,
            "client_id": self.client_id,
            "client_secret": self.client_secret.as_ref().map(Secret::expose),
            "registration_access_token": self.access_token.as_ref().map(Secret::expose),
            "redirect_uris": self.redirect_uris,
            "scope": scope.join(" "),
        });
        format!("{written:#}\n")
    }

    /// Reads what `to_file` has written, when it is about this client of this provider.
    pub fn of_file(text: &str, issuer: &str, client_id: &str) -> Option<Self> {
        let written: Value = serde_json::from_str(text).ok()?;
        let is_its = written.get("issuer")?.as_str().is_some_and(|own| is_same_issuer(own, issuer));
        Self::read(&written, None).ok().filter(|client| is_its && client.client_id == client_id)
    }
}

/// Where clients of a provider are registered.
pub struct Registrar {
    client: Client,
    endpoint: String,
}

impl Registrar {
    /// Asks the provider where clients are registered.
    pub async fn of(issuer: &str, ca_file: Option<&Path>, limit: Duration) -> Result<Self, Trouble> {
        check_encrypted(issuer)?;
        let client = Client::new(ca_file, limit).map_err(Trouble::Broken)?;
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let said = client.get_object(&address).await?;
        let text = |name: &str| said.get(name).and_then(Value::as_str);
        let own = text("issuer").unwrap_or_default();
        if !is_same_issuer(own, issuer) {
            return Err(Trouble::Broken(format!("it calls itself {own:?}, and is called {issuer:?} here")));
        }
        let Some(endpoint) = text("registration_endpoint") else {
            return Err(Trouble::Broken("it registers no clients (registration_endpoint)".to_owned()));
        };
        check_encrypted(endpoint)?;
        Ok(Self { client, endpoint: endpoint.trim_end_matches('/').to_owned() })
    }

    /// Registers a client; `initial` is the token that permits it, where the provider asks for one.
    pub async fn register(&self, wanted: &Wanted, initial: Option<&Secret>) -> Result<Registered, Trouble> {
        let metadata = json!({
            "client_name": wanted.name,
            "redirect_uris": [wanted.callback],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "client_secret_basic",
            "code_challenge_method": "S256",
            "scope": wanted.scopes.join(" "),
            "contacts": wanted.contacts,
        });
        let bearer = initial.map(Secret::expose);
        let answer = self.client.send_object(Method::POST, &self.endpoint, &metadata, bearer).await?;
        Registered::read(&object(&answer)?, None)
    }

    /// Adds an address to a client, if it is not there, and reads the client. Addresses of others stay.
    pub async fn repair(&self, client_id: &str, token: &Secret, callback: &str) -> Result<Registered, Trouble> {
        let id: String = url::form_urlencoded::byte_serialize(client_id.as_bytes()).collect();
        let url = format!("{}/{id}", self.endpoint);
        let mut read = object(&self.client.get(&url, Some(token.expose())).await?)?;
        let before = Registered::read(&read, Some(token))?;
        if before.client_id != client_id {
            return Err(Trouble::Broken(format!("asked for {client_id:?} it tells of {:?}", before.client_id)));
        }
        let is_there = before.redirect_uris.iter().any(|address| address == callback);
        if is_there && before.client_secret.is_some() {
            return Ok(before);
        }
        let mut all = before.redirect_uris.clone();
        if !is_there {
            all.push(callback.to_owned());
        }
        if let Value::Object(members) = &mut read {
            members.retain(|name, _| !OF_THE_PROVIDER.contains(&name.as_str()));
            members.insert("redirect_uris".to_owned(), all.into());
        }
        // The token may have been changed by the reading: the one of the answer counts.
        let token = before.access_token.as_ref().unwrap_or(token);
        let answer = self.client.send_object(Method::PUT, &url, &read, Some(token.expose())).await?;
        let mut after = Registered::read(&object(&answer)?, Some(token))?;
        // A provider that tells a secret once told it before.
        after.client_secret = after.client_secret.or(before.client_secret);
        if !after.redirect_uris.iter().any(|address| address == callback) {
            return Err(Trouble::Broken(format!("it did not take the address {callback}")));
        }
        Ok(after)
    }
}

fn addresses(client: &Value) -> Vec<String> {
    let list = client.get("redirect_uris").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// An address that a token may be sent to: over TLS, or on this machine.
fn check_encrypted(address: &str) -> Result<(), Trouble> {
    let url = url::Url::parse(address).map_err(|_| Trouble::Broken(format!("{address:?} is no address")))?;
    let is_here = url.host_str().is_some_and(|host| is_loopback(host.trim_matches(['[', ']'])));
    if url.scheme() == "https" || (url.scheme() == "http" && is_here) {
        return Ok(());
    }
    Err(Trouble::Broken(format!("a token would travel unencrypted to {address}")))
}

/// The object of an answer that says yes, or what it refuses.
fn object(answer: &Answer) -> Result<Value, Trouble> {
    if answer.is_out_of_order() {
        return Err(Trouble::Unreachable(format!("it answers {}", answer.status)));
    }
    let body = serde_json::from_slice::<Value>(&answer.body).ok().filter(Value::is_object);
    if matches!(answer.status, StatusCode::OK | StatusCode::CREATED) {
        return body.ok_or_else(|| Trouble::Broken("an answer that is no JSON object".to_owned()));
    }
    let word = |name: &str| body.as_ref().and_then(|body| body.get(name)).and_then(Value::as_str).map(excerpt);
    Err(Trouble::Denied {
        code: word("error").unwrap_or_else(|| answer.status.to_string()),
        description: word("error_description").unwrap_or_else(|| "without a reason".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_tls_or_stays_on_this_machine() {
        for (address, is_good) in [
            ("https://iam.example.org/", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080", true),
            ("http://localhost/", true),
            ("http://iam.example.org", false),
            ("http://127.0.0.1.example.org", false),
            ("ftp://127.0.0.1", false),
            ("iam", false),
        ] {
            assert_eq!(check_encrypted(address).is_ok(), is_good, "{address}");
        }
    }

    #[test]
    fn scopes_that_are_kept_back_are_told() {
        let answer = json!({ "client_id": "c", "scope": "openid profile" });
        let client = Registered::read(&answer, None).unwrap();
        assert_eq!(
            client.dropped(["openid", "wlcg.groups", "profile", "offline_access"]),
            ["wlcg.groups", "offline_access"]
        );
        assert!(client.client_secret.is_none() && client.access_token.is_none());
        assert!(Registered::read(&json!({ "client_secret": "s" }), None).is_err());
    }

    #[test]
    fn what_is_written_to_a_file_is_read_again_for_the_same_client_only() {
        let answer =
            json!({ "client_id": "c", "client_secret": "s", "registration_access_token": "t", "scope": "a b" });
        let text = Registered::read(&answer, None).unwrap().to_file("https://iam.example.org");
        let read = |issuer, client| Registered::of_file(&text, issuer, client);
        let same = read("https://iam.example.org/", "c").unwrap();
        assert!(same.client_secret.unwrap().matches("s") && same.access_token.unwrap().matches("t"));
        assert!(read("https://other.example.org", "c").is_none() && read("https://iam.example.org", "d").is_none());
    }
}
