//! The groups: a list of them, and one with its members.

use askama::Template;

use crate::admin::Tab;
use crate::words::fill;
use crate::{Frame, Href, Page, Place, sample};

/// The list of the groups the person may know of. Its form posts `action=create` with `name` and `_xsrf` to
/// `{base_url}groups`.
#[derive(Debug, Template)]
#[template(path = "groups.html")]
pub struct Groups {
    /// What surrounds the page.
    pub frame: Frame,
    /// One part of the groups.
    pub groups: Vec<GroupRow>,
    /// Which part it is.
    pub part: Part,
    /// Whether the person may make groups.
    pub may_create: bool,
    /// The name that was typed, when it was refused.
    pub typed: String,
    /// Why the last action was refused.
    pub error: Option<String>,
}

/// A group in the list.
#[derive(Debug, Clone)]
pub struct GroupRow {
    /// Its name.
    pub name: String,
    /// Its page.
    pub url: Href,
    /// How many members it has, if the person may know.
    pub members: Option<i64>,
    /// Whether the person is in it.
    pub mine: bool,
}

/// Which part of a long list is shown.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// The number of the first one, counted from 1; 0 for an empty list.
    pub first: i64,
    /// The number of the last one.
    pub last: i64,
    /// How many there are.
    pub total: i64,
    /// The part before.
    pub previous: Option<Href>,
    /// The part behind.
    pub next: Option<Href>,
}

/// One group. Its forms post to `action` with `_xsrf` and `action`: `add` and `remove` with `user`; `properties` with
/// `properties` (a JSON object); `delete`.
#[derive(Debug, Template)]
#[template(path = "group.html")]
pub struct Group {
    /// What surrounds the page.
    pub frame: Frame,
    /// Its name.
    pub name: String,
    /// The page's own address.
    pub action: Href,
    /// Members and properties; none if the person may not know them.
    pub content: Option<Content>,
    /// The names of its roles, if the person may know them.
    pub roles: Option<Vec<String>>,
    /// Whether the person may change members and properties.
    pub may_change: bool,
    /// Whether the person may delete the group.
    pub may_delete: bool,
    /// What was typed, when it was refused.
    pub form: GroupForm,
    /// Why the last action was refused.
    pub error: Option<String>,
}

/// What is in a group.
#[derive(Debug, Clone)]
pub struct Content {
    /// One part of its members, in order of name.
    pub members: Vec<Member>,
    /// Which part it is.
    pub part: Part,
    /// Its properties as JSON, a line each.
    pub properties: String,
}

/// A member of a group.
#[derive(Debug, Clone)]
pub struct Member {
    /// The name.
    pub name: String,
    /// The member's servers that run, as far as the person may know of them.
    pub servers: Vec<Running>,
}

/// A running server of a member.
#[derive(Debug, Clone)]
pub struct Running {
    /// What people call it.
    pub label: String,
    /// Where it is used.
    pub url: Href,
}

/// What was typed, when it was refused.
#[derive(Debug, Clone, Default)]
pub struct GroupForm {
    /// The name of a new member.
    pub user: String,
    /// The properties.
    pub properties: Option<String>,
}

impl Groups {
    /// The tab that is open, for who may open the admin panel.
    pub fn tab(&self) -> Tab {
        Tab::Groups
    }

    /// How many members a group has, in words.
    pub fn members(&self, count: &i64) -> String {
        let words = self.frame.words;
        if *count == 1 { words.group_member.to_owned() } else { fill(words.group_members, count) }
    }
}

impl Group {
    /// The tab that is open, for who may open the admin panel.
    pub fn tab(&self) -> Tab {
        Tab::Groups
    }

    /// The properties to show in the form.
    pub fn properties(&self) -> &str {
        let stored = self.content.as_ref().map(|content| content.properties.as_str());
        self.form.properties.as_deref().or(stored).unwrap_or_default()
    }
}

impl Page for Groups {
    const NAME: &'static str = "groups";
    const PLACE: Place = Place::Elsewhere;

    fn samples() -> Vec<(&'static str, Self)> {
        sample::groups::lists()
    }
}

impl Page for Group {
    const NAME: &'static str = "group";
    const PLACE: Place = Place::Elsewhere;

    fn samples() -> Vec<(&'static str, Self)> {
        sample::groups::groups()
    }
}
