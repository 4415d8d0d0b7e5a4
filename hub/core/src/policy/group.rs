//! Which groups a rule means: a name exactly, or a name and what is below it. The one rule for logins and for options.

/// A rule for names of groups: `users/cygno` means that group alone, `users/*` each group right below `users`, `users/**`
/// the group `users` and all below it, however deep, `*` every group. Roles within a group, `users#manager`, are below it.
/// Slashes at the ends say nothing: providers write them or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupRule {
    path: String,
    reach: Reach,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Alone,
    RightBelow,
    AllBelow,
}

impl GroupRule {
    /// Takes what was written. Every text is a rule.
    pub fn new(text: impl AsRef<str>) -> Self {
        let (path, reach) = match text.as_ref() {
            "*" | "**" => ("", Reach::AllBelow),
            other => match (other.strip_suffix("/**"), other.strip_suffix("/*")) {
                (Some(path), _) => (path, Reach::AllBelow),
                (None, Some(path)) => (path, Reach::RightBelow),
                (None, None) => (other, Reach::Alone),
            },
        };
        Self { path: plain(path).to_owned(), reach }
    }

    /// The group that it names.
    pub fn group(&self) -> &str {
        &self.path
    }

    /// Whether it means all groups below as well.
    pub fn is_deep(&self) -> bool {
        self.reach == Reach::AllBelow
    }

    /// Whether a group is meant. Upper and lower case are told apart, and a rule ends at the edges of names.
    pub fn admits(&self, group: &str) -> bool {
        let group = plain(group);
        let Some(rest) = group.strip_prefix(self.path.as_str()) else { return false };
        let below = match rest.strip_prefix(['/', '#']) {
            Some(below) => below,
            // Everything is below no name at all.
            None if self.path.is_empty() => rest,
            None if rest.is_empty() => return self.reach != Reach::RightBelow,
            None => return false,
        };
        match self.reach {
            Reach::Alone => below.is_empty(),
            Reach::RightBelow => !below.is_empty() && !below.contains('/') && !rest.starts_with('#'),
            Reach::AllBelow => true,
        }
    }
}

impl std::fmt::Display for GroupRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let below = match self.reach {
            Reach::Alone => "",
            Reach::RightBelow => "/*",
            Reach::AllBelow if self.path.is_empty() => "*",
            Reach::AllBelow => "/**",
        };
        write!(f, "{}{below}", self.path)
    }
}

fn plain(name: &str) -> &str {
    name.trim_matches('/')
}

/// The first of the groups that one of the rules means.
pub fn admitted<'a>(rules: &[GroupRule], groups: &'a [String]) -> Option<&'a str> {
    groups.iter().find(|group| rules.iter().any(|rule| rule.admits(group))).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_means_a_group_or_what_is_below_it_and_ends_at_the_edges_of_names() {
        let table = [
            ("a", "a", true),
            ("/a", "a", true),
            ("a", "/a/", true),
            ("a", "A", false),
            ("a", "a/b", false),
            ("a/b", "a", false),
            ("a", "a#manager", false),
            ("a#manager", "a#manager", true),
            ("a#manager", "a", false),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a", false),
            ("/a/*", "/a/b/c", false),
            ("/a/*", "/a/", false),
            ("/a/*", "ab", false),
            ("/a/**", "a", true),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "a/b#manager", true),
            ("/a/**", "a#manager", true),
            ("/a/**", "/ab", false),
            ("/a/**", "ab/c", false),
            ("a/**", "b/a", false),
            ("urn:x:group:a", "urn:x:group:a", true),
            ("urn:x:group:a", "a", false),
            ("*", "anything", true),
            ("**", "a/b", true),
            ("/**", "anything", true),
            ("", "", true),
            ("", "x", false),
        ];
        for (rule, group, admits) in table {
            let rule = GroupRule::new(rule);
            assert_eq!(rule.admits(group), admits, "{rule} {group}");
            assert_eq!(GroupRule::new(rule.to_string()), rule, "as it is shown");
        }
    }
}
