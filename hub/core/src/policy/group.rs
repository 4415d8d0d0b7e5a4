//! Which groups a rule means: a name exactly, or a name and what is below it.

/// A rule for names of groups: `/users/cygno` means that group alone, `/users/*` each group right below `/users`,
/// `/users/**` the group `/users` and all below it, however deep, `*` every group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRule(String);

impl GroupRule {
    /// Takes what was written. Every text is a rule.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a group is meant. Names are compared exactly, upper and lower case and leading slashes included.
    pub fn admits(&self, group: &str) -> bool {
        let below = |base: &str| group.strip_prefix(base).and_then(|rest| rest.strip_prefix('/'));
        if self.0 == "*" || self.0 == "**" {
            return true;
        }
        if let Some(base) = self.0.strip_suffix("/**") {
            return group == base || below(base).is_some_and(|rest| !rest.is_empty());
        }
        if let Some(base) = self.0.strip_suffix("/*") {
            return below(base).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'));
        }
        self.0 == group
    }
}

/// The first of the groups that one of the rules means.
pub fn admitted<'a>(rules: &[GroupRule], groups: &'a [String]) -> Option<&'a str> {
    groups.iter().find(|group| rules.iter().any(|rule| rule.admits(group))).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_ends_at_the_edges_of_names() {
        let table = [
            ("/a", "/a", true),
            ("/a", "/a/b", false),
            ("/a", "a", false),
            ("a", "A", false),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a", false),
            ("/a/*", "/a/b/c", false),
            ("/a/*", "/a/", false),
            ("/a/**", "/a", true),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "/ab", false),
            ("/a/**", "/ab/c", false),
            ("*", "anything", true),
            ("", "", true),
            ("", "x", false),
        ];
        for (rule, group, admits) in table {
            assert_eq!(GroupRule::new(rule).admits(group), admits, "{rule} {group}");
        }
    }
}
