//! The four roles every hub has, and the rule for names of roles.

/// A role that exists in every database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultRole {
    /// Its name.
    pub name: &'static str,
    /// One line for people.
    pub description: &'static str,
    /// Its scopes, as stored.
    pub scopes: &'static [&'static str],
}

/// Given to every user; may be redefined.
pub const USER: DefaultRole = DefaultRole { name: "user", description: "Standard user privileges", scopes: &["self"] };

/// Given while `users.admin` is set; cannot be redefined.
pub const ADMIN: DefaultRole = DefaultRole {
    name: "admin",
    description: "Elevated privileges (can do anything)",
    scopes: &[
        "admin-ui",
        "admin:users",
        "admin:servers",
        "admin:services",
        "tokens",
        "admin:groups",
        "list:services",
        "read:services",
        "read:hub",
        "proxy",
        "shutdown",
        "access:services",
        "access:servers",
        "read:roles",
        "read:metrics",
        "shares",
    ],
};

/// What the token of a server may do, unless the configuration says otherwise.
pub const SERVER: DefaultRole = DefaultRole {
    name: "server",
    description: "Post activity only",
    scopes: &["users:activity!user", "access:servers!server"],
};

/// What an API token may do, unless it is asked for less.
pub const TOKEN: DefaultRole =
    DefaultRole { name: "token", description: "Token with same permissions as its owner", scopes: &["inherit"] };

/// All of them, in the order in which JupyterHub creates them.
pub const DEFAULTS: [DefaultRole; 4] = [USER, ADMIN, SERVER, TOKEN];

/// Whether a role may have this name: 3 to 255 of `a-z 0-9 - _ ~ .`, a letter first, a letter or digit last.
pub fn is_valid_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match name.as_bytes() {
        [first, middle @ .., last] => {
            first.is_ascii_lowercase()
                && (1..=253).contains(&middle.len())
                && middle.iter().all(|&byte| plain(byte) || matches!(byte, b'-' | b'_' | b'~' | b'.'))
                && plain(*last)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::Catalogue;

    #[test]
    fn the_default_roles_are_jupyterhub_s() {
        let vectors: Vec<(String, String, Vec<String>)> =
            serde_json::from_str(include_str!("../tests/vectors/roles.json")).unwrap();
        assert_eq!(vectors.len(), DEFAULTS.len());
        for (role, (name, description, scopes)) in DEFAULTS.iter().zip(vectors) {
            assert_eq!((role.name, role.description), (name.as_str(), description.as_str()));
            assert_eq!(role.scopes, scopes);
        }
    }

    #[test]
    fn all_scopes_of_the_default_roles_exist() {
        let catalogue = Catalogue::default();
        for role in DEFAULTS {
            assert_eq!(catalogue.parse_all(role.scopes).unwrap().len(), role.scopes.len());
            assert!(is_valid_name(role.name));
        }
    }

    #[test]
    fn role_names_are_lower_case_and_bounded() {
        let longest = format!("a{}z", "-".repeat(253));
        for good in ["abc", "a.b", "a~_-9", &longest] {
            assert!(is_valid_name(good), "{good}");
        }
        let too_long = format!("a{}z", "-".repeat(254));
        for bad in ["", "a", "ab", "Abc", "1bc", "ab-", "a b", "abé", "ab\n", &too_long] {
            assert!(!is_valid_name(bad), "{bad}");
        }
    }
}
