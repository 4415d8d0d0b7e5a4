//! What is kept of somebody's provider: the `auth_state` as oauthenticator writes it, read and written anew after a refresh.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, SecondsFormat, TimeDelta};
use hub_core::clock::Time;
use hub_core::secret::Secret;
use serde_json::{Value, json};

use crate::login::oidc::{self, Before, Known, Tokens};

/// An access token is renewed when less than this part of its life is left, or [`LONGEST_MARGIN`].
const MARGIN: i32 = 5;
/// Tokens with a long life are renewed so long before its end.
const LONGEST_MARGIN: TimeDelta = TimeDelta::seconds(600);
/// The same where the next token ends the one before it, which somebody may still be using.
const LATEST_MARGIN: TimeDelta = TimeDelta::seconds(60);

/// The state of one person, with the bytes it was decrypted from. It holds tokens, so it is not printed.
#[derive(Clone)]
pub struct Kept {
    /// As it stands in the database: who wants to replace it has to have read this.
    pub sealed: Vec<u8>,
    state: Value,
}

impl Kept {
    /// Takes a state that came from a provider; `None` for anything else.
    pub fn new(sealed: Vec<u8>, state: Value) -> Option<Self> {
        let is_one = state["access_token"].is_string() || state["refresh_token"].is_string();
        is_one.then_some(Self { sealed, state })
    }

    /// The provider by its name in the configuration. Another hub's states do not tell.
    pub fn provider(&self) -> Option<&str> {
        self.state["specola"]["provider"].as_str()
    }

    /// The provider's own number of the person.
    pub fn subject(&self) -> Option<&str> {
        let places = [&self.state["specola"]["sub"], &self.state["oauth_user"]["sub"]];
        places.into_iter().find_map(Value::as_str).filter(|subject| !subject.is_empty())
    }

    /// What the provider said the last time; `None` where it is not known who it is.
    pub fn before(&self) -> Option<Before> {
        let told = |key: &str| serde_json::from_value(self.state["specola"]["told"][key].clone()).ok();
        Some(Before {
            subject: self.subject()?.to_owned(),
            id_token: self.state["id_token"].as_str().and_then(oidc::payload).unwrap_or_default(),
            groups: told("groups"),
            roles: told("roles"),
        })
    }

    /// What gives the next access token.
    pub fn refresh_token(&self) -> Option<Secret> {
        self.secret("refresh_token")
    }

    /// The present access token with what belongs to it, if there is one.
    pub fn tokens(&self) -> Option<Tokens> {
        Some(Tokens {
            access_token: self.secret("access_token")?,
            refresh_token: self.refresh_token(),
            id_token: None,
            scope: self.scope(),
            expires_at: self.expires_at(),
            response: self.state["token_response"].clone(),
        })
    }

    /// The ID token with the time it was given and its end, as it says itself. The hub has verified it when it came.
    pub fn id_token(&self) -> Option<(Secret, Time, Time)> {
        let token = self.secret("id_token")?;
        let claims = token.expose().split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        let time = |name: &str| claims[name].as_i64().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        Some((token, time("iat")?, time("exp")?))
    }

    /// When the access token ends, where that is known.
    pub fn expires_at(&self) -> Option<Time> {
        let text = self.state["specola"]["expires_at"].as_str()?;
        DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
    }

    /// Whether the access token is good for at least so long, or for half of the life it was given: nobody gets more than
    /// the provider gives. Of a token without a known end, that of another hub is not trusted, and others last.
    pub fn is_good(&self, now: Time, at_least: TimeDelta) -> bool {
        if self.secret("access_token").is_none() {
            return false;
        }
        match (self.expires_at(), self.life()) {
            (Some(end), Some(life)) => end - now > at_least.min(life / 2),
            (Some(end), None) => end - now > at_least,
            (None, _) => self.refresh_token().is_none() || self.provider().is_some() && self.life().is_none(),
        }
    }

    /// When to renew the access token; `None` where that is not possible, or not needed. `late`: as late as may be, because
    /// that ends the one at hand.
    pub fn renewal(&self, late: bool) -> Option<Time> {
        self.refresh_token()?;
        let longest = if late { LATEST_MARGIN } else { LONGEST_MARGIN };
        let margin = self.life().map_or(longest, |life| (life / MARGIN).min(longest));
        Some(self.expires_at()? - margin)
    }

    /// Which refresh was the last one, whatever it was for; `None` when there was none since the login.
    pub fn last_refresh(&self) -> Option<i64> {
        self.state["specola"]["last_refresh"].as_i64()
    }

    /// Whether there was a refresh since the one that gave the access token: some providers end it with that.
    pub fn is_outlived(&self) -> bool {
        self.last_refresh() != self.state["specola"]["refresh"].as_i64()
    }

    /// The state after a refresh. The refresh token stays where no other one was given.
    pub fn renewed(&self, tokens: &Tokens, now: Time) -> Value {
        let mut state = self.state.clone();
        for key in ["refresh", "last_refresh"] {
            state["specola"][key] = self.next_refresh(now).into();
        }
        state["access_token"] = tokens.access_token.expose().into();
        for (key, secret) in [("refresh_token", &tokens.refresh_token), ("id_token", &tokens.id_token)] {
            if let Some(secret) = secret {
                state[key] = secret.expose().into();
            }
        }
        if !tokens.scope.is_empty() {
            state["scope"] = json!(tokens.scope);
        }
        let mut response = tokens.response.clone();
        // Globus tells those of its other services at a login alone.
        if let (Some(others), Some(members)) =
            (self.state["token_response"].get("other_tokens"), response.as_object_mut())
        {
            members.entry("other_tokens").or_insert_with(|| others.clone());
        }
        state["token_response"] = response;
        let end = tokens.expires_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true));
        state["specola"]["expires_at"] = json!(end);
        state
    }

    /// The state after a refresh whose access token is for somebody else: only the refresh token changes, if it does.
    pub fn rotated(&self, refresh_token: Option<&Secret>, now: Time) -> Value {
        let mut state = self.state.clone();
        if let Some(refresh_token) = refresh_token {
            state["refresh_token"] = refresh_token.expose().into();
        }
        state["specola"]["last_refresh"] = self.next_refresh(now).into();
        state
    }

    /// What tells one refresh from every other, also of logins before: its time, and never twice the same.
    fn next_refresh(&self, now: Time) -> i64 {
        now.timestamp_micros().max(self.last_refresh().unwrap_or_default().saturating_add(1))
    }

    /// The state with what the provider says of the person now.
    pub fn with(&self, known: &Known) -> Value {
        let mut state = self.state.clone();
        let fresh = known.auth_state().0;
        for key in ["oauth_user", "groups", "teams"] {
            if !(fresh[key].is_null() && state[key].is_null()) {
                state[key] = fresh[key].clone();
            }
        }
        let Some(ours) = fresh["specola"].as_object() else { return state };
        for (key, value) in ours.iter().filter(|(key, _)| *key != "expires_at") {
            state["specola"][key] = value.clone();
        }
        state
    }

    /// Whether two states are of one login, however they are sealed.
    pub fn is_same_login(&self, other: &Self) -> bool {
        ["access_token", "refresh_token"].iter().all(|key| self.state[key] == other.state[key])
    }

    fn scope(&self) -> Vec<String> {
        match &self.state["scope"] {
            Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// The life that the access token was given.
    pub fn life(&self) -> Option<TimeDelta> {
        let told = &self.state["token_response"]["expires_in"];
        let seconds = told.as_i64().or_else(|| told.as_str().and_then(|text| text.parse().ok()))?;
        TimeDelta::try_seconds(seconds).filter(|life| *life > TimeDelta::zero())
    }

    fn secret(&self, key: &str) -> Option<Secret> {
        self.state[key].as_str().filter(|text| !text.is_empty()).map(Secret::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn state() -> Value {
        json!({
            "access_token": "a1", "refresh_token": "r1", "id_token": "i1", "scope": ["openid"],
            "token_response": {"expires_in": 3600}, "oauth_user": {"sub": "s", "name": "Ada"},
            "specola": {"provider": "iam", "sub": "s", "issuer": "https://iam", "expires_at": at(3600).to_rfc3339()},
        })
    }

    fn kept(state: Value) -> Kept {
        Kept::new(Vec::new(), state).unwrap()
    }

    fn tokens(refresh: Option<&str>) -> Tokens {
        Tokens {
            access_token: Secret::new("a2"),
            refresh_token: refresh.map(Secret::new),
            id_token: None,
            scope: Vec::new(),
            expires_at: Some(at(7200)),
            response: json!({"access_token": "a2", "expires_in": 3600}),
        }
    }

    #[test]
    fn a_token_is_good_for_what_is_asked_or_half_of_its_life() {
        let kept = kept(state());
        for (now, at_least, expected) in [
            (0, 60, true),
            (3539, 60, true),
            (3540, 60, false),
            (3600, 0, false),
            (1799, 86_400, true),
            (1800, 86_400, false),
        ] {
            assert_eq!(kept.is_good(at(now), TimeDelta::seconds(at_least)), expected, "{now} {at_least}");
        }
        assert_eq!((kept.renewal(false), kept.renewal(true)), (Some(at(3000)), Some(at(3540))));
    }

    #[test]
    fn tokens_without_an_end_last_unless_another_hub_kept_them() {
        let mut endless = state();
        endless["specola"]["expires_at"] = Value::Null;
        endless["token_response"] = json!({});
        assert!(
            kept(endless.clone()).is_good(at(0), TimeDelta::days(1)) && kept(endless.clone()).renewal(false).is_none()
        );
        endless["specola"] = Value::Null;
        assert!(
            !kept(endless.clone()).is_good(at(0), TimeDelta::zero()),
            "of oauthenticator: it may have ended long ago"
        );
        endless["refresh_token"] = Value::Null;
        assert!(kept(endless).is_good(at(0), TimeDelta::zero()), "GitHub's: there is no other");
        assert!(Kept::new(Vec::new(), json!({"ticket": 1})).is_none());
    }

    #[test]
    fn an_id_token_tells_its_own_times_and_one_that_does_not_is_none() {
        let of = |claims: &str| {
            let mut state = state();
            state["id_token"] = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims)).into();
            kept(state).id_token().map(|(_, begin, end)| (begin, end))
        };
        assert_eq!(of(r#"{"iat": 1700000000, "exp": 1700000600}"#), Some((at(0), at(600))));
        for wrong in ["{}", r#"{"iat": "1", "exp": 2}"#, "nonsense", r#"{"iat": 1}"#] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert!(kept(state()).id_token().is_none(), "no token at all");
    }

    #[test]
    fn a_refresh_replaces_what_was_given_and_keeps_the_rest() {
        let same = kept(kept(state()).renewed(&tokens(None), at(1)));
        assert_eq!(same.refresh_token().unwrap().expose(), "r1", "reused");
        assert_eq!((same.expires_at(), same.subject()), (Some(at(7200)), Some("s")));
        assert_eq!((&same.state["access_token"], &same.state["scope"]), (&json!("a2"), &json!(["openid"])));
        assert_eq!((&same.state["id_token"], &same.state["oauth_user"]["name"]), (&json!("i1"), &json!("Ada")));
        let mut globus = state();
        globus["token_response"]["other_tokens"] = json!([{ "access_token": "g1" }]);
        assert_eq!(
            kept(globus).renewed(&tokens(None), at(1))["token_response"]["other_tokens"][0]["access_token"],
            "g1"
        );
        let rotated = kept(kept(state()).renewed(&tokens(Some("r2")), at(1)));
        assert_eq!(rotated.refresh_token().unwrap().expose(), "r2");
        let other = kept(kept(state()).rotated(Some(&Secret::new("r3")), at(1)));
        assert_eq!((&other.state["access_token"], &other.state["refresh_token"]), (&json!("a1"), &json!("r3")));
    }

    #[test]
    fn a_refresh_for_somebody_else_outlives_the_access_token_until_the_next_of_its_own() {
        let fresh = kept(state());
        assert!(!fresh.is_outlived() && fresh.last_refresh().is_none());
        let other = kept(fresh.rotated(None, at(1)));
        assert!(other.is_outlived() && other.refresh_token().unwrap().expose() == "r1");
        // In the same moment, or by a clock that was put back: never the same again.
        let again = kept(other.rotated(None, at(0)));
        assert!(again.last_refresh() > other.last_refresh());
        let own = kept(again.renewed(&tokens(None), at(1)));
        assert!(!own.is_outlived() && own.last_refresh() > again.last_refresh());
    }
}
