//! The environment a service's process is started with: JupyterHub's `_ServiceSpawner.get_env`, as a pure function.

use std::collections::BTreeMap;

use hub_core::scope::{self, Client};
use hub_core::secret::Secret;
use hub_core::service::prefix;
use hub_store::Service;
use serde_json::{Value, json};

/// What the environment is made of, besides the service itself.
pub struct Surroundings<'a> {
    /// JupyterHub's `base_url`, with slashes at both ends.
    pub base_url: &'a str,
    /// The REST API as the hub's own machine reaches it.
    pub api_url: &'a str,
    /// Scheme and host that browsers use, without path; empty when not configured.
    pub public_origin: &'a str,
    /// The same of the service's own host; empty when it is the hub's.
    pub own_origin: &'a str,
    /// The service's token.
    pub token: &'a Secret,
    /// Where its OAuth client returns to; empty when it is none.
    pub redirect_uri: &'a str,
}

/// Makes the environment, in alphabetical order. What is configured comes last, but for the name and the address.
pub fn environment(service: &Service, of: &Surroundings<'_>) -> BTreeMap<String, String> {
    let spec = &service.spec;
    let mut environment = BTreeMap::new();
    let mut set = |key: &str, value: String| {
        environment.insert(key.to_owned(), value);
    };
    set("JUPYTERHUB_API_TOKEN", of.token.expose().to_owned());
    set("JPY_API_TOKEN", of.token.expose().to_owned());
    let client_id = spec.oauth_client_id.clone();
    set("JUPYTERHUB_CLIENT_ID", client_id.unwrap_or_else(|| hub_core::name::service_client_id(&spec.name)));
    set("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED", "0".to_owned());
    set("JUPYTERHUB_HOST", of.public_origin.to_owned());
    set("JUPYTERHUB_OAUTH_CALLBACK_URL", of.redirect_uri.to_owned());
    let own = scope::access_scopes(Client::Service(&spec.name)).into_iter().map(|scope| scope.to_string());
    let access = json!(std::iter::once("access:services".to_owned()).chain(own).collect::<Vec<String>>());
    set("JUPYTERHUB_OAUTH_SCOPES", access.to_string());
    set("JUPYTERHUB_OAUTH_ACCESS_SCOPES", access.to_string());
    set("JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES", json!(spec.oauth_client_allowed_scopes).to_string());
    set("JUPYTERHUB_USER", spec.user.clone().unwrap_or_default());
    set("JUPYTERHUB_SERVER_NAME", String::new());
    set("JUPYTERHUB_API_URL", of.api_url.to_owned());
    set("JUPYTERHUB_BASE_URL", of.base_url.to_owned());
    let public = |path: &str| match of.public_origin {
        "" => String::new(),
        origin => format!("{origin}{path}"),
    };
    set("JUPYTERHUB_PUBLIC_HUB_URL", public(&format!("{}hub/", of.base_url)));
    let prefix = prefix(of.base_url, &spec.name);
    let own = if of.own_origin.is_empty() { public(&prefix) } else { format!("{}{prefix}", of.own_origin) };
    set("JUPYTERHUB_PUBLIC_URL", spec.url.as_ref().map_or_else(String::new, |_| own));
    for (name, value) in spec.environment.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        set(name, if value == &Value::Null { String::new() } else { text });
    }
    set("JUPYTERHUB_SERVICE_NAME", spec.name.clone());
    if let Some(url) = &spec.url {
        set("JUPYTERHUB_SERVICE_URL", url.clone());
        set("JUPYTERHUB_SERVICE_PREFIX", prefix);
    }
    environment
}

#[cfg(test)]
mod tests {
    use hub_core::id::ServiceId;
    use hub_store::ServiceSpec;

    use super::*;

    #[test]
    fn a_service_gets_what_jupyterhub_would_give_it() {
        let spec = ServiceSpec {
            name: "grades".into(),
            url: Some("http://127.0.0.1:9000".into()),
            environment: json!({ "A": "b", "JUPYTERHUB_SERVICE_NAME": "other", "N": 1 }),
            oauth_client_id: Some("service-grades".into()),
            ..ServiceSpec::default()
        };
        let service = Service { id: ServiceId(1), pid: None, spec };
        let token = Secret::new("t0ken");
        let made = environment(
            &service,
            &Surroundings {
                base_url: "/x/",
                api_url: "http://127.0.0.1:8081/x/hub/api",
                public_origin: "https://lab.example",
                own_origin: "",
                token: &token,
                redirect_uri: "/x/services/grades/oauth_callback",
            },
        );
        let access = r#"["access:services","access:services!service=grades"]"#;
        let expected = [
            ("A", "b"),
            ("JPY_API_TOKEN", "t0ken"),
            ("JUPYTERHUB_API_TOKEN", "t0ken"),
            ("JUPYTERHUB_API_URL", "http://127.0.0.1:8081/x/hub/api"),
            ("JUPYTERHUB_BASE_URL", "/x/"),
            ("JUPYTERHUB_CLIENT_ID", "service-grades"),
            ("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED", "0"),
            ("JUPYTERHUB_HOST", "https://lab.example"),
            ("JUPYTERHUB_OAUTH_ACCESS_SCOPES", access),
            ("JUPYTERHUB_OAUTH_CALLBACK_URL", "/x/services/grades/oauth_callback"),
            ("JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES", "[]"),
            ("JUPYTERHUB_OAUTH_SCOPES", access),
            ("JUPYTERHUB_PUBLIC_HUB_URL", "https://lab.example/x/hub/"),
            ("JUPYTERHUB_PUBLIC_URL", "https://lab.example/x/services/grades/"),
            ("JUPYTERHUB_SERVER_NAME", ""),
            ("JUPYTERHUB_SERVICE_NAME", "grades"),
            ("JUPYTERHUB_SERVICE_PREFIX", "/x/services/grades/"),
            ("JUPYTERHUB_SERVICE_URL", "http://127.0.0.1:9000"),
            ("JUPYTERHUB_USER", ""),
            ("N", "1"),
        ];
        let made: Vec<_> = made.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(made, expected);
    }
}
