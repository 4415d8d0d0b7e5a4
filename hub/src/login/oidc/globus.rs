//! Globus: the groups of somebody are asked for at an address of their own, with a token of their own.

use serde_json::Value;

use super::http::Client;
use super::tokens::Tokens;
use super::trouble::Trouble;

/// The identifiers of the groups somebody is an active member of.
pub async fn groups(client: &Client, url: &str, tokens: &Tokens) -> Result<Vec<String>, Trouble> {
    let answer = client.get(url, Some(token(tokens))).await?;
    if answer.is_out_of_order() {
        return Err(Trouble::Unreachable(format!("{url} answers {}", answer.status)));
    }
    match serde_json::from_slice::<Vec<Value>>(&answer.body) {
        Ok(groups) if answer.status.is_success() => {
            Ok(groups.iter().filter(|group| is_active(group)).filter_map(id).collect())
        }
        _ => Err(Trouble::Broken(format!("{url} answers {} and no list", answer.status))),
    }
}

/// Globus gives a token for each of its services, the others beside the first.
fn token(tokens: &Tokens) -> &str {
    let others = tokens.response["other_tokens"].as_array().into_iter().flatten();
    let of_groups = |token: &&Value| token["resource_server"].as_str() == Some("groups.api.globus.org");
    let found = others.filter(of_groups).find_map(|token| token["access_token"].as_str());
    found.unwrap_or(tokens.access_token.expose())
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
