//! Globus: the groups of somebody are asked for at an address of their own, with a token of their own.

use http::StatusCode;
use serde_json::Value;

use super::http::Client;
use super::tokens::Tokens;
use super::trouble::Trouble;

/// The identifiers of the groups that the owner of a token is an active member of.
pub async fn groups(client: &Client, url: &str, token: &str) -> Result<Vec<String>, Trouble> {
    let answer = client.get(url, Some(token)).await?;
    if answer.is_out_of_order() {
        return Err(Trouble::Unreachable(format!("{url} answers {}", answer.status)));
    }
    if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        let description = format!("{url} answers {}", answer.status);
        return Err(Trouble::Denied { code: "invalid_token".to_owned(), description });
    }
    match serde_json::from_slice::<Vec<Value>>(&answer.body) {
        Ok(groups) if answer.status.is_success() => {
            Ok(groups.iter().filter(|group| is_active(group)).filter_map(id).collect())
        }
        _ => Err(Trouble::Broken(format!("{url} answers {} and no list", answer.status))),
    }
}

/// The token that groups are asked for with. Globus gives one for each of its services, the others beside the first.
pub fn token(tokens: &Tokens) -> &str {
    of_groups(tokens).and_then(|one| one["access_token"].as_str()).unwrap_or(tokens.access_token.expose())
}

/// What renews it.
pub fn refresh_token(tokens: &Tokens) -> Option<&str> {
    of_groups(tokens)?["refresh_token"].as_str()
}

fn of_groups(tokens: &Tokens) -> Option<&Value> {
    let others = tokens.response["other_tokens"].as_array()?;
    others.iter().find(|token| token["resource_server"].as_str() == Some("groups.api.globus.org"))
}

fn is_active(group: &Value) -> bool {
    match group["my_memberships"].as_array() {
        Some(memberships) => {
            memberships.iter().any(|one| one["status"].as_str().is_none_or(|status| status == "active"))
        }
        None => true,
    }
}

fn id(group: &Value) -> Option<String> {
    group["id"].as_str().map(str::to_owned)
}
