//! All scopes that exist: JupyterHub's own, with what each contains, and the custom ones of the configuration.

use std::collections::BTreeMap;

use super::set::ScopeSet;
use super::text::{ScopeError, ScopeName};

macro_rules! scopes {
    ($($variant:ident $text:literal $description:literal [$($child:ident)*];)+) => {
        /// A scope that JupyterHub 6.1 defines.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scope {
            $(#[doc = $description] $variant,)+
        }

        impl Scope {
            /// Every scope, in the order of JupyterHub's own table.
            pub const ALL: &'static [Scope] = &[$(Scope::$variant,)+];

            /// Its name, as stored and sent.
            pub fn as_str(self) -> &'static str {
                match self { $(Scope::$variant => $text,)+ }
            }

            /// One sentence for people, as on the consent page.
            pub fn description(self) -> &'static str {
                match self { $(Scope::$variant => $description,)+ }
            }

            /// The scopes it directly contains.
            pub fn children(self) -> &'static [Scope] {
                match self { $(Scope::$variant => &[$(Scope::$child,)*],)+ }
            }

            /// Finds a scope by its name.
            pub fn from_name(name: &str) -> Option<Scope> {
                match name { $($text => Some(Scope::$variant),)+ _ => None }
            }
        }
    };
}

scopes! {
    NoScope "(no_scope)" "Identify the owner of the requesting entity." [];
    Own "self" "Your own resources" [];
    Inherit "inherit" "Anything you have access to" [];
    AdminUi "admin-ui" "Access the admin page." [];
    AdminUsers "admin:users" "Read, modify, create, and delete users and their authentication state, not including their servers or tokens. This is an extremely privileged scope and should be considered tantamount to superuser." [AdminAuthState Users ReadRolesUsers DeleteUsers];
    AdminAuthState "admin:auth_state" "Read a user’s authentication state." [];
    Users "users" "Read and write permissions to user models (excluding servers, tokens and authentication state)." [ReadUsers ListUsers UsersActivity];
    DeleteUsers "delete:users" "Delete users." [];
    ListUsers "list:users" "List users, including at least their names." [ReadUsersName];
    ReadUsers "read:users" "Read user models (including the URL of the default server if it is running)." [ReadUsersName ReadUsersGroups ReadUsersActivity];
    ReadUsersName "read:users:name" "Read names of users." [];
    ReadUsersGroups "read:users:groups" "Read users’ group membership." [];
    ReadUsersActivity "read:users:activity" "Read time of last user activity." [];
    ReadRoles "read:roles" "Read role assignments." [ReadRolesUsers ReadRolesServices ReadRolesGroups];
    ReadRolesUsers "read:roles:users" "Read user role assignments." [];
    ReadRolesServices "read:roles:services" "Read service role assignments." [];
    ReadRolesGroups "read:roles:groups" "Read group role assignments." [];
    UsersActivity "users:activity" "Update time of last user activity." [ReadUsersActivity];
    AdminServers "admin:servers" "Read, start, stop, create and delete user servers and their state." [AdminServerState Servers];
    AdminServerState "admin:server_state" "Read and write users’ server state." [];
    Servers "servers" "Start and stop user servers." [ReadServers StartServers DeleteServers];
    ReadServers "read:servers" "Read users’ names and their server models (excluding the server state)." [ReadUsersName];
    StartServers "start:servers" "Start and edit users' servers. (added in JupyterHub 6)" [];
    DeleteServers "delete:servers" "Stop and delete users' servers." [];
    Tokens "tokens" "Read, write, create and delete user tokens." [ReadTokens];
    ReadTokens "read:tokens" "Read user tokens." [];
    AdminGroups "admin:groups" "Read and write group information, create and delete groups." [Groups ReadRolesGroups DeleteGroups];
    Groups "groups" "Read and write group information, including adding/removing any users to/from groups. Note: adding users to groups may affect permissions." [ReadGroups ListGroups];
    ListGroups "list:groups" "List groups, including at least their names." [ReadGroupsName];
    ReadGroups "read:groups" "Read group models." [ReadGroupsName];
    ReadGroupsName "read:groups:name" "Read group names." [];
    DeleteGroups "delete:groups" "Delete groups." [];
    AdminServices "admin:services" "Create, read, update, delete services, not including services defined from config files." [ListServices ReadServices ReadRolesServices];
    ListServices "list:services" "List services, including at least their names." [ReadServicesName];
    ReadServices "read:services" "Read service models." [ReadServicesName];
    ReadServicesName "read:services:name" "Read service names." [];
    ReadHub "read:hub" "Read detailed information about the Hub." [];
    AccessServers "access:servers" "Access user servers via API or browser." [];
    AccessServices "access:services" "Access services via API or browser." [];
    UsersShares "users:shares" "Read and revoke a user's access to shared servers." [ReadUsersShares];
    ReadUsersShares "read:users:shares" "Read servers shared with a user." [];
    GroupsShares "groups:shares" "Read and revoke a group's access to shared servers." [ReadGroupsShares];
    ReadGroupsShares "read:groups:shares" "Read servers shared with a group." [];
    ReadShares "read:shares" "Read information about shared access to servers." [];
    Shares "shares" "Manage access to shared servers." [AccessServers ReadShares UsersShares GroupsShares];
    Proxy "proxy" "Read information about the proxy’s routing table, sync the Hub with the proxy and notify the Hub about a new proxy." [];
    Shutdown "shutdown" "Shutdown the hub." [];
    ReadMetrics "read:metrics" "Read prometheus metrics." [];
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A custom scope as configured: meaningful to services only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom {
    /// One sentence for people.
    pub description: String,
    /// Names of the custom scopes it directly contains.
    pub subscopes: Vec<String>,
}

/// The scopes of one hub: the built-in ones and its custom ones.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    custom: BTreeMap<String, Custom>,
}

impl Catalogue {
    /// Checks the custom scopes of the configuration: their names, their descriptions, and that each sub-scope exists.
    pub fn new(custom: BTreeMap<String, Custom>) -> Result<Self, ScopeError> {
        for (name, definition) in &custom {
            if !is_custom_name(name) {
                return Err(ScopeError::CustomName(name.clone()));
            }
            if definition.description.is_empty() {
                return Err(ScopeError::CustomDescription(name.clone()));
            }
            if let Some(missing) = definition.subscopes.iter().find(|sub| !custom.contains_key(*sub)) {
                return Err(ScopeError::CustomSubscope { scope: name.clone(), missing: missing.clone() });
            }
        }
        Ok(Self { custom })
    }

    /// Finds a scope by its name without filter.
    pub fn find(&self, name: &str) -> Option<ScopeName> {
        match Scope::from_name(name) {
            Some(scope) => Some(ScopeName::Known(scope)),
            None => self.custom.get_key_value(name).map(|(name, _)| ScopeName::Custom(name.clone())),
        }
    }

    /// One sentence about a scope, for people.
    pub fn description(&self, scope: &ScopeName) -> &str {
        match scope {
            ScopeName::Known(scope) => scope.description(),
            ScopeName::Custom(name) => self.custom.get(name).map_or("", |custom| &custom.description),
        }
    }

    /// The scope itself and all it contains. Ends also when custom scopes contain each other.
    pub(super) fn closure(&self, scope: &ScopeName) -> ScopeSet {
        let mut found = ScopeSet::default();
        match scope {
            ScopeName::Known(scope) => add_closure(*scope, &mut found),
            ScopeName::Custom(name) => self.add_custom_closure(name, &mut found),
        }
        found
    }

    fn add_custom_closure(&self, name: &str, found: &mut ScopeSet) {
        if found.contains_custom(name) {
            return;
        }
        found.insert(ScopeName::Custom(name.to_owned()));
        for sub in self.custom.get(name).map_or(&[][..], |custom| &custom.subscopes) {
            self.add_custom_closure(sub, found);
        }
    }
}

fn add_closure(scope: Scope, found: &mut ScopeSet) {
    found.insert(ScopeName::Known(scope));
    for &child in scope.children() {
        add_closure(child, found);
    }
}

/// JupyterHub's rule: `^custom:[a-z0-9][a-z0-9_\-\*:]+[a-z0-9_\*]$`.
fn is_custom_name(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("custom:") else { return false };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let last = |byte: u8| plain(byte) || matches!(byte, b'_' | b'*');
    let inner = |byte: u8| last(byte) || matches!(byte, b'-' | b':');
    match rest.as_bytes() {
        [first, middle @ .., end] => {
            plain(*first) && !middle.is_empty() && middle.iter().all(|&byte| inner(byte)) && last(*end)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(subscopes: &[&str]) -> Custom {
        Custom { description: "something".into(), subscopes: subscopes.iter().map(|&sub| sub.into()).collect() }
    }

    #[test]
    fn every_scope_is_found_by_its_own_name() {
        for &scope in Scope::ALL {
            assert_eq!(Scope::from_name(scope.as_str()), Some(scope));
        }
        assert_eq!(Scope::ALL.len(), 48);
        assert_eq!(Scope::from_name("all"), None);
    }

    #[test]
    fn custom_names_follow_the_pattern() {
        for good in ["custom:x:read", "custom:abc", "custom:0a*", "custom:jupyter_server:read:contents"] {
            assert!(is_custom_name(good), "{good}");
        }
        for bad in
            ["custom:", "custom:ab", "custom:a-b-", "custom:Abc", "custom:_ab", "users", "custom:ab:", "custom:é2x"]
        {
            assert!(!is_custom_name(bad), "{bad}");
        }
    }

    #[test]
    fn custom_scopes_are_checked_together() {
        let loop_ = BTreeMap::from([
            ("custom:aaa".into(), custom(&["custom:bbb"])),
            ("custom:bbb".into(), custom(&["custom:aaa"])),
        ]);
        let catalogue = Catalogue::new(loop_).unwrap();
        let held = catalogue.find("custom:aaa").unwrap();
        assert_eq!(catalogue.closure(&held).iter().count(), 2);

        let builtin = BTreeMap::from([("custom:aaa".into(), custom(&["users"]))]);
        assert!(matches!(Catalogue::new(builtin), Err(ScopeError::CustomSubscope { .. })));
        let silent = BTreeMap::from([("custom:aaa".into(), Custom { description: String::new(), subscopes: vec![] })]);
        assert!(matches!(Catalogue::new(silent), Err(ScopeError::CustomDescription(_))));
        let wrong = BTreeMap::from([("users".into(), custom(&[]))]);
        assert!(matches!(Catalogue::new(wrong), Err(ScopeError::CustomName(_))));
    }
}
