//! What a service is to be, read from the configuration or a request, with all that follows from it.

use hub_core::scope::{self, Client};
use hub_core::secret::Secret;
use hub_core::service::{OAuthIdentity, OAuthWish, ServiceError, check_name, oauth_identity, prefix};
use hub_core::token;
use hub_store::{OAuthClient, ServiceAddress, ServiceSpec};
use rand::Rng;
use serde_json::Value;

use crate::config::service::ServiceConfig;
use crate::http::url::Paths;

/// A service as it is to be.
#[derive(Debug)]
pub struct Wanted {
    /// Its row.
    pub spec: ServiceSpec,
    /// The token somebody chose for it.
    pub api_token: Option<Secret>,
    /// Its OAuth client, if it is one.
    oauth: Option<OAuthIdentity>,
    /// Where it listens, if it does.
    pub address: Option<ServiceAddress>,
}

/// What is said about a service beyond its row.
#[derive(Debug, Default)]
pub struct Besides {
    /// The token somebody chose for it.
    pub api_token: Option<Secret>,
    /// `oauth_client_id`.
    pub client_id: Option<String>,
    /// `oauth_redirect_uri`.
    pub redirect_uri: Option<String>,
}

impl Wanted {
    /// From the configuration.
    pub fn of_config(config: &ServiceConfig, paths: &Paths) -> Result<Self, ServiceError> {
        let environment = config.environment.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        let environment: Value = environment.collect();
        let info: Value = config.info.clone().into_iter().collect();
        let given = |value: Value| if value.as_object().is_none_or(|map| map.is_empty()) { Value::Null } else { value };
        let spec = ServiceSpec {
            name: config.name.clone(),
            admin: config.admin,
            url: config.url.clone(),
            oauth_client_allowed_scopes: config.oauth_client_allowed_scopes.clone(),
            info: given(info),
            display: config.display,
            oauth_no_confirm: config.oauth_no_confirm.then_some(true),
            command: config.command.clone(),
            cwd: config.cwd.as_ref().map(|cwd| cwd.display().to_string()),
            environment: given(environment),
            user: config.user.clone(),
            timeout: i32::try_from(config.timeout().duration().as_secs().max(1)).unwrap_or(i32::MAX),
            from_config: true,
            oauth_client_id: None,
        };
        let besides = Besides {
            api_token: config.api_token.clone(),
            client_id: config.oauth_client_id.clone(),
            redirect_uri: config.oauth_redirect_uri.clone(),
        };
        Self::complete(spec, besides, paths)
    }

    /// Checks what was said and adds what follows from it.
    pub fn complete(mut spec: ServiceSpec, besides: Besides, paths: &Paths) -> Result<Self, ServiceError> {
        check_name(&spec.name)?;
        spec.url = spec.url.filter(|url| !url.is_empty());
        let address = match &spec.url {
            Some(url) => {
                let (proto, host, port) = address(url).map_err(|_| ServiceError::Url)?;
                let prefix = prefix(&paths.base, &spec.name);
                Some(ServiceAddress { proto: proto.to_owned(), host, port, prefix })
            }
            None => None,
        };
        let wish = OAuthWish {
            name: &spec.name,
            origin: &paths.origin_of_service(&spec.name),
            has_url: address.is_some(),
            client_id: besides.client_id.as_deref(),
            redirect_uri: besides.redirect_uri.as_deref(),
            no_confirm: spec.oauth_no_confirm == Some(true),
        };
        let oauth = oauth_identity(&paths.base, wish)?;
        spec.oauth_client_id = oauth.as_ref().map(|oauth| oauth.client_id.clone());
        let api_token = besides.api_token.filter(|token| !token.expose().is_empty());
        Ok(Self { spec, api_token, oauth, address })
    }

    /// Its OAuth client as a row. `before` is the hash of the secret it has; kept where nothing else is known.
    pub fn client(&self, before: Option<&Secret>, random: &mut impl Rng) -> Option<OAuthClient> {
        let oauth = self.oauth.as_ref()?;
        let secret = match (&self.api_token, before) {
            (Some(token), Some(before)) if token::verify(before.expose(), token.expose()) => before.clone(),
            (Some(token), _) => Secret::new(token::hash(token.expose(), token::CHOSEN_ROUNDS, random)),
            // The process that runs, or ran, knows this one; its next start makes another.
            (None, Some(before)) if !self.spec.command.is_empty() => before.clone(),
            (None, _) => Secret::default(),
        };
        let access = scope::access_scopes(Client::Service(&self.spec.name)).into_iter().map(|scope| scope.to_string());
        let mut allowed: Vec<String> = self.spec.oauth_client_allowed_scopes.iter().cloned().chain(access).collect();
        allowed.sort();
        allowed.dedup();
        Some(OAuthClient {
            identifier: oauth.client_id.clone(),
            description: format!("JupyterHub service {}", self.spec.name),
            secret,
            redirect_uri: oauth.redirect_uri.clone(),
            allowed_scopes: allowed,
        })
    }
}

/// Scheme, host and port of a service's url. The error is what is wrong, as the rest of a sentence.
pub fn address(url: &str) -> Result<(&'static str, String, u16), String> {
    let parsed = url::Url::parse(url).map_err(|_| "is not an address".to_owned())?;
    let scheme = match parsed.scheme() {
        "http" => "http",
        "https" => "https",
        _ => return Err("does not begin with http:// or https://".to_owned()),
    };
    let host = parsed.host_str().filter(|host| !host.is_empty()).ok_or("names no host")?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("contains a user name".to_owned());
    }
    match parsed.port_or_known_default() {
        None | Some(0) => Err("names no port".to_owned()),
        Some(port) if host.len() <= 255 && url.len() <= 2047 => Ok((scheme, host.to_owned(), port)),
        Some(_) => Err("is too long".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_host_and_a_port() {
        assert_eq!(address("http://127.0.0.1:10101"), Ok(("http", "127.0.0.1".to_owned(), 10101)));
        assert_eq!(address("http://grades"), Ok(("http", "grades".to_owned(), 80)));
        assert_eq!(address("https://grades"), Ok(("https", "grades".to_owned(), 443)));
        for bad in ["", "grades:80", "wss://grades", "http://", "http://h:0", "ftp://h", "http://u:p@h", "http://u@h"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_known_secret_keeps_its_hash_and_a_process_keeps_its_own() {
        let config = |command: &[&str], token: Option<&str>| ServiceConfig {
            name: "x".into(),
            url: Some("http://127.0.0.1:1".into()),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            api_token: token.map(Secret::new),
            ..ServiceConfig::default()
        };
        let client = |config: &ServiceConfig, before: Option<&Secret>| {
            Wanted::of_config(config, &Paths::new("/")).unwrap().client(before, &mut rand::rng()).unwrap()
        };
        let chosen = config(&[], Some("chosen-token"));
        let first = client(&chosen, None);
        assert_eq!(first.allowed_scopes, ["access:services!service=x"]);
        assert_eq!(client(&chosen, Some(&first.secret)).secret.expose(), first.secret.expose());
        assert_eq!(client(&config(&["run"], None), Some(&first.secret)).secret.expose(), first.secret.expose());
        let nobody = client(&config(&[], None), Some(&first.secret));
        assert_eq!(nobody.secret.expose(), "", "nobody knows a secret of it any more");
    }
}
