//! Identity providers: whether they answer, know the hub's client, and give it what it asks for.

use std::fmt::Display;

use super::finding::Finding;
use crate::command::database::now;
use crate::config::{Config, ProviderConfig};
use crate::login::oidc::http::Client;
use crate::login::oidc::{Attempt, Provider, Trouble};

/// Asks each provider.
pub async fn check(config: &Config) -> Vec<Finding> {
    if config.auth.providers.is_empty() {
        return vec![Finding::skipped("providers", "there is none: people log in without")];
    }
    let mut findings = Vec::new();
    for provider in &config.auth.providers {
        findings.extend(of_one(config, provider).await);
    }
    findings
}

async fn of_one(config: &Config, own: &ProviderConfig) -> Vec<Finding> {
    let about = format!("provider {}", own.name);
    let provider = match Provider::new(own, config.auth.enable_auth_state) {
        Ok(provider) => provider,
        Err(what) => return vec![Finding::bad(about, what, "")],
    };
    if let Err(trouble) = provider.look().await {
        return vec![Finding::bad(about, trouble.to_string(), of_look(own, &trouble))];
    }
    let answers = Finding::good(about, format!("{} answers", provider.issuer()));
    let callback = callback(config, own);
    let attempt =
        Attempt::new(&own.name, callback.as_deref().unwrap_or("http://127.0.0.1/"), None, now(), &mut rand::rng());
    let mut findings = vec![answers, secret(own, &provider, &attempt).await];
    findings.push(match &callback {
        Some(callback) => login(own, &provider, &attempt, callback).await,
        None => Finding::skipped(format!("login at {}", own.name), "hub.public_url is not set, so no login is tried"),
    });
    findings
}

fn of_look(own: &ProviderConfig, trouble: &Trouble) -> String {
    match trouble {
        Trouble::Unreachable(what) if what.contains("certificate") => {
            "Name its authorities in ca_file, or install them on this machine".to_owned()
        }
        Trouble::Unreachable(_) => "Is its address right, and does the firewall let this machine ask it?".to_owned(),
        _ => format!(
            "Compare `issuer` with what it says of itself at {}/.well-known/openid-configuration",
            own.issuer().unwrap_or_default().trim_end_matches('/')
        ),
    }
}

/// Where the provider sends people back to, when it is known without a browser.
fn callback(config: &Config, own: &ProviderConfig) -> Option<String> {
    if let Some(url) = &own.oauth_callback_url {
        return Some(url.as_str().to_owned());
    }
    let public = config.hub.public_url.as_ref()?;
    let base = config.hub.base_path();
    Some(format!("{}{}hub/oauth_callback", public.origin(), base.as_str()))
}

/// Asks for tokens with a code that nobody was given. A provider that knows client and secret refuses the code.
async fn secret(own: &ProviderConfig, provider: &Provider, attempt: &Attempt) -> Finding {
    let about = format!("client at {}", own.name);
    let Err(trouble) = provider.finish(attempt, &hub_core::secret::Secret::new("specola-doctor"), now()).await else {
        return Finding::bad(about, "gave tokens for a code that it never gave", "Do not trust it");
    };
    judge_secret(about, own, &trouble)
}

fn judge_secret(about: String, own: &ProviderConfig, trouble: &Trouble) -> Finding {
    let client = &own.client_id;
    let repair =
        "Register it (specola register-client), or write client_id and client_secret_file as the provider has them";
    match trouble {
        Trouble::Denied { code, .. } if code == "invalid_grant" || code == "bad_verification_code" => {
            Finding::good(about, format!("{client} is known, and its secret is right"))
        }
        Trouble::Denied { code, .. } if code == "unauthorized_client" => Finding::bad(
            about,
            format!("{client} may not log people in ({code})"),
            "Allow it the grant authorization_code, and refresh_token",
        ),
        Trouble::Denied { code, .. } if code == "redirect_uri_mismatch" => Finding::bad(
            about,
            format!("{client} has another address to come back to"),
            "Add the hub's /hub/oauth_callback to its redirect URIs",
        ),
        Trouble::Denied { code, description }
            if code == "invalid_client" || code == "invalid_request" || code == "incorrect_client_credentials" =>
        {
            Finding::bad(about, format!("{client} or its secret is refused: {}", words(code, description)), repair)
        }
        Trouble::Unreachable(what) => Finding::bad(about, format!("the token endpoint cannot be reached: {what}"), ""),
        other => Finding::note(about, format!("the answer to a wrong code is not understood: {other}"), repair),
    }
}

fn words(code: impl Display, description: &str) -> String {
    if description.is_empty() { code.to_string() } else { format!("{code}, {description}") }
}

/// Begins a login as a browser would, and looks whether the provider would go on with it. As at a login, scopes that may be
/// left out are left out where the provider refuses them.
async fn login(own: &ProviderConfig, provider: &Provider, attempt: &Attempt, callback: &str) -> Finding {
    let about = format!("login at {}", own.name);
    let client = match Client::new(own.ca_file.as_deref(), own.timeout.duration()) {
        Ok(client) => client,
        Err(what) => return Finding::bad(about, what, ""),
    };
    let mut attempt = attempt.clone();
    loop {
        let url = match provider.begin(&attempt).await {
            Ok(url) => url,
            Err(trouble) => return Finding::bad(about, trouble.to_string(), ""),
        };
        let answer = match client.get(&url, None).await {
            Ok(answer) => answer,
            Err(trouble) => return Finding::bad(about, trouble.to_string(), ""),
        };
        let target = answer.headers.get("location").and_then(|value| value.to_str().ok());
        let error = error_at(callback, target);
        let of_scopes = error.as_ref().is_some_and(|(code, _)| code == "invalid_scope");
        if of_scopes && provider.has_another_choice(&attempt).await {
            attempt = attempt.again(now(), &mut rand::rng());
            continue;
        }
        let asked = provider.asked(&attempt).await.join(" ");
        return judge_login(about, callback, &asked, answer.status.as_u16(), error);
    }
}

/// The error with which a provider sends a browser back.
fn error_at(callback: &str, target: Option<&str>) -> Option<(String, String)> {
    let back = target.filter(|target| target.starts_with(callback)).and_then(|target| url::Url::parse(target).ok())?;
    let value = |name: &str| back.query_pairs().find(|(own, _)| own == name).map(|(_, value)| value.into_owned());
    value("error").map(|code| (code, value("error_description").unwrap_or_default()))
}

/// A provider that is content shows its login page, or sends the browser there. One that knows the address to come back to
/// and dislikes something else sends the browser back with an error; else it shows the error itself.
fn judge_login(about: String, callback: &str, asked: &str, status: u16, error: Option<(String, String)>) -> Finding {
    match (error, status) {
        (Some((code, description)), _) if code == "invalid_scope" => {
            let remedy = format!("Allow the client these scopes, or ask for fewer (scope): {asked}");
            Finding::bad(about, format!("the client may not ask for all scopes: {}", words(code, &description)), remedy)
        }
        (Some((code, description)), _) => Finding::bad(about, format!("is refused: {}", words(code, &description)), ""),
        (None, 200..400) => Finding::good(about, format!("begins, with the scopes {asked}")),
        (None, 500..) => Finding::bad(about, format!("the provider answers {status}"), "Its log says why"),
        (None, _) => {
            let remedy =
                format!("Add {callback} to the redirect URIs of the client: `specola register-client` can do it");
            Finding::bad(about, format!("the provider answers {status} instead of its login page"), remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::login::oidc::preset::Preset;

    #[test]
    fn a_provider_that_refuses_the_code_knows_the_client() {
        let own = ProviderConfig::of("iam", Preset::IndigoIam, "the-client");
        let denied = |code: &str| Trouble::Denied { code: code.to_owned(), description: "told so".to_owned() };
        let level = |trouble: Trouble| judge_secret("client".to_owned(), &own, &trouble).level;
        assert_eq!(level(denied("invalid_grant")), Level::Ok);
        for code in ["invalid_client", "unauthorized_client", "invalid_request", "redirect_uri_mismatch"] {
            assert_eq!(level(denied(code)), Level::Bad, "{code}");
        }
        assert_eq!(level(Trouble::Unreachable("gone".to_owned())), Level::Bad);
        assert_eq!(level(Trouble::Broken("garbage".to_owned())), Level::Note);
    }

    #[test]
    fn a_login_that_would_fail_is_told_by_where_the_browser_is_sent() {
        let callback = "https://hub.example.org/hub/oauth_callback";
        let judged = |status: u16, target: Option<&str>| {
            judge_login("login".to_owned(), callback, "openid wlcg.groups", status, error_at(callback, target))
        };
        assert_eq!(judged(200, None).level, Level::Ok);
        assert_eq!(judged(302, Some("https://iam.example.org/login")).level, Level::Ok);
        let scopes =
            judged(302, Some(&format!("{callback}?error=invalid_scope&error_description=no+wlcg.groups&state=1")));
        assert!(scopes.level == Level::Bad && scopes.said.contains("no wlcg.groups"), "{scopes:?}");
        assert!(scopes.remedy.unwrap().contains("openid wlcg.groups"));
        let address = judged(400, None);
        assert!(address.level == Level::Bad && address.remedy.unwrap().contains(callback));
        assert_eq!(judged(503, None).level, Level::Bad);
        assert_eq!(judged(302, Some(&format!("{callback}?error=server_error"))).level, Level::Bad);
    }
}
