//! What is known of providers by their kind: scopes to ask for, and where name and groups are found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Any provider of OpenID Connect.
    #[default]
    Generic,
    /// INDIGO IAM, whichever of its four token profiles a client has.
    IndigoIam,
    /// EGI Check-in.
    EgiCheckin,
    /// Keycloak.
    Keycloak,
    /// CILogon.
    Cilogon,
    /// Google.
    Google,
    /// GitHub, or GitHub Enterprise: OAuth 2 and its REST API.
    Github,
    /// Globus.
    Globus,
}

/// What a preset says where the configuration does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// What people call it.
    pub login_service: &'static str,
    /// Its address, where there is one in the world.
    pub issuer: Option<&'static str>,
    /// The scopes a login needs.
    pub scope: &'static [&'static str],
    /// Scopes a login does without. `offline_access` is asked for only where tokens are kept.
    pub optional_scope: &'static [&'static str],
    /// The claim with the user name.
    pub username_claim: &'static str,
    /// The claims that groups are in; all of them count.
    pub group_claims: &'static [&'static str],
    /// How entitlements begin that are groups.
    pub group_namespaces: &'static [&'static str],
    /// The parameter that asks for a token for somebody else.
    pub audience_parameter: &'static str,
    /// More parameters of the address at which a login begins.
    pub authorize_params: &'static [(&'static str, &'static str)],
    /// Where groups are asked for.
    pub groups_url: Option<&'static str>,
}

const GENERIC: Defaults = Defaults {
    login_service: "your institution",
    issuer: None,
    scope: &["openid", "profile", "email"],
    optional_scope: &["offline_access"],
    username_claim: "preferred_username",
    group_claims: &["groups"],
    group_namespaces: &[],
    audience_parameter: "resource",
    authorize_params: &[],
    groups_url: None,
};

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 8] = [
        Self::Generic,
        Self::IndigoIam,
        Self::EgiCheckin,
        Self::Keycloak,
        Self::Cilogon,
        Self::Google,
        Self::Github,
        Self::Globus,
    ];

    /// What it says.
    pub fn defaults(self) -> Defaults {
        match self {
            Self::Generic => GENERIC,
            Self::IndigoIam => Defaults {
                login_service: "INDIGO IAM",
                optional_scope: &["offline_access", "wlcg.groups"],
                group_claims: &["groups", "wlcg.groups", "roles", "entitlements", "eduperson_entitlement"],
                // IAM makes all of its entitlements itself, in a namespace that its operator chose.
                group_namespaces: &["urn:"],
                audience_parameter: "audience",
                ..GENERIC
            },
            Self::EgiCheckin => Defaults {
                login_service: "EGI Check-in",
                issuer: Some("https://aai.egi.eu/auth/realms/egi"),
                optional_scope: &["offline_access", "eduperson_entitlement", "entitlements"],
                group_claims: &["entitlements", "eduperson_entitlement"],
                // Entitlements of people's home institutions may come along: only Check-in's own are groups.
                group_namespaces: &["urn:mace:egi.eu:group:"],
                audience_parameter: "audience",
                ..GENERIC
            },
            Self::Keycloak => Defaults { login_service: "Keycloak", audience_parameter: "audience", ..GENERIC },
            Self::Cilogon => Defaults {
                login_service: "CILogon",
                issuer: Some("https://cilogon.org"),
                scope: &["openid", "profile", "email", "org.cilogon.userinfo"],
                username_claim: "eppn",
                group_claims: &["isMemberOf"],
                ..GENERIC
            },
            Self::Google => Defaults {
                login_service: "Google",
                issuer: Some("https://accounts.google.com"),
                // Google gives refresh tokens by a parameter, and knows no scope for them.
                optional_scope: &[],
                username_claim: "email",
                group_claims: &[],
                authorize_params: &[("access_type", "offline")],
                groups_url: Some("https://admin.googleapis.com/admin/directory/v1/groups"),
                ..GENERIC
            },
            Self::Github => Defaults {
                login_service: "GitHub",
                issuer: Some("https://github.com"),
                scope: &["read:user", "read:org"],
                optional_scope: &[],
                username_claim: "login",
                group_claims: &[],
                ..GENERIC
            },
            Self::Globus => Defaults {
                login_service: "Globus",
                issuer: Some("https://auth.globus.org"),
                scope: &[
                    "openid",
                    "profile",
                    "email",
                    "urn:globus:auth:scope:groups.api.globus.org:view_my_groups_and_memberships",
                ],
                group_claims: &[],
                groups_url: Some("https://groups.api.globus.org/v2/groups/my_groups"),
                ..GENERIC
            },
        }
    }

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::IndigoIam => "indigo-iam",
            Self::EgiCheckin => "egi-checkin",
            Self::Keycloak => "keycloak",
            Self::Cilogon => "cilogon",
            Self::Google => "google",
            Self::Github => "github",
            Self::Globus => "globus",
        }
    }
}
