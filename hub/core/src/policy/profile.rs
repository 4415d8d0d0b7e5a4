//! KubeSpawner's `profile_list`, as it stands in the values of Zero to JupyterHub.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization;

use super::group::{GroupRule, admitted};
use super::setting::Setting;
use super::written::{Table, Written};

/// A profile.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name in requests.
    pub slug: String,
    /// What people read.
    pub display_name: String,
    /// A sentence about it.
    pub description: Option<String>,
    /// Whether it is chosen at first.
    pub default: bool,
    /// Who sees it; everybody without.
    pub allowed: Allowed,
    /// What it sets.
    pub setting: Setting,
    /// Further questions.
    pub options: Vec<ProfileOption>,
}

/// A question of a profile.
#[derive(Debug, Clone)]
pub struct ProfileOption {
    /// Its name in requests.
    pub name: String,
    /// What people read.
    pub display_name: String,
    /// The answers.
    pub choices: Vec<ProfileChoice>,
    /// An answer of one's own.
    pub unlisted: Option<Unlisted>,
}

/// An answer to a question of a profile.
#[derive(Debug, Clone)]
pub struct ProfileChoice {
    /// Its name in requests.
    pub name: String,
    /// What people read.
    pub display_name: String,
    /// A sentence about it.
    pub description: Option<String>,
    /// Whether it is chosen at first.
    pub default: bool,
    /// Who sees it.
    pub allowed: Allowed,
    /// What it sets.
    pub setting: Setting,
}

/// An answer of one's own.
#[derive(Debug, Clone)]
pub struct Unlisted {
    /// What the field is called.
    pub display_name: String,
    /// What stands for it among the answers.
    pub in_choices: String,
    /// Who sees it.
    pub allowed: Allowed,
    /// What the whole text has to match.
    pub pattern: Option<Regex>,
    /// What is told of a text that does not.
    pub message: Option<String>,
    /// What it sets, with `{value}` for the text.
    pub written: Map<String, Value>,
}

impl Unlisted {
    /// Whether people name an image with it.
    pub fn names_image(&self) -> bool {
        self.written.get("image").and_then(Value::as_str).is_some_and(|image| image.contains("{value}"))
    }
}

/// `allowed_groups`: everybody when it was not written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed(pub Option<Vec<GroupRule>>);

impl Allowed {
    /// Whether members of these groups are meant.
    pub fn admits(&self, groups: &[String]) -> bool {
        self.0.as_ref().is_none_or(|rules| admitted(rules, groups).is_some())
    }
}

/// What was read of a list of profiles.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// The profiles that were understood.
    pub profiles: Vec<Profile>,
    /// Where and what is wrong.
    pub problems: Vec<(String, String)>,
    /// Where and what is not taken into account.
    pub notes: Vec<(String, String)>,
}

/// Reads a `profile_list`: a list, or since KubeSpawner 7.1 a table whose keys give the order.
///
/// Questions and answers keep the order in which they are written; the first answer is chosen when none is the default.
pub fn read(written: &Written) -> Read {
    let mut read = Read::default();
    let items: Vec<(String, &Written)> = match written {
        Written::List(items) => items.iter().enumerate().map(|(at, item)| (format!("[{at}]"), item)).collect(),
        Written::Table(table) => {
            let sorted: BTreeMap<&str, &Written> = table.iter().collect();
            sorted.into_iter().map(|(key, item)| (format!(".{key}"), item)).collect()
        }
        Written::One(Value::Null) => Vec::new(),
        _ => {
            read.problem("", "has to be a list of profiles");
            return read;
        }
    };
    for (at, item) in items {
        if let Some(profile) = read.profile(&at, item) {
            if read.profiles.iter().any(|other| other.slug == profile.slug) {
                read.problem(&at, &format!("is a second profile with the slug {:?}; give it a slug", profile.slug));
                continue;
            }
            read.profiles.push(profile);
        }
    }
    read
}

impl Read {
    fn problem(&mut self, at: &str, what: &str) {
        self.problems.push((at.to_owned(), what.to_owned()));
    }

    fn table<'v>(&mut self, at: &str, value: &'v Written) -> Option<&'v Table> {
        let Written::Table(table) = value else {
            self.problem(at, "has to be a table");
            return None;
        };
        Some(table)
    }

    fn profile(&mut self, at: &str, value: &Written) -> Option<Profile> {
        let table = self.table(at, value)?;
        self.known(at, table, &["profile_options"]);
        let display_name = self.text(at, table, "display_name");
        let slug = self.text(at, table, "slug").or_else(|| display_name.as_deref().map(slugify));
        let Some(slug) = slug.filter(|slug| !slug.is_empty()) else {
            self.problem(at, "needs a display_name or a slug");
            return None;
        };
        let mut options = Vec::new();
        if let Some(written) = table.get("profile_options").filter(|value| !value.is_null()) {
            let at = format!("{at}.profile_options");
            for (name, option) in self.table(&at, written).into_iter().flat_map(Table::iter) {
                options.extend(self.option(&format!("{at}.{name}"), name, option));
            }
        }
        Some(Profile {
            display_name: display_name.unwrap_or_else(|| slug.clone()),
            description: self.text(at, table, "description"),
            default: self.flag(at, table, "default"),
            allowed: self.allowed(at, table),
            setting: self.setting(at, table),
            options,
            slug,
        })
    }

    fn option(&mut self, at: &str, name: &str, value: &Written) -> Option<ProfileOption> {
        let table = self.table(at, value)?;
        for key in table.keys().filter(|key| !["display_name", "choices", "unlisted_choice"].contains(key)) {
            self.notes.push((format!("{at}.{key}"), NOT_USED.to_owned()));
        }
        let mut choices = Vec::new();
        if let Some(written) = table.get("choices").filter(|value| !value.is_null()) {
            let at = format!("{at}.choices");
            for (name, choice) in self.table(&at, written).into_iter().flat_map(Table::iter) {
                choices.extend(self.choice(&format!("{at}.{name}"), name, choice));
            }
        }
        let unlisted = table.get("unlisted_choice").filter(|value| !value.is_null());
        let unlisted = unlisted.and_then(|value| self.unlisted(&format!("{at}.unlisted_choice"), value));
        if choices.is_empty() && unlisted.is_none() {
            self.problem(at, "needs choices or an unlisted_choice");
            return None;
        }
        let display_name = self.text(at, table, "display_name").unwrap_or_else(|| name.to_owned());
        Some(ProfileOption { name: name.to_owned(), display_name, choices, unlisted })
    }

    fn choice(&mut self, at: &str, name: &str, value: &Written) -> Option<ProfileChoice> {
        let table = self.table(at, value)?;
        self.known(at, table, &[]);
        Some(ProfileChoice {
            name: name.to_owned(),
            display_name: self.text(at, table, "display_name").unwrap_or_else(|| name.to_owned()),
            description: self.text(at, table, "description"),
            default: self.flag(at, table, "default"),
            allowed: self.allowed(at, table),
            setting: self.setting(at, table),
        })
    }

    fn unlisted(&mut self, at: &str, value: &Written) -> Option<Unlisted> {
        let table = self.table(at, value)?;
        self.known(at, table, &["enabled", "display_name_in_choices", "validation_regex", "validation_message"]);
        if !self.flag(at, table, "enabled") {
            return None;
        }
        let written = self.written(at, table);
        if !written.values().any(|value| value.to_string().contains("{value}")) {
            self.notes.push((at.to_owned(), "sets nothing to {value}, so what people write has no effect".to_owned()));
        }
        Some(Unlisted {
            display_name: self.text(at, table, "display_name").unwrap_or_else(|| "Other".to_owned()),
            in_choices: self.text(at, table, "display_name_in_choices").unwrap_or_else(|| "Other…".to_owned()),
            allowed: self.allowed(at, table),
            pattern: self.pattern(at, table)?,
            message: self.text(at, table, "validation_message"),
            written,
        })
    }

    /// `None` when there is a pattern that cannot be read: without it the field would take anything.
    fn pattern(&mut self, at: &str, table: &Table) -> Option<Option<Regex>> {
        let Some(text) = self.text(at, table, "validation_regex") else { return Some(None) };
        match Regex::new(&format!("^(?:{text})$")) {
            Ok(pattern) => Some(Some(pattern)),
            Err(error) => {
                let line = error.to_string().lines().last().unwrap_or_default().to_owned();
                self.problem(
                    &format!("{at}.validation_regex"),
                    &format!("is no regular expression known here: {line}"),
                );
                None
            }
        }
    }

    /// An empty list admits nobody; only one that is not written admits everybody.
    fn allowed(&mut self, at: &str, table: &Table) -> Allowed {
        let rules = match table.get("allowed_groups") {
            None => return Allowed(None),
            Some(Written::List(names)) => {
                names.iter().map(|name| name.value().as_str().map(GroupRule::new)).collect::<Option<Vec<_>>>()
            }
            Some(_) => None,
        };
        if rules.is_none() {
            self.problem(&format!("{at}.allowed_groups"), "has to be a list of names of groups");
        }
        Allowed(Some(rules.unwrap_or_default()))
    }

    fn written(&mut self, at: &str, table: &Table) -> Map<String, Value> {
        let (kube, own) = (table.get("kubespawner_override"), table.get("spawner_override"));
        if kube.is_some() && own.is_some() {
            self.problem(at, "has both kubespawner_override and spawner_override");
        }
        match own.or(kube).filter(|value| !value.is_null()) {
            Some(value) => {
                let table = self.table(&format!("{at}.kubespawner_override"), value);
                table.into_iter().flat_map(Table::iter).map(|(key, value)| (key.to_owned(), value.value())).collect()
            }
            None => Map::new(),
        }
    }

    fn setting(&mut self, at: &str, table: &Table) -> Setting {
        let written = self.written(at, table);
        Setting::read(&written).unwrap_or_else(|(key, what)| {
            self.problem(&format!("{at}.kubespawner_override.{key}"), &what);
            Setting::default()
        })
    }

    fn text(&mut self, at: &str, table: &Table, key: &str) -> Option<String> {
        match table.get(key) {
            None | Some(Written::One(Value::Null)) => None,
            Some(Written::One(Value::String(text))) => Some(text.trim().to_owned()),
            Some(Written::One(Value::Number(number))) => Some(number.to_string()),
            Some(_) => {
                self.problem(&format!("{at}.{key}"), "has to be a text");
                None
            }
        }
    }

    fn flag(&mut self, at: &str, table: &Table, key: &str) -> bool {
        match table.get(key) {
            None | Some(Written::One(Value::Null)) => false,
            Some(Written::One(Value::Bool(truth))) => *truth,
            Some(_) => {
                self.problem(&format!("{at}.{key}"), "has to be true or false");
                false
            }
        }
    }

    fn known(&mut self, at: &str, table: &Table, more: &[&str]) {
        let all = [
            "display_name",
            "description",
            "slug",
            "default",
            "allowed_groups",
            "kubespawner_override",
            "spawner_override",
        ];
        for key in table.keys().filter(|key| !all.contains(key) && !more.contains(key)) {
            self.notes.push((format!("{at}.{key}"), NOT_USED.to_owned()));
        }
    }
}

const NOT_USED: &str = "is not a key of profile_list, and has no effect";

/// A name as KubeSpawner makes it of a display name: small letters and digits, with hyphens between words.
pub fn slugify(text: &str) -> String {
    let mut slug = String::new();
    for c in text.nfkd().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !unicode_normalization::char::is_combining_mark(c) && !slug.ends_with('-') && c != '\'' {
            slug.push('-');
        }
    }
    slug.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn slugs_are_made_as_by_kubespawner() {
        let table = [("Small", "small"), ("Größe  2 (GPU)", "große-2-gpu"), ("R & Stan", "r-stan"), ("--", "")];
        for (text, slug) in table {
            // A letter that does not fall apart into a letter and a mark is left out.
            assert_eq!(slugify(text), slug.replace('ß', "-"), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_shuts_rather_than_opens() {
        let read = read(
            &json!([
                {"display_name": "A", "allowed_groups": "staff", "fancy": true},
                {"display_name": "a"},
                {"description": "no name"},
                {"display_name": "B", "kubespawner_override": {"mem_limit": "lots"}},
                {"display_name": "C", "profile_options": {"image": {"unlisted_choice": {
                    "enabled": true, "validation_regex": "(?=x)", "kubespawner_override": {"image": "{value}"}}}}},
            ])
            .into(),
        );
        let places: Vec<&str> = read.problems.iter().map(|(at, _)| at.as_str()).collect();
        let expected = [
            "[0].allowed_groups",
            "[1]",
            "[2]",
            "[3].kubespawner_override.mem_limit",
            "[4].profile_options.image.unlisted_choice.validation_regex",
            "[4].profile_options.image",
        ];
        assert_eq!(places, expected, "{:?}", read.problems);
        assert_eq!(read.notes[0].0, "[0].fancy");
        assert!(!read.profiles[0].allowed.admits(&["staff".to_owned()]));
    }
}
