//! The environment a server is started with: `Spawner.get_env` of JupyterHub 6.1, as a pure function.
//!
//! `JUPYTERHUB_SERVICE_URL` is not in it: the driver knows the address and sets it.

use std::collections::BTreeMap;

use hub_core::secret::Secret;
use serde_json::json;

/// What the environment is made of.
pub struct Surroundings<'a> {
    /// The user's name, not escaped.
    pub user: &'a str,
    /// The user's name as it stands in URLs.
    pub escaped_user: &'a str,
    /// The server's name; empty for the default one.
    pub server: &'a str,
    /// The path the server is reached at, `/user/x/[name/]`, escaped, base URL included.
    pub prefix: &'a str,
    /// JupyterHub's `base_url`, with slashes at both ends.
    pub base_url: &'a str,
    /// The REST API as the server reaches it, `http://127.0.0.1:8081/hub/api`.
    pub api_url: &'a str,
    /// Scheme and host that browsers use, without path; empty when not configured.
    pub public_origin: &'a str,
    /// The same of the user's own host; empty when it is the hub's.
    pub user_origin: &'a str,
    /// The server's OAuth client.
    pub client_id: &'a str,
    /// Scopes its OAuth client may ask for.
    pub client_allowed_scopes: &'a [String],
    /// The server's own API token.
    pub token: &'a Secret,
    /// Bytes.
    pub mem_limit: Option<u64>,
    /// Bytes.
    pub mem_guarantee: Option<u64>,
    /// Cores.
    pub cpu_limit: Option<f64>,
    /// Cores.
    pub cpu_guarantee: Option<f64>,
    /// `notebook_dir`, may hold `{username}` and `{servername}`.
    pub notebook_dir: &'a str,
    /// `default_url`, may hold `{username}` and `{servername}`.
    pub default_url: &'a str,
    /// Verbose single-user server.
    pub debug: bool,
    /// Ignore the user's own Jupyter configuration.
    pub disable_user_config: bool,
    /// Configured last, so that it can override everything.
    pub extra: &'a BTreeMap<String, String>,
}

/// Makes the environment, in alphabetical order.
pub fn environment(of: &Surroundings) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    let mut set = |key: &str, value: String| {
        environment.insert(key.to_owned(), value);
    };
    let token = of.token.expose();
    set("JUPYTERHUB_API_TOKEN", token.to_owned());
    set("JPY_API_TOKEN", token.to_owned());
    set("JUPYTERHUB_CLIENT_ID", of.client_id.to_owned());
    set("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED", "0".to_owned());
    set("JUPYTERHUB_HOST", of.public_origin.to_owned());
    set("JUPYTERHUB_OAUTH_CALLBACK_URL", format!("{}{}oauth_callback", of.user_origin, of.prefix));
    let access =
        json!([format!("access:servers!server={}/{}", of.user, of.server), format!("access:servers!user={}", of.user)]);
    set("JUPYTERHUB_OAUTH_SCOPES", access.to_string());
    set("JUPYTERHUB_OAUTH_ACCESS_SCOPES", access.to_string());
    set("JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES", json!(of.client_allowed_scopes).to_string());
    set("JUPYTERHUB_USER", of.user.to_owned());
    set("JUPYTERHUB_SERVER_NAME", of.server.to_owned());
    set("JUPYTERHUB_API_URL", of.api_url.to_owned());
    set("JUPYTERHUB_ACTIVITY_URL", format!("{}/users/{}/activity", of.api_url, of.escaped_user));
    set("JUPYTERHUB_BASE_URL", of.base_url.to_owned());
    set("JUPYTERHUB_SERVICE_PREFIX", of.prefix.to_owned());
    let public =
        |path: &str| if of.public_origin.is_empty() { String::new() } else { format!("{}{path}", of.public_origin) };
    let own = if of.user_origin.is_empty() { public(of.prefix) } else { format!("{}{}", of.user_origin, of.prefix) };
    set("JUPYTERHUB_PUBLIC_URL", own);
    set("JUPYTERHUB_PUBLIC_HUB_URL", public(&format!("{}hub/", of.base_url)));
    let expand = |text: &str| text.replace("{username}", of.user).replace("{servername}", of.server);
    let optional = [
        ("MEM_LIMIT", of.mem_limit.map(|bytes| bytes.to_string())),
        ("MEM_GUARANTEE", of.mem_guarantee.map(|bytes| bytes.to_string())),
        ("CPU_LIMIT", of.cpu_limit.map(python_float)),
        ("CPU_GUARANTEE", of.cpu_guarantee.map(python_float)),
        ("JUPYTERHUB_ROOT_DIR", (!of.notebook_dir.is_empty()).then(|| expand(of.notebook_dir))),
        ("JUPYTERHUB_DEFAULT_URL", (!of.default_url.is_empty()).then(|| expand(of.default_url))),
        ("JUPYTERHUB_DEBUG", of.debug.then(|| "1".to_owned())),
        ("JUPYTERHUB_DISABLE_USER_CONFIG", of.disable_user_config.then(|| "1".to_owned())),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            set(key, value);
        }
    }
    environment.extend(of.extra.iter().map(|(key, value)| (key.clone(), value.clone())));
    environment
}

/// Writes a number as Python's `str(float)` does: `2.0`, not `2`.
fn python_float(number: f64) -> String {
    format!("{number:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice<'a>(token: &'a Secret, extra: &'a BTreeMap<String, String>) -> Surroundings<'a> {
        Surroundings {
            user: "alice",
            escaped_user: "alice",
            server: "gpu",
            prefix: "/jupyter/user/alice/gpu/",
            base_url: "/jupyter/",
            api_url: "http://127.0.0.1:8081/jupyter/hub/api",
            public_origin: "https://lab.example",
            user_origin: "",
            client_id: "jupyterhub-user-alice-gpu",
            client_allowed_scopes: &[],
            token,
            mem_limit: Some(1 << 30),
            mem_guarantee: None,
            cpu_limit: Some(2.0),
            cpu_guarantee: None,
            notebook_dir: "/data/{username}",
            default_url: "",
            debug: false,
            disable_user_config: false,
            extra,
        }
    }

    #[test]
    fn a_named_server_gets_what_jupyterhub_would_give_it() {
        let (token, extra) = (Secret::new("t0ken"), BTreeMap::new());
        let environment = environment(&alice(&token, &extra));
        let expected = [
            ("CPU_LIMIT", "2.0"),
            ("JPY_API_TOKEN", "t0ken"),
            ("JUPYTERHUB_ACTIVITY_URL", "http://127.0.0.1:8081/jupyter/hub/api/users/alice/activity"),
            ("JUPYTERHUB_API_TOKEN", "t0ken"),
            ("JUPYTERHUB_API_URL", "http://127.0.0.1:8081/jupyter/hub/api"),
            ("JUPYTERHUB_BASE_URL", "/jupyter/"),
            ("JUPYTERHUB_CLIENT_ID", "jupyterhub-user-alice-gpu"),
            ("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED", "0"),
            ("JUPYTERHUB_HOST", "https://lab.example"),
            ("JUPYTERHUB_OAUTH_ACCESS_SCOPES", r#"["access:servers!server=alice/gpu","access:servers!user=alice"]"#),
            ("JUPYTERHUB_OAUTH_CALLBACK_URL", "/jupyter/user/alice/gpu/oauth_callback"),
            ("JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES", "[]"),
            ("JUPYTERHUB_OAUTH_SCOPES", r#"["access:servers!server=alice/gpu","access:servers!user=alice"]"#),
            ("JUPYTERHUB_PUBLIC_HUB_URL", "https://lab.example/jupyter/hub/"),
            ("JUPYTERHUB_PUBLIC_URL", "https://lab.example/jupyter/user/alice/gpu/"),
            ("JUPYTERHUB_ROOT_DIR", "/data/alice"),
            ("JUPYTERHUB_SERVER_NAME", "gpu"),
            ("JUPYTERHUB_SERVICE_PREFIX", "/jupyter/user/alice/gpu/"),
            ("JUPYTERHUB_USER", "alice"),
            ("MEM_LIMIT", "1073741824"),
        ];
        let made: Vec<_> = environment.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(made, expected);
    }

    #[test]
    fn on_a_host_of_their_own_people_come_back_to_that() {
        let (token, extra) = (Secret::new("t0ken"), BTreeMap::new());
        let of = Surroundings { user_origin: "https://alice.lab.example", ..alice(&token, &extra) };
        let environment = environment(&of);
        for (name, value) in [
            ("JUPYTERHUB_HOST", "https://lab.example"),
            ("JUPYTERHUB_PUBLIC_HUB_URL", "https://lab.example/jupyter/hub/"),
            ("JUPYTERHUB_PUBLIC_URL", "https://alice.lab.example/jupyter/user/alice/gpu/"),
            ("JUPYTERHUB_OAUTH_CALLBACK_URL", "https://alice.lab.example/jupyter/user/alice/gpu/oauth_callback"),
            ("JUPYTERHUB_SERVICE_PREFIX", "/jupyter/user/alice/gpu/"),
        ] {
            assert_eq!(environment[name], value, "{name}");
        }
    }

    #[test]
    fn the_configured_environment_overrides_the_rest() {
        let token = Secret::new("t0ken");
        let extra = BTreeMap::from([("JUPYTERHUB_API_URL".to_owned(), "http://hub.internal/hub/api".to_owned())]);
        assert_eq!(environment(&alice(&token, &extra))["JUPYTERHUB_API_URL"], "http://hub.internal/hub/api");
    }
}
