//! JupyterHub's scopes in words.

use super::{Words, fill};

/// What one scope allows.
#[derive(Debug)]
pub struct ScopeWords {
    /// The scope without filter.
    pub scope: &'static str,
    /// What it allows, as the end of a sentence that begins with "It may".
    pub may: &'static str,
    /// The words for its filter, if this entry is one of the filter entries (`!user`, `!group=` …).
    pub of: &'static str,
}

const fn may(scope: &'static str, may: &'static str) -> ScopeWords {
    ScopeWords { scope, may, of: "" }
}

const fn of(scope: &'static str, of: &'static str) -> ScopeWords {
    ScopeWords { scope, may: "", of }
}

/// The scopes of JupyterHub 6.1 (`jupyterhub/scopes.py`), then the filters.
pub(super) static ENGLISH: &[ScopeWords] = &[
    may("(no_scope)", "know who you are"),
    may("identify", "know who you are"),
    may("self", "do everything with your own account and servers"),
    may("inherit", "do everything you may do"),
    may("admin-ui", "open the admin panel"),
    may("admin:users", "do everything with accounts, except their servers and tokens"),
    may("admin:auth_state", "read what the identity provider told about people"),
    may("users", "read and change accounts"),
    may("delete:users", "delete accounts"),
    may("list:users", "list accounts"),
    may("read:users", "read about accounts"),
    may("read:users:name", "read names of accounts"),
    may("read:users:groups", "read the groups of accounts"),
    may("read:users:activity", "read when accounts were last active"),
    may("read:roles", "read who has which role"),
    may("read:roles:users", "read the roles of accounts"),
    may("read:roles:services", "read the roles of services"),
    may("read:roles:groups", "read the roles of groups"),
    may("users:activity", "report that accounts are active"),
    may("admin:servers", "do everything with servers and their state"),
    may("admin:server_state", "read and change the state of servers"),
    may("servers", "start and stop servers"),
    may("read:servers", "read about servers"),
    may("start:servers", "start servers"),
    may("delete:servers", "stop and delete servers"),
    may("tokens", "make, read and revoke tokens"),
    may("read:tokens", "read about tokens"),
    may("admin:groups", "make, change and delete groups"),
    may("groups", "read groups and change who is in them"),
    may("list:groups", "list groups"),
    may("read:groups", "read about groups"),
    may("read:groups:name", "read names of groups"),
    may("delete:groups", "delete groups"),
    may("admin:services", "make, change and delete services"),
    may("list:services", "list services"),
    may("read:services", "read about services"),
    may("read:services:name", "read names of services"),
    may("read:hub", "read details about the hub"),
    may("access:servers", "use servers"),
    may("access:services", "use services"),
    may("users:shares", "read and end what is shared with people"),
    may("read:users:shares", "read what is shared with people"),
    may("groups:shares", "read and end what is shared with groups"),
    may("read:groups:shares", "read what is shared with groups"),
    may("read:shares", "read who may use shared servers"),
    may("shares", "share servers and end sharing"),
    may("proxy", "read and refresh the routes of the proxy"),
    may("shutdown", "shut the hub down"),
    may("read:metrics", "read measurements of the hub"),
    of("!user", "of your own"),
    of("!server", "of this server"),
    of("!service", "of this service"),
    of("!user=", "of {}"),
    of("!group=", "of the group {}"),
    of("!server=", "of the server {}"),
    of("!service=", "of the service {}"),
];

impl Words {
    /// A scope in words, with its filter; a custom scope is told by its name.
    pub fn scope(&self, scope: &str) -> String {
        let (base, filter) = scope.split_once('!').unwrap_or((scope, ""));
        let entry = self.scopes.iter().find(|words| words.scope == base && !words.may.is_empty());
        let meaning = entry.map_or(base, |words| words.may);
        match self.filter(filter) {
            Some(of) => format!("{meaning} ({of})"),
            None => meaning.to_owned(),
        }
    }

    fn filter(&self, filter: &str) -> Option<String> {
        if filter.is_empty() {
            return None;
        }
        let (kind, value) = filter.split_once('=').map_or((filter, None), |(kind, value)| (kind, Some(value)));
        let key = if value.is_some() { format!("!{kind}=") } else { format!("!{kind}") };
        let entry = self.scopes.iter().find(|words| words.scope == key);
        Some(entry.map_or_else(|| filter.to_owned(), |words| fill(words.of, value.unwrap_or_default())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ENGLISH;

    #[test]
    fn scopes_are_told_with_their_filters() {
        let table = [
            ("inherit", "do everything you may do"),
            ("read:servers!user", "read about servers (of your own)"),
            ("access:servers!server=ann/gpu", "use servers (of the server ann/gpu)"),
            ("read:users!group=a=b", "read about accounts (of the group a=b)"),
            ("custom:grades:read", "custom:grades:read"),
            ("custom:x!moon=1", "custom:x (moon=1)"),
        ];
        for (scope, words) in table {
            assert_eq!(ENGLISH.scope(scope), words);
        }
    }
}
