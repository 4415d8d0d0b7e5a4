//! What goes wrong with a provider, told apart by what can be done about it. The texts are for the log.

/// Why a provider gave nothing that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It does not answer, not in time, or says that it cannot at present.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It answers what no provider should: garbage, or a description that contradicts the configuration.
    #[error("it answers what cannot be used: {0}")]
    Broken(String),
    /// It says no, in the words of OAuth.
    #[error("it refuses: {code} ({description})")]
    Denied {
        /// The error code of RFC 6749 and its relatives.
        code: String,
        /// The provider's own words.
        description: String,
    },
    /// A token or an answer does not prove what it should.
    #[error("what it says is not proven: {0}")]
    Untrusted(String),
    /// It is they, and something that the hub needs to know is not told.
    #[error("{0}")]
    Incomplete(String),
    /// It is they, and a claim does not have the value that `required_claims` asks for. The text names the claim.
    #[error("the claim {0} is not one of required_claims")]
    Required(String),
}

/// Why a refresh token gave no new access token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// It is worth nothing any more: used up, expired or revoked. The person has to log in again.
    #[error("the refresh token is not good any more ({description})")]
    InvalidGrant {
        /// The provider's own words.
        description: String,
    },
    /// The person's account is suspended.
    #[error("the account is suspended ({description})")]
    Suspended {
        /// The provider's own words.
        description: String,
    },
    /// The person has to agree to the provider's acceptable usage policy first.
    #[error("the usage policy is not signed ({description})")]
    UsagePolicy {
        /// The provider's own words.
        description: String,
    },
    /// A token for this audience is not given.
    #[error("no token for this audience ({description})")]
    InvalidTarget {
        /// The provider's own words.
        description: String,
    },
    /// The provider does not answer at present. The refresh token may be good.
    #[error("the provider cannot be reached: {0}")]
    Unreachable(String),
    /// Anything else, which trying again does not mend.
    #[error("{0}")]
    Other(String),
}

impl From<Trouble> for RefreshError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unreachable(what) => Self::Unreachable(what),
            Trouble::Denied { code, description } => Self::of_denial(&code, description),
            other => Self::Other(other.to_string()),
        }
    }
}

impl RefreshError {
    /// Reads a refusal. IAM tells a suspended account and an unsigned policy by its words only; up to 1.12 it says
    /// `unauthorized` of the one, and `invalid_token` of a refresh token that it does not know.
    pub fn of_denial(code: &str, description: String) -> Self {
        let words = description.to_lowercase();
        let says = |known: &[&str]| known.iter().any(|word| words.contains(word));
        match code {
            "invalid_target" => Self::InvalidTarget { description },
            "temporarily_unavailable" | "server_error" | "slow_down" => {
                Self::Unreachable(format!("{code} ({description})"))
            }
            "invalid_grant" | "invalid_token" | "access_denied" | "unauthorized" | "unauthorized_user"
            | "invalid_request"
                if says(&["aup", "usage policy", "terms"]) =>
            {
                Self::UsagePolicy { description }
            }
            // Keycloak says "Token is not active" and "Session not active" of a refresh token that has ended.
            "invalid_grant" | "invalid_token" | "access_denied" | "unauthorized" | "unauthorized_user"
                if says(&["suspend", "not active", "disabled", "inactive", "locked"])
                    && !says(&["token", "session"]) =>
            {
                Self::Suspended { description }
            }
            "invalid_grant" | "invalid_token" => Self::InvalidGrant { description },
            _ => Self::Other(format!("{code} ({description})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_refresh_is_told_apart_by_what_to_do() {
        let name = |code: &str, description: &str| match RefreshError::of_denial(code, description.to_owned()) {
            RefreshError::InvalidGrant { .. } => "log in again",
            RefreshError::Suspended { .. } => "suspended",
            RefreshError::UsagePolicy { .. } => "policy",
            RefreshError::InvalidTarget { .. } => "target",
            RefreshError::Unreachable(_) => "later",
            RefreshError::Other(_) => "other",
        };
        for (code, description, expected) in [
            ("invalid_grant", "", "log in again"),
            ("invalid_grant", "Invalid refresh token: eyJ…", "log in again"),
            ("invalid_grant", "User ada needs to sign AUP for this organization in order to proceed.", "policy"),
            ("invalid_grant", "User ada is suspended", "suspended"),
            ("invalid_grant", "User account is not active", "suspended"),
            ("invalid_grant", "Account disabled", "suspended"),
            ("unauthorized", "User test is not active.", "suspended"),
            ("unauthorized", "Full authentication is required", "other"),
            ("invalid_token", "Invalid refresh token: …", "log in again"),
            ("invalid_token", "Expired refresh token: …", "log in again"),
            ("invalid_grant", "Token is not active", "log in again"),
            ("invalid_grant", "Session not active", "log in again"),
            ("invalid_grant", "User ada is not active", "suspended"),
            ("invalid_target", "unknown resource", "target"),
            ("temporarily_unavailable", "", "later"),
            ("server_error", "", "later"),
            ("invalid_scope", "Up-scoping is not allowed.", "other"),
            ("invalid_client", "Bad credentials", "other"),
        ] {
            assert_eq!(name(code, description), expected, "{code} {description}");
        }
    }
}
