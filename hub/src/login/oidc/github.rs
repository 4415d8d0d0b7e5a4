//! GitHub: OAuth 2 without OpenID Connect. Who somebody is, and the organisations and teams, are told by its REST API.
//!
//! Groups are `org` for each organisation and `org:team` for each team, as oauthenticator's `allowed_organizations`.

use serde_json::Value;

use super::claims::Said;
use super::discovery::Description;
use super::http::Client;
use super::tokens::Tokens;
use super::trouble::Trouble;
use crate::config::ProviderConfig;
use crate::config::address::HttpUrl;

/// A list is read as far as this many pages of a hundred.
const MOST_PAGES: usize = 10;

/// Where things are at GitHub, or at an own GitHub Enterprise.
pub fn description(issuer: &str, config: &ProviderConfig) -> Description {
    let own = |url: &Option<HttpUrl>, path: &str| {
        url.as_ref().map_or_else(|| format!("{issuer}{path}"), |url| url.as_str().to_owned())
    };
    Description {
        issuer: issuer.to_owned(),
        authorization_endpoint: own(&config.authorize_url, "/login/oauth/authorize"),
        token_endpoint: own(&config.token_url, "/login/oauth/access_token"),
        userinfo_endpoint: Some(format!("{}/user", api(issuer))),
        jwks_uri: None,
        end_session_endpoint: None,
        scopes_supported: Vec::new(),
        token_endpoint_auth_methods_supported: vec!["client_secret_post".to_owned()],
    }
}

fn api(issuer: &str) -> String {
    if issuer == "https://github.com" { "https://api.github.com".to_owned() } else { format!("{issuer}/api/v3") }
}

/// Asks who the owner of an access token is.
pub async fn said(client: &Client, issuer: &str, tokens: &Tokens) -> Result<Said, Trouble> {
    let (api, token) = (api(issuer), tokens.access_token.expose());
    let userinfo = client.get(&format!("{api}/user"), Some(token)).await?.object("/user")?;
    let mut more_groups = None;
    if tokens.scope.iter().any(|scope| matches!(scope.as_str(), "read:org" | "user" | "admin:org" | "write:org")) {
        let groups: &mut Vec<String> = more_groups.get_or_insert_default();
        for org in list(client, &format!("{api}/user/orgs"), token).await? {
            groups.extend(org["login"].as_str().map(str::to_owned));
        }
        for team in list(client, &format!("{api}/user/teams"), token).await? {
            if let (Some(org), Some(slug)) = (team["organization"]["login"].as_str(), team["slug"].as_str()) {
                groups.push(format!("{org}:{slug}"));
            }
        }
    }
    Ok(Said { userinfo, more_groups, ..Said::default() })
}

async fn list(client: &Client, url: &str, token: &str) -> Result<Vec<Value>, Trouble> {
    let mut all = Vec::new();
    for page in 1..=MOST_PAGES {
        let answer = client.get(&format!("{url}?per_page=100&page={page}"), Some(token)).await?;
        if answer.is_out_of_order() {
            return Err(Trouble::Unreachable(format!("{url} answers {}", answer.status)));
        }
        let items: Vec<Value> = match serde_json::from_slice(&answer.body) {
            Ok(items) if answer.status.is_success() => items,
            _ => return Err(Trouble::Broken(format!("{url} answers {} and no list", answer.status))),
        };
        let is_last = items.len() < 100;
        all.extend(items);
        if is_last {
            break;
        }
    }
    Ok(all)
}
