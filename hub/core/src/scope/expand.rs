//! From stored scopes to rights: sub-scopes, `self`, filters on the holder; of roles, shares and tokens.

use super::catalogue::{Catalogue, Scope};
use super::intersect::{Membership, questions};
use super::rights::Rights;
use super::set::ScopeSet;
use super::text::{Filter, Kind, RawScope, ScopeError, ScopeName};
use std::collections::BTreeSet;

/// Who holds the scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    /// A user, by name.
    User(&'a str),
    /// A service, by name.
    Service(&'a str),
}

/// The OAuth client a token was issued to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client<'a> {
    /// `jupyterhub`: an API token, or no token at all.
    Hub,
    /// A user's server; an empty name is the default one.
    Server { user: &'a str, name: &'a str },
    /// A service.
    Service(&'a str),
    /// A client whose server or service is gone.
    Orphan,
}

/// Access to one server that somebody shared.
#[derive(Debug, Clone, Copy)]
pub struct Share<'a> {
    /// The server's owner.
    pub owner: &'a str,
    /// The server's name, empty for the default one.
    pub server: &'a str,
    /// The scopes as stored.
    pub scopes: &'a [String],
}

const OF_SELF: [Scope; 7] = [
    Scope::ReadUsers,
    Scope::UsersShares,
    Scope::ReadShares,
    Scope::UsersActivity,
    Scope::Servers,
    Scope::Tokens,
    Scope::AccessServers,
];

/// Not implied on a server: being allowed on one must not give the data of its user.
const OF_USERS: [Scope; 5] =
    [Scope::ReadUsers, Scope::ReadUsersName, Scope::ReadUsersGroups, Scope::ReadUsersActivity, Scope::ReadUsersShares];

/// The scopes by which somebody may always be identified.
pub fn identify_scopes(owner: Owner<'_>) -> Vec<RawScope> {
    match owner {
        Owner::User(name) => {
            [Scope::ReadUsersGroups, Scope::ReadUsersName].map(|scope| RawScope::one(scope, Kind::User, name)).into()
        }
        Owner::Service(name) => vec![RawScope::one(Scope::ReadServicesName, Kind::Service, name)],
    }
}

/// The same before it is known who somebody is, as OAuth tokens store them.
pub fn identify_anybody() -> Vec<RawScope> {
    let own = |scope| RawScope { name: ScopeName::Known(scope), filter: Filter::Holder(Kind::User) };
    [Scope::ReadUsersGroups, Scope::ReadUsersName].map(own).into()
}

/// The scopes of which one opens the server or service behind an OAuth client.
pub fn access_scopes(client: Client<'_>) -> Vec<RawScope> {
    match client {
        Client::Hub | Client::Orphan => Vec::new(),
        Client::Server { user, name } => {
            vec![RawScope::one(Scope::AccessServers, Kind::Server, format!("{user}/{name}"))]
        }
        Client::Service(name) => vec![RawScope::one(Scope::AccessServices, Kind::Service, name)],
    }
}

impl Rights {
    /// Expands scopes: sub-scopes inherit the filter, filters on the holder get its name, `self` becomes what it
    /// stands for. A filter on a kind of holder that this one is not gives nothing.
    pub fn expand<'r>(
        catalogue: &Catalogue,
        scopes: impl IntoIterator<Item = &'r RawScope>,
        owner: Owner<'_>,
        client: Client<'_>,
    ) -> Self {
        let mut rights = Rights::default();
        for scope in scopes {
            if *scope == RawScope::plain(Scope::Own) {
                rights.add_self(catalogue, owner);
                continue;
            }
            let thing = match &scope.filter {
                Filter::None => {
                    rights.add_all(&catalogue.closure(&scope.name));
                    continue;
                }
                Filter::Holder(kind) => holder(*kind, owner, client).map(|name| (*kind, name)),
                Filter::One(kind, name) => Some((*kind, name.clone())),
            };
            let Some((kind, name)) = thing else { continue };
            let mut scopes = catalogue.closure(&scope.name);
            if kind == Kind::Server {
                OF_USERS.iter().for_each(|&scope| scopes.remove(scope));
            }
            rights.add(kind, name, &scopes);
        }
        rights
    }

    fn add_self(&mut self, catalogue: &Catalogue, owner: Owner<'_>) {
        let Owner::User(user) = owner else { return };
        let mut scopes = ScopeSet::default();
        for scope in OF_SELF {
            scopes.extend(&catalogue.closure(&ScopeName::Known(scope)));
        }
        self.add(Kind::User, user.to_owned(), &scopes);
    }

    /// The rights of a user: its own and its groups' roles, and what was shared with it or its groups.
    /// Stored scopes that no longer exist give nothing.
    pub fn of_user<'s>(
        catalogue: &Catalogue,
        user: &str,
        role_scopes: impl IntoIterator<Item = &'s String>,
        shares: impl IntoIterator<Item = Share<'s>>,
    ) -> Self {
        let roles = catalogue.parse_stored(role_scopes);
        let mut rights = Self::expand(catalogue, &roles, Owner::User(user), Client::Hub);
        for share in shares {
            let scopes = share.stored(catalogue);
            let client = Client::Server { user: share.owner, name: share.server };
            rights.extend(Self::expand(catalogue, &scopes, Owner::User(user), client));
        }
        rights
    }

    /// The rights of a service: its roles.
    pub fn of_service<'s>(
        catalogue: &Catalogue,
        service: &str,
        role_scopes: impl IntoIterator<Item = &'s String>,
    ) -> Self {
        let roles = catalogue.parse_stored(role_scopes);
        Self::expand(catalogue, &roles, Owner::Service(service), Client::Hub)
    }

    /// The rights of a token: never more than `held`, its owner's at this moment. `members` must answer
    /// [`Rights::token_questions`].
    pub fn of_token(
        catalogue: &Catalogue,
        stored: &[String],
        owner: Owner<'_>,
        client: Client<'_>,
        held: &Rights,
        members: &Membership,
    ) -> Self {
        match asked(catalogue, stored, owner, client) {
            None => held.clone(),
            Some(asked) => asked.intersect(held, members),
        }
    }

    /// Whose groups must be known to find the rights of a token. Empty for nearly every token.
    pub fn token_questions(
        catalogue: &Catalogue,
        stored: &[String],
        owner: Owner<'_>,
        client: Client<'_>,
        held: &Rights,
    ) -> BTreeSet<String> {
        asked(catalogue, stored, owner, client).map_or_else(BTreeSet::new, |asked| questions(&asked, held))
    }

    /// Adds what `GET /user` may always tell about the one who asks.
    pub fn identify(&mut self, owner: Owner<'_>) {
        self.extend(Self::expand(&Catalogue::default(), &identify_scopes(owner), owner, Client::Hub));
    }
}

/// What a token claims; `None` means "all that its owner has".
fn asked(catalogue: &Catalogue, stored: &[String], owner: Owner<'_>, client: Client<'_>) -> Option<Rights> {
    let mut scopes = catalogue.parse_stored(stored);
    if scopes.contains(&RawScope::plain(Scope::Inherit)) {
        return None;
    }
    scopes.extend(access_scopes(client));
    scopes.extend(identify_scopes(owner));
    Some(Rights::expand(catalogue, &scopes, owner, client))
}

impl Share<'_> {
    /// The stored scopes, each on this very server whatever was written: the owner may have been renamed since.
    pub fn stored(&self, catalogue: &Catalogue) -> Vec<RawScope> {
        let server = format!("{}/{}", self.owner, self.server);
        let mut scopes = catalogue.parse_stored(self.scopes);
        for scope in &mut scopes {
            scope.filter = Filter::One(Kind::Server, server.clone());
        }
        scopes
    }

    /// The scopes for a new share: each gets the filter on this server; any other filter is refused.
    pub fn requested(&self, catalogue: &Catalogue) -> Result<Vec<RawScope>, ScopeError> {
        let server = Filter::One(Kind::Server, format!("{}/{}", self.owner, self.server));
        let mut scopes = catalogue.parse_all(self.scopes)?;
        for scope in &mut scopes {
            if scope.filter != Filter::None && scope.filter != server {
                let text = scope.to_string();
                let filter = text.split_once('!').map_or("", |(_, filter)| filter).to_owned();
                return Err(ScopeError::ShareFilter {
                    scope: text,
                    filter,
                    only: format!("server={}/{}", self.owner, self.server),
                });
            }
            scope.filter = server.clone();
        }
        Ok(scopes)
    }
}

fn holder(kind: Kind, owner: Owner<'_>, client: Client<'_>) -> Option<String> {
    match (kind, owner, client) {
        (Kind::User, Owner::User(name), _) => Some(name.to_owned()),
        (Kind::Server, _, Client::Server { user, name }) => Some(format!("{user}/{name}")),
        // A token that a service issued concerns that service, whoever owns the token.
        (Kind::Service, _, Client::Service(name)) | (Kind::Service, Owner::Service(name), _) => Some(name.to_owned()),
        _ => None,
    }
}
