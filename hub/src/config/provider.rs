//! `[[auth.providers]]`: identity providers that people log in with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use hub_core::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::{HttpUrl, is_loopback};
use super::auth::{AuthConfig, Authenticator};
use super::problem::Problem;
use super::secret_file;
use super::unit::Seconds;
use crate::login::oidc::preset::Preset;

/// More optional scopes than this would make too many tries of a login.
const MOST_OPTIONAL_SCOPES: usize = 3;

/// An identity provider: OpenID Connect, or GitHub. Names are oauthenticator's where it has the option.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProviderConfig {
    /// A short name of small letters, digits and `-`: it is in addresses and in what is kept of people.
    pub name: String,
    /// What the provider is, for everything not written here: see [login.md](login.md).
    pub preset: Preset,
    /// What people call it: "Log in with …".
    pub login_service: Option<String>,
    /// The provider's address as it names itself; `/.well-known/openid-configuration` is looked for below it.
    pub issuer: Option<HttpUrl>,
    /// The client that was registered for this hub.
    pub client_id: String,
    /// The client's secret. Without it the hub is a public client.
    #[schemars(with = "Option<String>", extend("format" = "secret"))]
    pub client_secret: Option<Secret>,
    /// A file whose content is `client_secret`.
    #[schemars(extend("format" = "path"))]
    pub client_secret_file: Option<PathBuf>,
    /// Sends the secret as HTTP's basic authentication, or in the form. Without it: what the provider says it takes.
    pub basic_auth: Option<bool>,
    /// Where the provider sends people back to. Without it: `/hub/oauth_callback` below `hub.public_url`, or below the
    /// address the browser uses.
    pub oauth_callback_url: Option<HttpUrl>,
    /// The scopes to ask for. Without it: those of the preset.
    pub scope: Option<Vec<String>>,
    /// Scopes that are asked for where the provider offers them, and given up when it refuses them. Without it: those
    /// of the preset.
    pub optional_scope: Option<Vec<String>>,
    /// More parameters of the address at which the login begins, such as `prompt`.
    pub extra_authorize_params: BTreeMap<String, String>,
    /// The claim with the user name; dots lead into nested claims. Without it: that of the preset.
    pub username_claim: Option<String>,
    /// Put before every user name, so that people of two providers are told apart. With more than one way to log in it
    /// has to be written; `""` says that equal names are the same people.
    pub username_prefix: Option<String>,
    /// Domains taken off user names: with `["example.org"]`, `ada@example.org` is `ada`.
    pub strip_domain: Vec<String>,
    /// Where the groups are: a claim, whose dots lead into nested ones, of any of the provider's tokens and answers; or
    /// of one, with `oauth_user.`, `id_token.` or `access_token.` before it. Without it: those of the preset.
    pub auth_state_groups_key: Option<String>,
    /// Entitlements that begin so are groups: `urn:mace:egi.eu:group:vo:sub:role=…#…` is the group `vo/sub`, and
    /// `vo/sub#role`. Without it: those of the preset.
    pub group_namespaces: Option<Vec<String>>,
    /// Where the names of somebody's roles are, for `auth.manage_roles`: a claim as in `auth_state_groups_key`.
    pub roles_claim: Option<String>,
    /// Who may log in: members of these groups. `a/**` is the group `a` and all below it.
    pub allowed_groups: BTreeSet<String>,
    /// Members of these groups may log in and administer the hub. When set, losing the group loses the right.
    pub admin_groups: BTreeSet<String>,
    /// Who may always log in and administers the hub: people by the provider's own number of them, `sub`.
    pub owner_subjects: BTreeSet<String>,
    /// Lets in everybody with an account at this provider.
    pub allow_all: bool,
    /// Claims that have to have one of some values, such as `hd = ["example.org"]` of Google or `idp` of CILogon.
    pub required_claims: BTreeMap<String, Vec<String>>,
    /// Google: only people of these organisations log in, by the claim `hd`. It lets nobody in by itself.
    pub hosted_domain: Vec<String>,
    /// Google: a file with the key of a service account for each domain whose groups are to be known, as Google gives it.
    pub google_service_account_keys: BTreeMap<String, PathBuf>,
    /// Google: in whose name the service account of each domain asks: the user name of an administrator.
    pub gsuite_administrator: BTreeMap<String, String>,
    /// Google: the groups that somebody's groups are in count too.
    pub include_nested_groups: bool,
    /// Globus: only accounts of this domain log in, such as `globusid.org`: the part of the user name behind the `@`.
    pub identity_provider: Option<String>,
    /// GitHub: the `auth_state` has the teams too, as `teams`, in the shape of GitHub's API.
    pub populate_teams_in_auth_state: bool,
    /// Where people ask to join a group; shown to who is refused.
    #[schemars(extend("format" = "link"))]
    pub join_url: Option<String>,
    /// Refuses a user name that came with another `sub` before: somebody else got the name of somebody who left.
    pub check_subject: bool,
    /// Where people go to log out of the provider too. Without it: where the provider says, if it does.
    pub logout_redirect_url: Option<HttpUrl>,
    /// In place of what the provider's own description says: where a login begins.
    pub authorize_url: Option<HttpUrl>,
    /// Likewise: where tokens are given.
    pub token_url: Option<HttpUrl>,
    /// Likewise: who somebody is.
    pub userdata_url: Option<HttpUrl>,
    /// Likewise: the keys that tokens are signed with.
    pub jwks_url: Option<HttpUrl>,
    /// Where the groups of somebody are asked for: of Globus, with the access token; of Google, the Directory API.
    pub groups_url: Option<HttpUrl>,
    /// The parameter that asks for a token for somebody else: `audience` or `resource`. Without it: that of the preset.
    pub audience_parameter: Option<String>,
    /// Whether a refresh ends the access tokens of before, as at INDIGO IAM with `clear_access_tokens_on_refresh`: see
    /// [login.md](login.md#a-refresh-that-ends-the-tokens-of-before). Without it: `true` for INDIGO IAM.
    pub refresh_ends_tokens: Option<bool>,
    /// Audiences that check tokens by themselves and never ask the provider, such as object stores: tokens for them are
    /// handed out until they end, also where a later refresh has ended them at the provider.
    pub offline_audiences: BTreeSet<String>,
    /// A file with certificates, in PEM, that are trusted beside those of the system.
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// How many seconds the provider may take for each answer.
    pub timeout: Seconds,
}

impl Default for ProviderConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            preset: Preset::default(),
            login_service: None,
            issuer: None,
            client_id: String::new(),
            client_secret: None,
            client_secret_file: None,
            basic_auth: None,
            oauth_callback_url: None,
            scope: None,
            optional_scope: None,
            extra_authorize_params: BTreeMap::new(),
            username_claim: None,
            username_prefix: None,
            strip_domain: Vec::new(),
            auth_state_groups_key: None,
            group_namespaces: None,
            roles_claim: None,
            allowed_groups: BTreeSet::new(),
            admin_groups: BTreeSet::new(),
            owner_subjects: BTreeSet::new(),
            allow_all: false,
            required_claims: BTreeMap::new(),
            hosted_domain: Vec::new(),
            google_service_account_keys: BTreeMap::new(),
            gsuite_administrator: BTreeMap::new(),
            include_nested_groups: false,
            identity_provider: None,
            populate_teams_in_auth_state: false,
            join_url: None,
            check_subject: true,
            logout_redirect_url: None,
            authorize_url: None,
            token_url: None,
            userdata_url: None,
            jwks_url: None,
            groups_url: None,
            audience_parameter: None,
            refresh_ends_tokens: None,
            offline_audiences: BTreeSet::new(),
            ca_file: None,
            timeout: Seconds(10.0),
        }
    }
}

impl ProviderConfig {
    /// What people call it.
    pub fn shown(&self) -> &str {
        self.login_service.as_deref().unwrap_or(self.preset.defaults().login_service)
    }

    /// The provider's address: what was written, or the preset's.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_ref().map(HttpUrl::as_str).or(self.preset.defaults().issuer)
    }

    /// How entitlements begin that are groups: what was written, or the preset's.
    pub fn namespaces(&self) -> Vec<&str> {
        match &self.group_namespaces {
            Some(own) => own.iter().map(String::as_str).collect(),
            None => self.preset.defaults().group_namespaces.to_vec(),
        }
    }

    /// Whether anything lets somebody in who logs in here, whatever the other sections say.
    pub fn lets_in(&self) -> bool {
        let lists = [&self.allowed_groups, &self.admin_groups, &self.owner_subjects];
        self.allow_all || lists.iter().any(|list| !list.is_empty())
    }

    /// Whether a refresh ends the access tokens of before.
    pub fn ends_tokens(&self) -> bool {
        self.refresh_ends_tokens.unwrap_or(self.preset == Preset::IndigoIam)
    }

    /// Whether tokens travel unencrypted beyond this machine.
    pub fn is_exposed(&self) -> bool {
        let host = |url: &str| url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
        self.issuer().is_some_and(|issuer| {
            !issuer.starts_with("https://") && host(issuer).is_some_and(|host| !is_loopback(&host))
        })
    }

    /// What is wrong with it, as option, problem and remedy.
    pub fn problems(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut problems = Vec::new();
        let mut blame = |option, what: &str, remedy| problems.push((option, what.to_owned(), remedy));
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > 32 || !self.name.chars().all(plain) {
            blame("name", "has to be 1 to 32 small letters, digits or -", "Such as \"iam\"");
        }
        if self.client_id.is_empty() {
            blame("client_id", "is empty", "Register the hub at the provider and write the client's name here");
        }
        if self.issuer().is_none() {
            blame("issuer", "is not written, and the preset has none", "Such as \"https://iam.example.org/\"");
        }
        let scopes = self.scope.iter().chain(&self.optional_scope).flatten();
        if scopes.clone().any(|scope| scope.is_empty() || scope.contains(char::is_whitespace)) {
            blame("scope", "contains an empty scope or one with a space", "Write each scope as an item of its own");
        }
        if self.optional_scope.as_ref().is_some_and(|scopes| scopes.len() > MOST_OPTIONAL_SCOPES) {
            blame("optional_scope", "has more than 3 items", "Put those that are always granted into scope");
        }
        let reserved = ["client_id", "redirect_uri", "response_type", "state", "nonce", "code_challenge", "scope"];
        if self.extra_authorize_params.keys().any(|name| reserved.contains(&name.as_str())) {
            blame("extra_authorize_params", "contains a parameter that the hub itself sets", "");
        }
        if self.timeout.is_zero() || self.timeout.0 > 120.0 {
            blame("timeout", "has to be more than 0 and 120 seconds at most", "");
        }
        if self.username_claim.as_deref() == Some("") {
            blame("username_claim", "is empty", "");
        }
        if self.required_claims.values().any(Vec::is_empty) {
            blame("required_claims", "contains a claim without values, which nobody can have", "");
        }
        let keys = self.google_service_account_keys.keys().collect::<BTreeSet<_>>();
        if keys != self.gsuite_administrator.keys().collect() {
            let remedy = "Write both for each domain whose groups are to be known";
            blame("gsuite_administrator", "is of other domains than google_service_account_keys", remedy);
        }
        if self.preset != Preset::Google && !(keys.is_empty() && self.hosted_domain.is_empty()) {
            blame("preset", "is not \"google\", and there are options of Google's", "");
        }
        problems
    }
}

impl ProviderConfig {
    /// A provider of a preset, with everything else as the preset has it.
    pub fn of(name: &str, preset: Preset, client_id: &str) -> Self {
        Self { name: name.to_owned(), preset, client_id: client_id.to_owned(), ..Self::default() }
    }
}

/// Reads the secrets that are kept in files. Returns what is worth a warning.
pub fn fetch(providers: &mut [ProviderConfig], problems: &mut Vec<Problem>) -> Vec<String> {
    let mut notes = Vec::new();
    for (index, provider) in providers.iter_mut().enumerate() {
        let Some(file) = &provider.client_secret_file else { continue };
        let key = format!("auth.providers[{index}].client_secret_file");
        if provider.client_secret.is_some() {
            let what = "and the same option without _file are both set";
            problems.push(Problem::new(key, what, "Keep one of the two"));
            continue;
        }
        match secret_file::read(file) {
            Ok(read) => {
                notes.extend(read.warning.map(|warning| format!("{warning} ({key})")));
                provider.client_secret = Some(read.secret);
            }
            Err((what, remedy)) => problems.push(Problem::new(key, what, remedy)),
        }
    }
    notes
}

/// Checks the rules no schema can tell. `blame` takes key, what is wrong, and the remedy.
pub fn validate(auth: &AuthConfig, blame: &mut impl FnMut(&str, &str, &str)) {
    let mut names = BTreeSet::new();
    let mut prefixes = BTreeSet::new();
    let several = ways(auth) > 1;
    for (index, provider) in auth.providers.iter().enumerate() {
        let key = format!("auth.providers[{index}]");
        for (option, what, remedy) in provider.problems() {
            blame(&format!("{key}.{option}"), &what, remedy);
        }
        if !names.insert(&provider.name) {
            blame(&key, &format!("is a second provider {:?}", provider.name), "Give it a name of its own");
        }
        match &provider.username_prefix {
            None if several => {
                let what = "has to be written where there are several ways to log in";
                let remedy = "Such as \"egi-\"; \"\" if equal names are the same people everywhere";
                blame(&format!("{key}.username_prefix"), what, remedy);
            }
            Some(prefix) if prefix.to_lowercase() != *prefix || prefix.contains(['/', ' ']) => {
                blame(&format!("{key}.username_prefix"), "has to be small letters, without / and spaces", "");
            }
            Some(prefix) if !prefix.is_empty() && !prefixes.insert(prefix) => {
                blame(&format!("{key}.username_prefix"), "is another provider's as well", "");
            }
            _ => {}
        }
    }
    if auth.authenticator == Authenticator::Oidc && auth.providers.is_empty() {
        let remedy = "Add a section [[auth.providers]], or choose another method";
        blame("auth.authenticator", "is \"oidc\", and there are no providers", remedy);
    }
    if auth.auto_login && ways(auth) != 1 {
        let what = "sends people on where there is one way to log in, and there are others";
        blame("auth.auto_login", what, "It takes one provider and authenticator = \"oidc\"");
    }
    if auth.auto_login && auth.providers.is_empty() {
        blame("auth.auto_login", "sends people on to a provider, and there is none", "");
    }
}

/// In how many ways people can log in.
fn ways(auth: &AuthConfig) -> usize {
    auth.providers.len() + usize::from(auth.authenticator != Authenticator::Oidc)
}

/// What is allowed and worth a second look, as sentences.
pub fn warnings(auth: &AuthConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    let names = [&auth.allowed_users, &auth.admin_users, &auth.allowed_groups, &auth.admin_groups];
    let by_name = names.iter().any(|list| !list.is_empty()) || auth.allow_existing_users == Some(true);
    for provider in &auth.providers {
        let name = &provider.name;
        if auth.allow_all == Some(true) || provider.allow_all {
            warnings.push(format!("Everybody with an account at the provider {name:?} can log in (allow_all)"));
        } else if !by_name && !provider.lets_in() {
            let remedy = "set its allowed_groups, admin_groups, owner_subjects or allow_all, or auth.allowed_users";
            warnings.push(format!("Nobody of the provider {name:?} can log in: {remedy}"));
        }
        if provider.is_exposed() {
            warnings.push(format!("Tokens would travel unencrypted to the provider {name:?}: use its https address"));
        }
        let groups = !provider.allowed_groups.is_empty() || !provider.admin_groups.is_empty();
        if groups && provider.preset == Preset::Google && provider.google_service_account_keys.is_empty() {
            let remedy = "set google_service_account_keys and gsuite_administrator";
            warnings.push(format!("Google tells no groups: those of the provider {name:?} let nobody in; {remedy}"));
        }
        let groups = groups || !auth.allowed_groups.is_empty() || !auth.admin_groups.is_empty();
        if groups && !auth.enable_auth_state {
            warnings.push(format!(
                "Groups of the provider {name:?} are looked at when somebody logs in, and never again: who loses one stays \
                 logged in, and their API tokens go on; set auth.enable_auth_state, so that the provider is asked anew"
            ));
        }
    }
    warnings
}

/// Serialized only to show defaults in the reference.
impl Serialize for ProviderConfig {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}
