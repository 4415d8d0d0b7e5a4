//! What a storage offers to whom: the configuration read once, and the choice of a role.

use hub_core::policy::group::GroupRule;

use crate::config::StorageConfig;

/// A storage as it is offered.
#[derive(Debug, Clone)]
pub struct Offer {
    /// What the configuration says of it.
    pub config: StorageConfig,
    roles: Vec<(Vec<GroupRule>, String)>,
}

impl Offer {
    /// Reads a section of the configuration.
    pub fn new(config: StorageConfig) -> Self {
        let mut roles: Vec<_> = config
            .roles
            .iter()
            .map(|role| (role.groups.iter().map(GroupRule::new).collect(), role.role_arn.clone()))
            .collect();
        if roles.is_empty() {
            roles.push((Vec::new(), String::new()));
        }
        Self { config, roles }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The role of somebody in these groups: the first that is for one of them, or for everybody. Empty where a person's
    /// own claims decide; `None` where nothing is for them.
    pub fn role_of(&self, groups: &[String]) -> Option<&str> {
        let fits = |rules: &[GroupRule]| {
            rules.is_empty() || groups.iter().any(|group| rules.iter().any(|rule| rule.admits(group)))
        };
        self.roles.iter().find(|(rules, _)| fits(rules)).map(|(_, role)| role.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::storage::StorageRole;

    fn offer(roles: &[(&str, &[&str])]) -> Offer {
        let role = |(arn, groups): &(&str, &[&str])| StorageRole {
            role_arn: (*arn).to_owned(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
        };
        Offer::new(StorageConfig { roles: roles.iter().map(role).collect(), ..StorageConfig::default() })
    }

    #[test]
    fn the_first_role_that_fits_is_ones_own() {
        let by_group = offer(&[("cygno", &["users/cygno/**"]), ("user", &["users", "guests"])]);
        let open = offer(&[("chief", &["admins"]), ("all", &[])]);
        let table: [(&Offer, &[&str], Option<&str>); 9] = [
            (&by_group, &["users", "users/cygno"], Some("cygno")),
            (&by_group, &["users/cygno/sim"], Some("cygno")),
            (&by_group, &["/users"], Some("user")),
            (&by_group, &["users/other"], None),
            (&by_group, &[], None),
            (&open, &["admins"], Some("chief")),
            (&open, &["users"], Some("all")),
            (&open, &[], Some("all")),
            (&offer(&[]), &[], Some("")),
        ];
        for (offer, groups, role) in table {
            let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
            assert_eq!(offer.role_of(&groups), role, "{groups:?}");
        }
    }
}
