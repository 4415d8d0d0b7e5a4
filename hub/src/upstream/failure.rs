//! What keeps somebody's tokens from being renewed: as it is kept, and in the words people read.

use chrono::TimeDelta;
use hub_core::clock::Time;
use serde::{Deserialize, Serialize};

use crate::config::ProviderConfig;

/// How soon a provider is asked again after it wanted something of the person.
const AGAIN: TimeDelta = TimeDelta::seconds(10);

/// Which of the few things it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The refresh token is used up, has expired or was revoked: only a login helps.
    SignInNeeded,
    /// The access token has ended, and the provider gave nothing to renew it with: the session goes on without.
    TokenEnded,
    /// The account is suspended at the provider.
    Suspended,
    /// The provider's usage policy has to be accepted.
    UsagePolicy,
    /// The provider does not answer.
    Unreachable,
    /// It answers what cannot be used; the cause is in the log.
    Refused,
}

/// What went wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What it is.
    pub code: Code,
    /// A sentence for the person.
    pub sentence: String,
    /// Where to go to mend it, if that is anywhere.
    pub link: Option<String>,
}

impl Failure {
    /// Words for what happened at a provider.
    pub fn new(code: Code, provider: &ProviderConfig) -> Self {
        let name = provider.shown();
        let (sentence, link) = match code {
            Code::SignInNeeded => {
                (format!("{name} gives no more credentials for this login. Log in again to get fresh ones."), None)
            }
            Code::TokenEnded => (
                format!("{name} gives credentials for a while only, and yours have ended. Log in again for more."),
                None,
            ),
            Code::Suspended => (format!("Your account at {name} is suspended. Ask the people who run {name}."), None),
            Code::UsagePolicy => (
                format!("{name} wants its usage policy accepted before it gives more credentials."),
                provider.issuer().map(str::to_owned),
            ),
            Code::Unreachable => (format!("{name} does not answer at the moment."), None),
            Code::Refused => {
                (format!("{name} refuses to renew your credentials. Ask the people who run this hub."), None)
            }
        };
        Self { code, sentence, link }
    }

    /// Whether asking the provider again is of no use yet; `since` is when this was found out.
    pub fn stands(&self, since: Time, now: Time) -> bool {
        match self.code {
            Code::SignInNeeded | Code::TokenEnded | Code::Suspended => true,
            Code::UsagePolicy | Code::Refused => now - since < AGAIN,
            Code::Unreachable => now - since < TimeDelta::seconds(1),
        }
    }

    /// Whether the person should be told on every page: not of what passes by itself, nor of what comes with every login
    /// and is for programs alone.
    pub fn is_shown(&self) -> bool {
        !matches!(self.code, Code::Unreachable | Code::TokenEnded)
    }

    /// How long until the hub tries again by itself; `None` where only the person can do something.
    pub fn pause(&self, failures: u32) -> Option<TimeDelta> {
        match self.code {
            Code::SignInNeeded | Code::TokenEnded | Code::Suspended => None,
            Code::UsagePolicy => Some(TimeDelta::seconds(60)),
            Code::Unreachable => Some(TimeDelta::seconds(5 << failures.min(6))),
            Code::Refused => Some(TimeDelta::seconds(60 << failures.min(6))),
        }
    }
}
