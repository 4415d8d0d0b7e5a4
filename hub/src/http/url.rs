//! The paths of this hub, and pieces of them.

use actix_web::HttpRequest;
use hub_core::name::{self, ServerName, UserName};
use hub_core::service;
use hub_core::subdomain::Hosts;
use percent_encoding::percent_decode_str;

use super::Problem;

/// Where everything lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// JupyterHub's `base_url`, with slashes at both ends: `/`.
    pub base: String,
    /// The hub's own part: `/hub/`.
    pub hub: String,
    /// The hosts of users and services, where those have their own.
    pub hosts: Option<Hosts>,
}

impl Paths {
    /// From the configured base URL, however its slashes are.
    pub fn new(base_url: &str) -> Self {
        let inner = base_url.trim_matches('/');
        let base = if inner.is_empty() { "/".to_owned() } else { format!("/{inner}/") };
        Self { hub: format!("{base}hub/"), base, hosts: None }
    }

    /// A path below the hub's own part.
    pub fn hub(&self, rest: &str) -> String {
        format!("{}{rest}", self.hub)
    }

    /// Where people open a server, escaped: `/user/alice/` or `/user/alice/gpu/`, with the user's own host before it
    /// where there is one.
    pub fn server(&self, user: &str, server: &str) -> String {
        format!("{}{}", self.origin_of_user(user), server_prefix(&self.base, user, server))
    }

    /// Where the proxy finds a server: JupyterHub's routespec, a host without port if there is one, and the path.
    pub fn server_route(&self, user: &str, server: &str) -> String {
        let host = self.host_of_user(user).unwrap_or_default();
        format!("{host}{}", server_prefix(&self.base, user, server))
    }

    /// The host of a user's servers, without a port; `None` when it is the hub's own.
    pub fn host_of_user(&self, user: &str) -> Option<String> {
        self.hosts.as_ref().map(|hosts| hosts.of_user(user))
    }

    /// Where people open a service.
    pub fn service(&self, name: &str) -> String {
        format!("{}{}", self.origin_of_service(name), service::prefix(&self.base, name))
    }

    /// Where the proxy finds a service.
    pub fn service_route(&self, name: &str) -> String {
        let host = self.hosts.as_ref().map(|hosts| hosts.of_service(name)).unwrap_or_default();
        format!("{host}{}", service::prefix(&self.base, name))
    }

    /// Scheme and host of a user's servers; empty when it is the hub's own.
    pub fn origin_of_user(&self, name: &str) -> String {
        self.hosts.as_ref().map(|hosts| hosts.origin_of_user(name)).unwrap_or_default()
    }

    /// Scheme and host of a service; empty when it is the hub's own.
    pub fn origin_of_service(&self, name: &str) -> String {
        self.hosts.as_ref().map(|hosts| hosts.origin_of_service(name)).unwrap_or_default()
    }

    /// A page about one server: `/hub/spawn/alice/gpu`.
    pub fn server_page(&self, page: &str, user: &str, server: &str) -> String {
        let user = name::escape_path(user);
        if server.is_empty() {
            format!("{}{page}/{user}", self.hub)
        } else {
            format!("{}{page}/{user}/{}", self.hub, name::escape_path(server))
        }
    }

    /// Where the progress of a start is streamed.
    pub fn progress(&self, user: &str, server: &str) -> String {
        let user = name::escape_path(user);
        if server.is_empty() {
            format!("{}api/users/{user}/server/progress", self.hub)
        } else {
            format!("{}api/users/{user}/servers/{}/progress", self.hub, name::escape_path(server))
        }
    }
}

/// The path of a server under a base URL that ends with a slash.
pub fn server_prefix(base: &str, user: &str, server: &str) -> String {
    name::server_prefix(base, &UserName::stored(user), &ServerName::stored(server))
}

/// The OAuth client of a server.
pub fn client_of_server(user: &str, server: &str) -> String {
    name::oauth_client_id(&UserName::stored(user), &ServerName::stored(server))
}

/// A piece of the request's path, decoded once. Missing pieces are empty.
pub fn piece(request: &HttpRequest, name: &str) -> Result<String, Problem> {
    let raw = request.match_info().get(name).unwrap_or_default();
    let text = percent_decode_str(raw)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Problem::bad("The path holds bytes that are not UTF-8"))?;
    // Nothing has such a name, and not every database can be asked for it.
    if text.contains('\0') { Err(Problem::not_found()) } else { Ok(text) }
}

/// The values of one query parameter, decoded, in their order.
pub fn arguments(request: &HttpRequest, name: &str) -> Vec<String> {
    let pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
    pairs.filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
}

/// The last value of one query parameter, as Tornado's `get_argument`.
pub fn argument(request: &HttpRequest, name: &str) -> Option<String> {
    arguments(request, name).pop()
}

/// The pairs of a query string, decoded, in their order.
pub fn form_pairs(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// A query string of pairs.
pub fn encode_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_url_may_be_written_in_any_way() {
        for text in ["", "/"] {
            assert_eq!(Paths::new(text), Paths { base: "/".into(), hub: "/hub/".into(), hosts: None });
        }
        for text in ["jupyter", "/jupyter", "jupyter/", "/jupyter/"] {
            assert_eq!(Paths::new(text).hub, "/jupyter/hub/");
        }
    }

    #[test]
    fn with_hosts_of_their_own_addresses_have_them_and_routes_have_no_port() {
        let mut paths = Paths::new("/jupyter");
        assert_eq!(paths.server("a b", "gpu"), "/jupyter/user/a%20b/gpu/");
        assert_eq!(paths.service_route("x"), "/jupyter/services/x/");
        paths.hosts = Hosts::new("https://hub.example:8443", hub_core::subdomain::Hook::Idna);
        assert_eq!(paths.server("alice", "gpu"), "https://alice.hub.example:8443/jupyter/user/alice/gpu/");
        assert_eq!(paths.server_route("alice", ""), "alice.hub.example/jupyter/user/alice/");
        assert_eq!(paths.service("x"), "https://x--service.hub.example:8443/jupyter/services/x/");
        assert_eq!(paths.service_route("x"), "x--service.hub.example/jupyter/services/x/");
    }
}
