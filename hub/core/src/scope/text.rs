//! One scope as a text: a name and perhaps a filter, `servers!user=alice`. Parsing only, nothing is expanded here.

use super::catalogue::{Catalogue, Scope};

/// Why a scope was refused. The texts are JupyterHub's where it has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// No such scope.
    #[error("Scope '{0}' does not exist")]
    Unknown(String),
    /// The name JupyterHub's drafts used.
    #[error("Draft scope 'all' is now called 'inherit'")]
    Draft,
    /// The part after `!` is none that exists, or names nothing.
    #[error("Scope filter '!{filter}' in scope '{scope}' does not exist")]
    Filter { scope: String, filter: String },
    /// A share concerns one server only.
    #[error("!{filter} not allowed on sharing {scope}, only !{only}")]
    ShareFilter { scope: String, filter: String, only: String },
    /// A custom scope's name breaks the rule.
    #[error(
        "Invalid scope name: '{0}'. Custom scopes must start with `custom:` and contain only lowercase ascii letters, \
         numbers, hyphen, underscore, colon, and asterisk (-_:*). The part after `custom:` must start with a letter \
         or number. Scopes may not end with a hyphen or colon."
    )]
    CustomName(String),
    /// A custom scope says nothing for people.
    #[error("scope {0} missing key 'description'")]
    CustomDescription(String),
    /// A custom scope contains what is not a custom scope.
    #[error(
        "subscope {missing} in {scope} not found. Custom scopes may only have custom subscopes, and all must be defined"
    )]
    CustomSubscope { scope: String, missing: String },
}

/// The name of a scope that exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScopeName {
    /// One of JupyterHub's.
    Known(Scope),
    /// One of the configuration, `custom:…`.
    Custom(String),
}

impl ScopeName {
    /// Its name, as stored and sent.
    pub fn as_str(&self) -> &str {
        match self {
            ScopeName::Known(scope) => scope.as_str(),
            ScopeName::Custom(name) => name,
        }
    }
}

/// The kinds of things a filter may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A user, by name.
    User,
    /// A group, by name.
    Group,
    /// A server, as `user/server`; `user/` is the default server.
    Server,
    /// A service, by name.
    Service,
}

impl Kind {
    /// Its word in a filter.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Group => "group",
            Kind::Server => "server",
            Kind::Service => "service",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Kind::User, Kind::Group, Kind::Server, Kind::Service].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What a scope is limited to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filter {
    /// Nothing: it holds for all.
    None,
    /// `!user`, `!server`, `!service`: whoever holds it. Groups have no such form.
    Holder(Kind),
    /// `!user=alice`: one thing by name.
    One(Kind, String),
}

/// A scope as roles and tokens store it, before expansion.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawScope {
    /// Which scope.
    pub name: ScopeName,
    /// What it is limited to.
    pub filter: Filter,
}

impl RawScope {
    /// A built-in scope without filter.
    pub fn plain(scope: Scope) -> Self {
        Self { name: ScopeName::Known(scope), filter: Filter::None }
    }

    /// A built-in scope for one thing.
    pub fn one(scope: Scope, kind: Kind, name: impl Into<String>) -> Self {
        Self { name: ScopeName::Known(scope), filter: Filter::One(kind, name.into()) }
    }

    /// A built-in scope for whoever holds it.
    pub fn holder(scope: Scope, kind: Kind) -> Self {
        Self { name: ScopeName::Known(scope), filter: Filter::Holder(kind) }
    }
}

impl std::fmt::Display for RawScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name.as_str())?;
        match &self.filter {
            Filter::None => Ok(()),
            Filter::Holder(kind) => write!(f, "!{}", kind.as_str()),
            Filter::One(kind, name) => write!(f, "!{}={name}", kind.as_str()),
        }
    }
}

impl Catalogue {
    /// Reads one scope. A filter that names nothing is an error: it must never widen to "everything".
    pub fn parse(&self, text: &str) -> Result<RawScope, ScopeError> {
        let (name, filter) = match text.split_once('!') {
            None => (text, None),
            Some((name, filter)) => (name, Some(filter)),
        };
        if name == "all" {
            return Err(ScopeError::Draft);
        }
        let name = self.find(name).ok_or_else(|| ScopeError::Unknown(text.to_owned()))?;
        let filter = match filter {
            None => Filter::None,
            Some(filter) => parse_filter(filter)
                .ok_or_else(|| ScopeError::Filter { scope: text.to_owned(), filter: filter.to_owned() })?,
        };
        Ok(RawScope { name, filter })
    }

    /// Reads all scopes of a list, or refuses at the first bad one. For what people and clients send.
    pub fn parse_all<S: AsRef<str>>(&self, texts: impl IntoIterator<Item = S>) -> Result<Vec<RawScope>, ScopeError> {
        texts.into_iter().map(|text| self.parse(text.as_ref())).collect()
    }

    /// Reads the scopes of a list that exist. For what the database keeps: a custom scope taken out of the
    /// configuration must not lock its holders out, and gives no right.
    pub fn parse_stored<S: AsRef<str>>(&self, texts: impl IntoIterator<Item = S>) -> Vec<RawScope> {
        texts.into_iter().filter_map(|text| self.parse(text.as_ref()).ok()).collect()
    }
}

fn parse_filter(filter: &str) -> Option<Filter> {
    match filter.split_once('=') {
        None => match Kind::from_name(filter)? {
            Kind::Group => None,
            kind => Some(Filter::Holder(kind)),
        },
        Some((_, "")) => None,
        Some((kind, name)) => Some(Filter::One(Kind::from_name(kind)?, name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_reads_back_as_it_was_written() {
        let catalogue = Catalogue::default();
        for text in [
            "users",
            "self",
            "(no_scope)",
            "servers!user",
            "servers!server",
            "access:services!service",
            "servers!user=alice",
            "servers!server=alice/",
            "read:groups!group=odd!name=with signs",
        ] {
            assert_eq!(catalogue.parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_filter_that_names_nothing_is_refused() {
        let catalogue = Catalogue::default();
        for text in ["users!", "users!user=", "users!group", "users!self", "users!=x", "users!users=x", "users!User=x"]
        {
            assert!(matches!(catalogue.parse(text), Err(ScopeError::Filter { .. })), "{text}");
        }
        assert_eq!(catalogue.parse("all"), Err(ScopeError::Draft));
        assert_eq!(catalogue.parse("custom:gone").unwrap_err().to_string(), "Scope 'custom:gone' does not exist");
        assert_eq!(catalogue.parse_stored(["users", "custom:gone", "users!"]).len(), 1);
    }
}
