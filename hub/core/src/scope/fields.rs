//! Which fields of a JSON model the rights of a request reveal. `kind` and `name` come with any of the others.

use super::catalogue::Scope;
use super::reach::Target;
use super::rights::Rights;

/// The visible fields of a user model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct UserFields {
    /// `kind` and `name`; without them nothing is visible.
    pub name: bool,
    pub admin: bool,
    pub user_info: bool,
    pub groups: bool,
    pub roles: bool,
    /// URL of the default server, or null.
    pub server: bool,
    pub pending: bool,
    pub created: bool,
    pub last_activity: bool,
    /// The key is present, perhaps empty. Each server is still to be asked for with its own target.
    pub servers: bool,
    pub auth_state: bool,
}

/// The visible fields of a group model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupFields {
    /// `kind` and `name`; without them nothing is visible.
    pub name: bool,
    /// `properties` and `users`.
    pub content: bool,
    pub roles: bool,
}

/// The visible fields of a service model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServiceFields {
    /// `kind`, `name` and `admin`; without them nothing is visible.
    pub name: bool,
    /// `url`, `prefix`, `command`, `pid`, `info` and `display`.
    pub content: bool,
    pub roles: bool,
}

impl Rights {
    /// The fields of a user that these rights reveal; `groups` are the user's.
    pub fn user_fields(&self, name: &str, groups: &[String]) -> UserFields {
        let target = Target::User { name, groups };
        let sees = |scope| self.covers(scope, &target);
        let all = sees(Scope::ReadUsers);
        let (name, roles) = (sees(Scope::ReadUsersName), sees(Scope::ReadRolesUsers));
        let mut fields = UserFields {
            name: false,
            admin: all || name || roles,
            user_info: all || name,
            groups: all || sees(Scope::ReadUsersGroups),
            roles: all || roles,
            server: all,
            pending: all,
            created: all,
            last_activity: all || sees(Scope::ReadUsersActivity),
            servers: sees(Scope::ReadServers),
            auth_state: sees(Scope::AdminAuthState),
        };
        fields.name = fields != UserFields::default();
        fields
    }

    /// The fields of a group that these rights reveal.
    pub fn group_fields(&self, name: &str) -> GroupFields {
        let sees = |scope| self.covers(scope, &Target::Group(name));
        let (content, roles) = (sees(Scope::ReadGroups), sees(Scope::ReadRolesGroups));
        GroupFields { name: content || roles || sees(Scope::ReadGroupsName), content, roles }
    }

    /// The fields of a service that these rights reveal.
    pub fn service_fields(&self, name: &str) -> ServiceFields {
        let sees = |scope| self.covers(scope, &Target::Service(name));
        let (content, roles) = (sees(Scope::ReadServices), sees(Scope::ReadRolesServices));
        ServiceFields { name: content || roles || sees(Scope::ReadServicesName), content, roles }
    }
}
