//! GitHub: OAuth 2 without OpenID Connect. Who somebody is, and the organisations and teams, are told by its REST API.
//!
//! Groups are `org` for each organisation and `org:team` for each team, as oauthenticator's `allowed_organizations`.

use http::StatusCode;
use serde_json::Value;

use super::claims::Said;
use super::discovery::Description;
use super::http::{Answer, Client};
use super::tokens::Tokens;
use super::trouble::Trouble;
use crate::config::ProviderConfig;
use crate::config::address::HttpUrl;

/// A list has at most this many pages of a hundred.
const MOST_PAGES: usize = 50;

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
    let userinfo = get(client, &format!("{api}/user"), token).await?.object("/user")?;
    if !tokens.scope.iter().any(|scope| matches!(scope.as_str(), "read:org" | "user" | "admin:org" | "write:org")) {
        return Ok(Said { userinfo, ..Said::default() });
    }
    let orgs = list(client, &api, "/user/orgs", token).await?;
    let teams = list(client, &api, "/user/teams", token).await?;
    let mut groups: Vec<String> = orgs.iter().filter_map(|org| org["login"].as_str()).map(str::to_owned).collect();
    groups.extend(
        teams
            .iter()
            .filter_map(|team| Some(format!("{}:{}", team["organization"]["login"].as_str()?, team["slug"].as_str()?))),
    );
    Ok(Said { userinfo, more_groups: Some(groups), teams: Some(teams), ..Said::default() })
}

/// Asks for something, and tells a token that is good no more, and a limit that is used up, from other refusals.
async fn get(client: &Client, url: &str, token: &str) -> Result<Answer, Trouble> {
    let answer = client.get(url, Some(token)).await?;
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let is_limited = header("x-ratelimit-remaining") == Some("0") || header("retry-after").is_some();
    if answer.status == StatusCode::UNAUTHORIZED {
        let description = format!("{url} answers {}", answer.status);
        return Err(Trouble::Denied { code: "invalid_token".to_owned(), description });
    }
    if answer.is_out_of_order() || answer.status == StatusCode::FORBIDDEN && is_limited {
        return Err(Trouble::Unreachable(format!("{url} answers {}", answer.status)));
    }
    Ok(answer)
}

/// Reads a list to its end: the pages are those that GitHub links to. One that does not end is an error, because a list cut
/// short would put people out of groups.
async fn list(client: &Client, api: &str, path: &str, token: &str) -> Result<Vec<Value>, Trouble> {
    let mut all = Vec::new();
    let mut next = Some(format!("{api}{path}?per_page=100"));
    for _ in 0..MOST_PAGES {
        let Some(url) = next else { return Ok(all) };
        let answer = get(client, &url, token).await?;
        match serde_json::from_slice::<Vec<Value>>(&answer.body) {
            Ok(items) if answer.status.is_success() => all.extend(items),
            _ => return Err(Trouble::Broken(format!("{url} answers {} and no list", answer.status))),
        }
        if let Some(partial) = answer.headers.get("x-github-sso").and_then(|value| value.to_str().ok()) {
            tracing::warn!("GitHub leaves out organisations for which single sign-on has to be authorised: {partial}");
        }
        next = next_page(&answer);
        // The token goes nowhere else.
        if let Some(other) = next.as_ref().filter(|url| !url.starts_with(&format!("{api}/"))) {
            return Err(Trouble::Broken(format!("{url} goes on at {other}, which is another place")));
        }
    }
    match next {
        None => Ok(all),
        Some(_) => Err(Trouble::Broken(format!("{path} has more than {MOST_PAGES} pages"))),
    }
}

/// The page after this: `Link: <https://…?page=2>; rel="next", <…>; rel="last"` (RFC 8288).
fn next_page(answer: &Answer) -> Option<String> {
    let links = answer.headers.get_all("link").iter().filter_map(|value| value.to_str().ok());
    links.flat_map(|value| value.split(',')).find_map(|link| {
        let (url, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|one| matches!(one.trim(), "rel=\"next\"" | "rel=next"));
        is_next.then(|| url.to_owned())
    })
}
