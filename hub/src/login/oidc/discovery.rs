//! What a provider says of itself: its endpoints and the keys it signs with. Asked when it is first needed, kept for
//! some minutes, asked by one at a time; what was kept goes on being good while the provider is down.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use openidconnect::core::CoreJsonWebKeySet;
use serde::Deserialize;
use serde_json::Value;

use super::http::Client;
use super::trouble::Trouble;
use crate::config::ProviderConfig;
use crate::config::address::HttpUrl;

/// A description is asked for anew after this time. IAM says five minutes.
const DESCRIPTION: Duration = Duration::from_secs(600);
/// Keys are asked for anew after this time.
const KEYS: Duration = Duration::from_secs(3600);
/// A key that is not among the known ones is looked for no more often than this.
const UNKNOWN_KEY: Duration = Duration::from_secs(10);
/// After a failure nobody else waits for the next one within this time.
const PAUSE: Duration = Duration::from_secs(2);

/// The description, as far as it is of use.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Description {
    /// How the provider names itself.
    pub issuer: String,
    /// Where a login begins.
    pub authorization_endpoint: String,
    /// Where tokens are given.
    pub token_endpoint: String,
    /// Who somebody is.
    pub userinfo_endpoint: Option<String>,
    /// The keys.
    pub jwks_uri: Option<String>,
    /// Where people log out.
    pub end_session_endpoint: Option<String>,
    /// What may be asked for; empty when it is not told.
    #[serde(default)]
    pub scopes_supported: Vec<String>,
    /// How the secret may be sent; empty when it is not told.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
}

struct Kept<T> {
    value: Arc<T>,
    at: Instant,
}

/// One thing that is asked for and kept.
struct Keeping<T> {
    kept: ArcSwapOption<Kept<T>>,
    /// Whoever holds it asks; the others wait for what it brings.
    turn: tokio::sync::Mutex<()>,
    failed: Mutex<Option<(Instant, Trouble)>>,
}

impl<T> Default for Keeping<T> {
    fn default() -> Self {
        Self { kept: ArcSwapOption::empty(), turn: tokio::sync::Mutex::new(()), failed: Mutex::new(None) }
    }
}

impl<T> Keeping<T> {
    fn younger_than(&self, age: Duration) -> Option<Arc<T>> {
        let kept = self.kept.load_full()?;
        (kept.at.elapsed() < age).then(|| kept.value.clone())
    }

    fn last_failure(&self) -> Option<(Instant, Trouble)> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn get(&self, age: Duration, ask: impl Future<Output = Result<T, Trouble>>) -> Result<Arc<T>, Trouble> {
        if let Some(value) = self.younger_than(age) {
            return Ok(value);
        }
        let _turn = self.turn.lock().await;
        if let Some(value) = self.younger_than(age) {
            return Ok(value);
        }
        if let Some((at, trouble)) = self.last_failure()
            && at.elapsed() < PAUSE
        {
            return self.or_older(trouble);
        }
        match ask.await {
            Ok(value) => {
                let value = Arc::new(value);
                self.kept.store(Some(Arc::new(Kept { value: value.clone(), at: Instant::now() })));
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Ok(value)
            }
            Err(trouble) => {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), trouble.clone()));
                tracing::debug!("an identity provider does not say what it is: {trouble}");
                self.or_older(trouble)
            }
        }
    }

    /// What was kept, however old, in place of nothing.
    fn or_older(&self, trouble: Trouble) -> Result<Arc<T>, Trouble> {
        self.kept.load_full().map(|kept| kept.value.clone()).ok_or(trouble)
    }
}

/// What is known of one provider.
pub struct Discovery {
    issuer: String,
    own: Own,
    description: Keeping<Description>,
    keys: Keeping<CoreJsonWebKeySet>,
}

/// What the configuration says in place of the description.
#[derive(Debug, Clone, Default)]
struct Own {
    authorize: Option<HttpUrl>,
    token: Option<HttpUrl>,
    userinfo: Option<HttpUrl>,
    jwks: Option<HttpUrl>,
}

impl Discovery {
    /// Nothing is asked yet.
    pub fn new(issuer: &str, config: &ProviderConfig) -> Self {
        let own = Own {
            authorize: config.authorize_url.clone(),
            token: config.token_url.clone(),
            userinfo: config.userdata_url.clone(),
            jwks: config.jwks_url.clone(),
        };
        Self { issuer: issuer.to_owned(), own, description: Keeping::default(), keys: Keeping::default() }
    }

    /// Why the provider cannot be used at present, as far as is known without asking.
    pub fn failure(&self) -> Option<Trouble> {
        match self.description.kept.load_full() {
            Some(_) => None,
            None => self.description.last_failure().map(|(_, trouble)| trouble),
        }
    }

    /// The description, asked for if need be.
    pub async fn description(&self, client: &Client) -> Result<Arc<Description>, Trouble> {
        self.description.get(DESCRIPTION, self.ask(client)).await
    }

    /// The keys, asked for if need be; `anew` when a token was signed with one that is not among them.
    pub async fn keys(&self, client: &Client, anew: bool) -> Result<Arc<CoreJsonWebKeySet>, Trouble> {
        let description = self.description(client).await?;
        let Some(url) = &description.jwks_uri else {
            return Err(Trouble::Broken("it names no keys (jwks_uri)".to_owned()));
        };
        let age = if anew { UNKNOWN_KEY } else { KEYS };
        let ask = async {
            let keys = client.get_object(url).await?;
            serde_json::from_value(keys).map_err(|error| Trouble::Broken(format!("{url}: {error}")))
        };
        self.keys.get(age, ask).await
    }

    async fn ask(&self, client: &Client) -> Result<Description, Trouble> {
        // Everything is in the configuration: nothing to ask for.
        let said = match (&self.own.authorize, &self.own.token, &self.own.jwks) {
            (Some(_), Some(_), Some(_)) => serde_json::json!({ "issuer": self.issuer }),
            _ => client.get_object(&format!("{}/.well-known/openid-configuration", bare(&self.issuer))).await?,
        };
        read(said, &self.issuer, &self.own)
    }
}

/// Reads a description, with what the configuration says laid over it.
fn read(mut said: Value, issuer: &str, own: &Own) -> Result<Description, Trouble> {
    for (name, url) in [
        ("authorization_endpoint", &own.authorize),
        ("token_endpoint", &own.token),
        ("userinfo_endpoint", &own.userinfo),
        ("jwks_uri", &own.jwks),
    ] {
        if let Some(url) = url {
            said[name] = url.as_str().into();
        }
    }
    let description: Description =
        serde_json::from_value(said).map_err(|error| Trouble::Broken(format!("its description: {error}")))?;
    if !is_same_issuer(&description.issuer, issuer) {
        let what = format!("it calls itself {:?}, and the configuration calls it {issuer:?}", description.issuer);
        return Err(Trouble::Broken(what));
    }
    let endpoints = [&description.authorization_endpoint, &description.token_endpoint];
    let more = [&description.userinfo_endpoint, &description.jwks_uri, &description.end_session_endpoint];
    for endpoint in endpoints.into_iter().chain(more.into_iter().flatten()) {
        let url = url::Url::parse(endpoint).map_err(|_| Trouble::Broken(format!("{endpoint:?} is no address")))?;
        let encrypted = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(Trouble::Broken(format!("an address with {other:?}"))),
        };
        if issuer.starts_with("https://") && !encrypted {
            let what = format!("its address is https, and it tells {endpoint}: behind a proxy, it does not know that");
            return Err(Trouble::Broken(what));
        }
    }
    Ok(description)
}

/// Whether two names of a provider are the same but for one slash at the end.
pub fn is_same_issuer(one: &str, other: &str) -> bool {
    bare(one) == bare(other)
}

fn bare(issuer: &str) -> &str {
    issuer.strip_suffix('/').unwrap_or(issuer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn described(issuer: &str, change: Value) -> Result<Description, Trouble> {
        let mut said = json!({
            "issuer": "https://iam.example/",
            "authorization_endpoint": "https://iam.example/authorize",
            "token_endpoint": "https://iam.example/token",
            "userinfo_endpoint": "https://iam.example/userinfo",
            "jwks_uri": "https://iam.example/jwk",
        });
        said.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        read(said, issuer, &Own::default())
    }

    #[test]
    fn quirk_1_one_slash_at_the_end_of_the_issuer_makes_no_difference() {
        for issuer in ["https://iam.example", "https://iam.example/"] {
            assert!(described(issuer, json!({})).is_ok());
            assert!(described(issuer, json!({ "issuer": "https://iam.example" })).is_ok());
            for other in
                ["https://iam.example//", "https://iam.example.org", "https://iam.example/x", "http://iam.example"]
            {
                assert!(matches!(described(issuer, json!({ "issuer": other })), Err(Trouble::Broken(_))), "{other}");
            }
        }
    }

    #[test]
    fn quirk_12_endpoints_without_tls_of_a_provider_with_tls_are_refused_with_the_cause() {
        let wrong = described("https://iam.example", json!({ "token_endpoint": "http://iam.example/token" }));
        let Err(Trouble::Broken(what)) = wrong else { panic!("{wrong:?}") };
        assert!(what.contains("http://iam.example/token") && what.contains("behind a proxy"), "{what}");
        for endpoint in ["javascript:alert(1)", "file:///etc/passwd", "", "/token"] {
            let wrong = described("https://iam.example", json!({ "authorization_endpoint": endpoint }));
            assert!(matches!(wrong, Err(Trouble::Broken(_))), "{endpoint}");
        }
        // A provider on this machine, for tests, has none at all.
        let plain = json!({
            "issuer": "http://127.0.0.1:1", "authorization_endpoint": "http://127.0.0.1:1/a",
            "token_endpoint": "http://127.0.0.1:1/t", "userinfo_endpoint": null, "jwks_uri": "http://127.0.0.1:1/j",
        });
        assert!(described("http://127.0.0.1:1", plain).is_ok());
    }

    #[test]
    fn what_the_configuration_says_goes_before_the_description() {
        let own = Own { token: HttpUrl::parse("https://inside.example/token").ok(), ..Own::default() };
        let said = json!({
            "issuer": "https://iam.example", "authorization_endpoint": "https://iam.example/authorize",
            "token_endpoint": "http://wrong.example/token",
        });
        let description = read(said, "https://iam.example", &own).unwrap();
        assert_eq!(description.token_endpoint, "https://inside.example/token");
    }

    #[test]
    fn quirk_6_advertised_algorithms_count_for_nothing() {
        let all = json!({ "id_token_signing_alg_values_supported": ["none", "HS256", "RS256"] });
        assert!(described("https://iam.example", all).is_ok());
    }

    #[tokio::test]
    async fn many_who_ask_at_once_make_one_request_and_a_failure_is_not_repeated_at_once() {
        let keeping: Keeping<u8> = Keeping::default();
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let ask = |outcome: Result<u8, Trouble>| {
            let asked = &asked;
            async move {
                asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                tokio::task::yield_now().await;
                outcome
            }
        };
        let down = || Err(Trouble::Unreachable("down".into()));
        let failed = futures_util::future::join_all((0..20).map(|_| keeping.get(DESCRIPTION, ask(down())))).await;
        assert!(failed.iter().all(Result::is_err) && keeping.last_failure().is_some());
        assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
        *keeping.failed.lock().unwrap() = None;
        let found = futures_util::future::join_all((0..20).map(|_| keeping.get(DESCRIPTION, ask(Ok(7))))).await;
        assert!(found.iter().all(|found| found.as_deref() == Ok(&7)));
        assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 2);
        // Too old, and down: what was said before goes on being good.
        assert_eq!(keeping.get(Duration::ZERO, ask(down())).await.as_deref(), Ok(&7));
    }
}
