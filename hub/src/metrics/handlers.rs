//! What each address is called in the label `handler`: the Python class that answers there in JupyterHub, because
//! dashboards select by it. What JupyterHub has not is named `specola.…`.

/// The name that goes with a resource of the router, put there by `http::routes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handler(pub &'static str);

/// No such address in the API.
pub const UNKNOWN_API: Handler = Handler("jupyterhub.apihandlers.base.API404");
/// No such page.
pub const UNKNOWN_PAGE: Handler = Handler("jupyterhub.handlers.base.Template404");
/// Outside of the hub's own part.
pub const OUTSIDE: Handler = Handler("jupyterhub.handlers.base.PrefixRedirectHandler");

/// Below `/hub/api`. What stands in braces is not compared.
const API: &[(&str, &str)] = &[
    ("", "jupyterhub.apihandlers.hub.RootAPIHandler"),
    ("/", "jupyterhub.apihandlers.hub.RootAPIHandler"),
    ("/health", "jupyterhub.handlers.pages.HealthCheckHandler"),
    ("/metrics", "jupyterhub.handlers.metrics.MetricsHandler"),
    ("/info", "jupyterhub.apihandlers.hub.InfoAPIHandler"),
    ("/shutdown", "jupyterhub.apihandlers.hub.ShutdownAPIHandler"),
    ("/admin/events", "specola.admin_events"),
    ("/audit", "specola.audit"),
    ("/announcements", "specola.announcements"),
    ("/announcements/all", "specola.announcements"),
    ("/announcements/{}", "specola.announcements"),
    ("/sites", "specola.sites"),
    ("/sites/{}", "specola.sites"),
    ("/user", "jupyterhub.apihandlers.users.SelfAPIHandler"),
    ("/user/access-token", "specola.access_token"),
    ("/user/lab-status", "specola.lab_status"),
    ("/user/storage", "specola.storage"),
    ("/user/storage/{}/credentials", "specola.storage"),
    ("/iam/{}/.well-known/openid-configuration", "specola.iam"),
    ("/iam/{}/token", "specola.iam"),
    ("/users", "jupyterhub.apihandlers.users.UserListAPIHandler"),
    ("/users/{}", "jupyterhub.apihandlers.users.UserAPIHandler"),
    ("/users/{}/activity", "jupyterhub.apihandlers.users.ActivityAPIHandler"),
    ("/users/{}/admin-access", "jupyterhub.apihandlers.users.UserAdminAccessAPIHandler"),
    ("/users/{}/spawn-options", "specola.spawn_options"),
    ("/users/{}/tokens", "jupyterhub.apihandlers.users.UserTokenListAPIHandler"),
    ("/users/{}/tokens/{}", "jupyterhub.apihandlers.users.UserTokenAPIHandler"),
    ("/users/{}/server", "jupyterhub.apihandlers.users.UserServerAPIHandler"),
    ("/users/{}/servers/", "jupyterhub.apihandlers.users.UserServerAPIHandler"),
    ("/users/{}/servers/{}", "jupyterhub.apihandlers.users.UserServerAPIHandler"),
    ("/users/{}/server/progress", "jupyterhub.apihandlers.users.SpawnProgressAPIHandler"),
    ("/users/{}/servers//progress", "jupyterhub.apihandlers.users.SpawnProgressAPIHandler"),
    ("/users/{}/servers/{}/progress", "jupyterhub.apihandlers.users.SpawnProgressAPIHandler"),
    ("/users/{}/shared", "jupyterhub.apihandlers.shares.UserShareListAPIHandler"),
    ("/users/{}/shared/{}/", "jupyterhub.apihandlers.shares.UserShareAPIHandler"),
    ("/users/{}/shared/{}/{}", "jupyterhub.apihandlers.shares.UserShareAPIHandler"),
    ("/groups", "jupyterhub.apihandlers.groups.GroupListAPIHandler"),
    ("/groups/{}", "jupyterhub.apihandlers.groups.GroupAPIHandler"),
    ("/groups/{}/users", "jupyterhub.apihandlers.groups.GroupUsersAPIHandler"),
    ("/groups/{}/properties", "jupyterhub.apihandlers.groups.GroupPropertiesAPIHandler"),
    ("/groups/{}/shared", "jupyterhub.apihandlers.shares.GroupShareListAPIHandler"),
    ("/groups/{}/shared/{}/", "jupyterhub.apihandlers.shares.GroupShareAPIHandler"),
    ("/groups/{}/shared/{}/{}", "jupyterhub.apihandlers.shares.GroupShareAPIHandler"),
    ("/services", "jupyterhub.apihandlers.services.ServiceListAPIHandler"),
    ("/services/{}", "jupyterhub.apihandlers.services.ServiceAPIHandler"),
    ("/shares/{}", "jupyterhub.apihandlers.shares.ServerShareAPIHandler"),
    ("/shares/{}/", "jupyterhub.apihandlers.shares.ServerShareAPIHandler"),
    ("/shares/{}/{}", "jupyterhub.apihandlers.shares.ServerShareAPIHandler"),
    ("/share-codes/{}", "jupyterhub.apihandlers.shares.ServerShareCodeAPIHandler"),
    ("/share-codes/{}/", "jupyterhub.apihandlers.shares.ServerShareCodeAPIHandler"),
    ("/share-codes/{}/{}", "jupyterhub.apihandlers.shares.ServerShareCodeAPIHandler"),
    ("/proxy", "jupyterhub.apihandlers.proxy.ProxyAPIHandler"),
    ("/authorizations/token", "jupyterhub.apihandlers.auth.TokenAPIHandler"),
    ("/authorizations/token/{}", "jupyterhub.apihandlers.auth.TokenAPIHandler"),
    ("/authorizations/cookie/{}", "jupyterhub.apihandlers.auth.CookieAPIHandler"),
    ("/authorizations/cookie/{}/{}", "jupyterhub.apihandlers.auth.CookieAPIHandler"),
    ("/oauth2/authorize", "jupyterhub.apihandlers.auth.OAuthAuthorizeHandler"),
    ("/oauth2/token", "jupyterhub.apihandlers.auth.OAuthTokenHandler"),
];

/// Below `/hub`.
const PAGES: &[(&str, &str)] = &[
    ("", "jupyterhub.handlers.base.AddSlashHandler"),
    ("/", "jupyterhub.handlers.pages.RootHandler"),
    ("/health", "jupyterhub.handlers.pages.HealthCheckHandler"),
    ("/health/ready", "specola.ready"),
    ("/metrics", "jupyterhub.handlers.metrics.MetricsHandler"),
    ("/login", "jupyterhub.handlers.login.LoginHandler"),
    ("/oauth_login", "oauthenticator.oauth2.OAuthLoginHandler"),
    ("/oauth_callback", "oauthenticator.oauth2.OAuthCallbackHandler"),
    ("/logout", "jupyterhub.handlers.login.LogoutHandler"),
    ("/logout-everywhere", "specola.logout_everywhere"),
    ("/change-password", "specola.change_password"),
    ("/invite", "specola.invite"),
    ("/home", "jupyterhub.handlers.pages.HomeHandler"),
    ("/admin", "jupyterhub.handlers.pages.AdminHandler"),
    ("/admin/users/{}", "specola.admin_person"),
    ("/admin/services", "specola.admin_services"),
    ("/admin/roles", "specola.admin_roles"),
    ("/admin/sites", "specola.admin_sites"),
    ("/admin/usage", "specola.admin_usage"),
    ("/admin/audit", "specola.admin_audit"),
    ("/token", "jupyterhub.handlers.pages.TokenPageHandler"),
    ("/accept-share", "jupyterhub.handlers.pages.AcceptShareHandler"),
    ("/announcements", "specola.announcements"),
    ("/groups", "specola.groups"),
    ("/groups/{}", "specola.groups"),
    ("/share/{}", "specola.share"),
    ("/share/{}/{}", "specola.share"),
    ("/spawn", "jupyterhub.handlers.pages.SpawnHandler"),
    ("/spawn/{}", "jupyterhub.handlers.pages.SpawnHandler"),
    ("/spawn/{}/{}", "jupyterhub.handlers.pages.SpawnHandler"),
    ("/spawn-pending/{}", "jupyterhub.handlers.pages.SpawnPendingHandler"),
    ("/spawn-pending/{}/{}", "jupyterhub.handlers.pages.SpawnPendingHandler"),
    ("/security/csp-report", "jupyterhub.handlers.base.CSPReportHandler"),
    ("/error/{}", "jupyterhub.handlers.pages.ProxyErrorHandler"),
    ("/logo", "jupyterhub.handlers.static.LogoHandler"),
    ("/accent.css", "specola.static"),
    ("/extra.css", "specola.static"),
    ("/static/{}", "jupyterhub.handlers.static.CacheControlStaticFilesHandler"),
    ("/user-redirect", "jupyterhub.handlers.base.UserRedirectHandler"),
    ("/user-redirect/{}", "jupyterhub.handlers.base.UserRedirectHandler"),
    ("/user/{}", "jupyterhub.handlers.base.UserUrlHandler"),
    ("/user/{}/{}", "jupyterhub.handlers.base.UserUrlHandler"),
];

/// The name of an address of the API, written as in the router; the unknown's for one that is not in the table.
pub fn of_api(path: &str) -> Handler {
    find(API, path).unwrap_or(UNKNOWN_API)
}

/// The name of a page's address likewise.
pub fn of_page(path: &str) -> Handler {
    find(PAGES, path).unwrap_or(UNKNOWN_PAGE)
}

fn find(table: &[(&str, &'static str)], path: &str) -> Option<Handler> {
    let path = without_names(path);
    table.iter().find(|(known, _)| *known == path).map(|(_, name)| Handler(name))
}

/// `/users/{user}` as `/users/{}`.
fn without_names(path: &str) -> String {
    let mut pieces = path.split('{');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str("{}");
        plain.push_str(piece.split_once('}').map_or("", |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_piece_is_called_does_not_matter() {
        assert_eq!(of_api("/users/{user}/tokens/{token}").0, "jupyterhub.apihandlers.users.UserTokenAPIHandler");
        assert_eq!(of_page("/static/{path:.*}").0, "jupyterhub.handlers.static.CacheControlStaticFilesHandler");
        assert_eq!((of_api("/nowhere"), of_page("/nowhere")), (UNKNOWN_API, UNKNOWN_PAGE));
    }

    #[test]
    fn every_address_of_the_router_has_a_name() {
        let routes = include_str!("../http/routes.rs");
        let paths: Vec<&str> = routes.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/')).collect();
        assert!(paths.len() > 50, "routes.rs is written in another way than this test reads");
        for path in paths {
            // A piece that a loop fills in is written `{server}` beside escaped braces.
            let path = path.replace("{{", "{").replace("}}", "}");
            let known = find(API, &path).or_else(|| find(PAGES, &path));
            assert!(known.is_some(), "{path} is not in the table of {}", file!());
        }
    }
}
