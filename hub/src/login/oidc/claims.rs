//! What a provider says of somebody, read from its tokens and answers: claims by path, name, groups, roles.

use serde_json::{Map, Value};

use super::group;
use super::preset::Preset;
use super::statement::{Source, Statement};
use super::trouble::Trouble;
use crate::config::ProviderConfig;

/// So many groups of one person are looked at.
const MOST_GROUPS: usize = 10_000;
/// How a path begins that leads into one place only.
const PLACES: [&str; 3] = ["oauth_user.", "id_token.", "access_token."];
/// How deep a path may lead.
const DEEPEST: usize = 16;

/// Somebody, as a provider knows them. What the rules of admission look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The provider, by its name in the configuration.
    pub provider: String,
    /// The provider, by its own name.
    pub issuer: String,
    /// The provider's own number of the person: never given to anybody else.
    pub subject: String,
    /// The user name, with prefix and without domain as configured; not normalised yet.
    pub username: String,
    /// What people call them.
    pub display: Option<String>,
    /// The groups as the hub names them: no slash at the ends, entitlements as paths.
    pub groups: Vec<String>,
    /// The groups as the provider wrote them.
    pub raw_groups: Vec<String>,
    /// The names of roles, where the configuration says where they are.
    pub roles: Option<Vec<String>>,
}

/// What a provider said, place by place. Null where it said nothing.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// The claims of the ID token.
    pub id_token: Value,
    /// Whether that is one of before: none came now.
    pub is_id_token_old: bool,
    /// The answer of the userinfo endpoint.
    pub userinfo: Value,
    /// The claims of the access token.
    pub access_token: Value,
    /// Groups that were asked for elsewhere, where that was done.
    pub more_groups: Option<Vec<String>>,
    /// GitHub's teams, as it tells them.
    pub teams: Option<Vec<Value>>,
}

/// What was said the last time: nothing at a login.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// The provider's own number of the person.
    pub subject: String,
    /// The claims of the last ID token, or null.
    pub id_token: Value,
    /// Who told which groups.
    pub groups: Option<Statement>,
    /// Who told which roles.
    pub roles: Option<Statement>,
}

/// Somebody, and who told their groups and roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Who it is.
    pub claims: Claims,
    /// Who told which groups.
    pub groups: Statement,
    /// Who told which roles, where the configuration says where they are.
    pub roles: Option<Statement>,
}

impl Said {
    /// All values of a path, in the order in which they count: userinfo, ID token, access token.
    fn all<'s>(&'s self, path: &'s str) -> impl Iterator<Item = &'s Value> {
        let places =
            [("oauth_user.", &self.userinfo), ("id_token.", &self.id_token), ("access_token.", &self.access_token)];
        let one = places.into_iter().find_map(|(place, value)| Some((value, path.strip_prefix(place)?)));
        let all = match one {
            Some(one) => vec![one],
            None => places.into_iter().map(|(_, value)| (value, path)).collect(),
        };
        all.into_iter().filter_map(|(value, path)| find(value, path, DEEPEST))
    }

    /// The first text or number of a path.
    pub fn text(&self, path: &str) -> Option<String> {
        self.all(path).find_map(|value| match value {
            Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    }

    /// Who told which names, by the lists of some paths.
    fn statement<'p>(&self, paths: impl Iterator<Item = &'p str> + Clone) -> Statement {
        let mut statement = Statement::default();
        for (source, place, value) in [
            (Source::Userinfo, "oauth_user.", &self.userinfo),
            (Source::IdToken, "id_token.", &self.id_token),
            (Source::AccessToken, "access_token.", &self.access_token),
        ] {
            let is_silent = value.is_null() || source == Source::IdToken && self.is_id_token_old;
            if !is_silent {
                statement.add(source, names(value, place, paths.clone()));
            }
        }
        statement
    }
}

/// Every name in the lists of some paths, each once, in their order; `None` where there is no such claim. A path may begin
/// with a place: then it is of this one or of no interest.
fn names<'p>(value: &Value, place: &str, paths: impl Iterator<Item = &'p str>) -> Option<Vec<String>> {
    let mut names: Option<Vec<String>> = None;
    for path in paths {
        let own = path.strip_prefix(place);
        if own.is_none() && PLACES.iter().any(|other| path.starts_with(other)) {
            continue;
        }
        let Some(found) = find(value, own.unwrap_or(path), DEEPEST).filter(|found| !found.is_null()) else { continue };
        let names = names.get_or_insert_default();
        for name in listed(found) {
            if is_plausible(&name) && !names.contains(&name) && names.len() < MOST_GROUPS {
                names.push(name);
            }
        }
    }
    names
}

/// Leads along a path. A claim whose name has dots itself goes before one that is nested: `wlcg.groups` is one name.
fn find<'v>(value: &'v Value, path: &str, depth: usize) -> Option<&'v Value> {
    let members = value.as_object()?;
    if let Some(found) = members.get(path) {
        return Some(found);
    }
    if depth == 0 {
        return None;
    }
    let dots = path.match_indices('.').map(|(at, _)| at);
    dots.filter_map(|at| Some((path.get(..at)?, path.get(at + 1..)?)))
        .find_map(|(head, rest)| find(members.get(head)?, rest, depth - 1))
}

/// The names in a claim: a list of texts, of objects with a name, or one text. Anything else holds none.
fn listed(value: &Value) -> Vec<String> {
    let named = |members: &Map<String, Value>| {
        ["name", "path", "display", "id"].into_iter().find_map(|key| members.get(key)?.as_str()).map(str::to_owned)
    };
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Object(members) => named(members),
        _ => None,
    };
    match value {
        Value::Array(items) => items.iter().filter_map(one).collect(),
        other => one(other).into_iter().collect(),
    }
}

/// Whether a text can be a name here: of a group, of somebody.
fn is_plausible(name: &str) -> bool {
    !name.is_empty() && name.chars().count() <= crate::hook::person::LONGEST_GROUP && !name.contains(char::is_control)
}

/// Reads who somebody is, and what of their groups and roles goes on being so.
pub fn read(config: &ProviderConfig, issuer: &str, said: &Said, before: &Before) -> Result<Heard, Trouble> {
    let defaults = config.preset.defaults();
    let subject = match config.preset {
        // A number, and the only thing about an account of GitHub that stays.
        Preset::Github => said.text("oauth_user.id"),
        _ => said.text("id_token.sub").or_else(|| said.text("oauth_user.sub")),
    };
    let subject = subject.filter(|subject| is_plausible(subject));
    let subject = subject.ok_or_else(|| Trouble::Broken("it does not say who somebody is (sub)".to_owned()))?;
    required(config, said)?;
    let claim = config.username_claim.as_deref().unwrap_or(defaults.username_claim);
    let username = said.text(claim).filter(|username| is_plausible(username)).ok_or_else(|| {
        Trouble::Incomplete(format!("the claim {claim:?}, which has the user name (username_claim), is not told"))
    })?;
    if is_email(claim) && said.all("email_verified").any(is_false) {
        return Err(Trouble::Incomplete("the e-mail address, which is the user name, is not verified".to_owned()));
    }
    if let Some(domain) = &config.identity_provider
        && !username.rsplit_once('@').is_some_and(|(_, own)| own.eq_ignore_ascii_case(domain))
    {
        return Err(Trouble::Required(claim.to_owned()));
    }
    let told = groups(config, said);
    let told = stands(told, before.groups.as_ref());
    let mut raw_groups = told.names();
    raw_groups.truncate(MOST_GROUPS);
    let roles = config
        .roles_claim
        .as_deref()
        .map(|claim| stands(said.statement(std::iter::once(claim)), before.roles.as_ref()));
    let namespaces = config.namespaces();
    let mut groups: Vec<String> = Vec::new();
    for name in raw_groups.iter().flat_map(|raw| group::names(raw, &namespaces)) {
        if !groups.contains(&name) {
            groups.push(name);
        }
    }
    let claims = Claims {
        provider: config.name.clone(),
        issuer: issuer.to_owned(),
        subject,
        username: format!("{}{}", config.username_prefix.as_deref().unwrap_or_default(), strip(config, &username)),
        display: said.text("name").filter(|name| is_plausible(name)),
        groups,
        raw_groups,
        roles: roles.as_ref().map(Statement::names),
    };
    Ok(Heard { claims, groups: told, roles })
}

/// What is told now, with what goes on being so.
fn stands(told: Statement, before: Option<&Statement>) -> Statement {
    match before {
        Some(before) => told.after(before),
        None => told,
    }
}

/// Who tells which groups now.
fn groups(config: &ProviderConfig, said: &Said) -> Statement {
    let mut told = match &config.auth_state_groups_key {
        Some(key) => said.statement(std::iter::once(key.as_str())),
        None => said.statement(config.preset.defaults().group_claims.iter().copied()),
    };
    if let Some(more) = &said.more_groups {
        told.add(Source::Asked, Some(more.iter().filter(|name| is_plausible(name)).cloned().collect()));
    }
    told
}

fn required(config: &ProviderConfig, said: &Said) -> Result<(), Trouble> {
    if !config.hosted_domain.is_empty() {
        let told = said.text("hd").unwrap_or_default();
        if !config.hosted_domain.iter().any(|domain| domain.eq_ignore_ascii_case(&told)) {
            return Err(Trouble::Required("hd".to_owned()));
        }
    }
    for (claim, values) in &config.required_claims {
        let told: Vec<String> = said.all(claim).flat_map(listed).collect();
        if !told.iter().any(|told| values.contains(told)) {
            return Err(Trouble::Required(claim.clone()));
        }
    }
    Ok(())
}

fn is_email(claim: &str) -> bool {
    claim.rsplit('.').next() == Some("email")
}

fn is_false(value: &Value) -> bool {
    matches!(value, Value::Bool(false)) || value.as_str() == Some("false")
}

fn strip<'n>(config: &ProviderConfig, username: &'n str) -> &'n str {
    match username.rsplit_once('@') {
        Some((name, domain)) if config.strip_domain.iter().any(|known| known.eq_ignore_ascii_case(domain)) => name,
        _ => username,
    }
}
