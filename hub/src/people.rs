//! People as the REST API and its guards look at them: a user with groups, roles and servers.

use std::collections::HashMap;
use std::sync::Arc;

use hub_core::id::UserId;
use hub_store::{Server, Store, StoreError, User, UserQuery};

use crate::memory::Memory;

/// So many people are remembered.
const PEOPLE: usize = 20_000;
/// So many pages of the list are remembered.
const PAGES: usize = 64;

/// A user with what belongs to it.
#[derive(Debug, Clone)]
pub struct Person {
    /// The user.
    pub user: User,
    /// Names of its groups.
    pub groups: Vec<String>,
    /// Names of its own roles.
    pub roles: Vec<String>,
    /// All its servers, running or not.
    pub servers: Vec<Server>,
}

impl Person {
    /// One of the servers.
    pub fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.name == name)
    }
}

/// A part of the list of people.
pub struct People {
    /// In the order asked for.
    pub items: Vec<Person>,
    /// How many there are on all pages.
    pub total: i64,
}

/// What is remembered of people.
pub struct Register {
    by_name: Memory<String, Person>,
    pages: Memory<String, People>,
}

impl Default for Register {
    fn default() -> Self {
        Self { by_name: Memory::new(PEOPLE), pages: Memory::new(PAGES) }
    }
}

impl Register {
    /// Finds somebody by name.
    pub async fn person(&self, store: &Store, name: &str) -> Result<Option<Arc<Person>>, StoreError> {
        let ask = async {
            let Some(user) = store.user(name).await? else { return Ok(None) };
            Ok(complete(store, vec![user]).await?.pop())
        };
        self.by_name.get(store, name.to_owned(), ask).await
    }

    /// A part of the list.
    pub async fn list(&self, store: &Store, query: &UserQuery) -> Result<Arc<People>, StoreError> {
        let ask = async {
            let page = store.list_users(query).await?;
            Ok(Some(People { items: complete(store, page.items).await?, total: page.total }))
        };
        let page = self.pages.get(store, format!("{query:?}"), ask).await?;
        Ok(page.unwrap_or_else(|| Arc::new(People { items: Vec::new(), total: 0 })))
    }
}

/// Adds groups, roles and servers, with one query of each for all.
pub async fn complete(store: &Store, users: Vec<User>) -> Result<Vec<Person>, StoreError> {
    let ids: Vec<UserId> = users.iter().map(|user| user.id).collect();
    let mut groups = store.groups_of_users(&ids).await?;
    let mut roles = store.own_roles_of_users(&ids).await?;
    let mut servers: HashMap<UserId, Vec<Server>> = HashMap::new();
    for server in store.servers_of(&ids).await? {
        servers.entry(server.user_id).or_default().push(server);
    }
    let person = |user: User| Person {
        groups: groups.remove(&user.id).unwrap_or_default(),
        roles: roles.remove(&user.id).unwrap_or_default(),
        servers: servers.remove(&user.id).unwrap_or_default(),
        user,
    };
    Ok(users.into_iter().map(person).collect())
}
