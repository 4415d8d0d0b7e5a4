//! The table of people with their servers.

use askama::Template;
use hub_core::clock::Time;

use super::{Chip, Tab};
use crate::groups::Part;
use crate::words::{fill, grouped};
use crate::{Frame, Href, Page, Place, Words, sample};

/// The people of the hub, fifty at a time. Its form posts to `action` with `_xsrf`, `back` (the query of the page), any
/// number of `user` (ticked) and `action` (`start`, `stop`, `delete`, `stop-all`, `shutdown`), or `start` or `stop` with
/// one server as `USER/SERVER`. The form of new people posts `action=add` with `names` (a line each) and `admin`.
#[derive(Debug, Template)]
#[template(path = "admin/people.html")]
pub struct People {
    /// What surrounds the page.
    pub frame: Frame,
    /// The page's own address.
    pub action: Href,
    /// The query of the page as it is shown, without `?`.
    pub back: String,
    /// One part of the people; none if the person may not see any.
    pub rows: Option<Vec<Row>>,
    /// Which part it is.
    pub part: Part,
    /// What is searched for.
    pub search: Search,
    /// The filters.
    pub chips: Vec<Chip>,
    /// The columns by which the table can be ordered: name, last activity, made.
    pub columns: [Column; 3],
    /// What the person may do to anybody.
    pub may: May,
    /// The form of new people.
    pub form: AddForm,
    /// Where the table's changes are streamed, without its parameters.
    pub events: Href,
    /// Why the last action was refused, a sentence each.
    pub errors: Vec<String>,
    /// The version of JupyterHub whose contract this hub keeps, and Specola's.
    pub version: String,
}

/// What is searched for.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// A part of the name.
    pub name: String,
    /// A group, by its whole name.
    pub group: String,
    /// What the form sends along: the filters and the order.
    pub kept: Vec<super::Hidden>,
}

/// A column that orders the table.
#[derive(Debug, Clone)]
pub struct Column {
    /// The table ordered by it, or the other way round.
    pub url: Href,
    /// How it orders the table now: `ascending`, `descending`.
    pub sorted: Option<&'static str>,
}

/// What the person may do to anybody at all; each row is checked again when it is done.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct May {
    /// Add people.
    pub add: bool,
    /// Start servers.
    pub start: bool,
    /// Stop servers.
    pub stop: bool,
    /// Delete people.
    pub delete: bool,
    /// Stop the hub.
    pub shutdown: bool,
}

impl May {
    /// Whether anything can be done to those who are ticked.
    pub fn ticked(&self) -> bool {
        self.start || self.stop || self.delete
    }
}

/// What was typed into the form of new people, when it was refused.
#[derive(Debug, Clone, Default)]
pub struct AddForm {
    /// The names, a line each.
    pub names: String,
    /// Whether they were to be administrators.
    pub admin: bool,
}

/// Somebody in the table. What the person may not know is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The login name.
    pub name: String,
    /// The page of this person.
    pub url: Href,
    /// Whether it is an administrator.
    pub admin: bool,
    /// The groups.
    pub groups: Vec<String>,
    /// When the person was last active.
    pub last_activity: Option<Time>,
    /// The servers that run, move, or failed.
    pub servers: Vec<Lab>,
    /// Whether the default server is stopped and may be started.
    pub may_start: bool,
    /// Where it is asked with what, before it is started.
    pub choose: Option<Href>,
}

/// A server in the table and on the page of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lab {
    /// Its name; empty for the default one.
    pub name: String,
    /// The name that people see, if it is another.
    pub display_name: Option<String>,
    /// What it is doing.
    pub doing: Doing,
    /// Since when.
    pub since: Option<Time>,
    /// What it runs with: flavour or profile, image.
    pub facts: Vec<String>,
    /// Where it answers: `http://10.0.0.7:8888`.
    pub address: Option<String>,
    /// Why it failed, in a sentence.
    pub cause: Option<String>,
    /// Where it is used, if it runs and the person may open it.
    pub open: Option<Href>,
    /// Whether it may be started.
    pub may_start: bool,
    /// Where it is asked with what, before it is started.
    pub choose: Option<Href>,
    /// Whether it may be stopped.
    pub may_stop: bool,
    /// Whether it may be deleted for good.
    pub may_remove: bool,
}

/// What a server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It does not run.
    Rests,
    /// It is on its way up.
    Starts,
    /// It can be used.
    Runs,
    /// It is on its way down.
    Stops,
    /// It does not run because its last start or run failed.
    Failed,
}

impl Doing {
    /// The name of its style.
    pub fn style(self) -> &'static str {
        match self {
            Self::Rests => "stopped",
            Self::Starts => "starting",
            Self::Runs => "ready",
            Self::Stops => "stopping",
            Self::Failed => "failed",
        }
    }

    /// Whether it is up, or on its way.
    pub fn up(self) -> bool {
        matches!(self, Self::Starts | Self::Runs)
    }

    /// In one word or two.
    pub fn word(self, words: &'static Words) -> &'static str {
        match self {
            Self::Rests => words.state_stopped,
            Self::Starts => words.state_starting,
            Self::Runs => words.state_ready,
            Self::Stops => words.state_stopping,
            Self::Failed => words.state_failed,
        }
    }
}

impl Lab {
    /// What people call it.
    pub fn label<'a>(&'a self, words: &'a Words) -> &'a str {
        match self.display_name.as_deref() {
            Some(name) if !name.is_empty() => name,
            _ if self.name.is_empty() => words.default_server,
            _ => &self.name,
        }
    }
}

impl Row {
    /// The groups in one line.
    pub fn groups(&self) -> String {
        self.groups.join(", ")
    }
}

/// One row alone, as the stream of events sends it.
#[derive(Debug, Template)]
#[template(path = "admin/row_alone.html")]
pub struct RowAlone<'a> {
    /// What words and times are taken from.
    pub frame: &'a Frame,
    /// The row.
    pub row: &'a Row,
}

/// What rows look like, in a few digits.
pub fn seen(rows: &[Row]) -> String {
    format!("{:016x}", crate::asset::fnv1a(format!("{rows:?}").as_bytes()))
}

impl People {
    /// The tab that is open.
    pub fn tab(&self) -> Tab {
        Tab::People
    }

    /// The heading of a column, by its place.
    pub fn heading(&self, place: &usize) -> &'static str {
        if *place == 0 { self.frame.words.admin_person } else { self.frame.words.admin_active }
    }

    /// How many there are, in words.
    pub fn count(&self) -> String {
        let words = self.frame.words;
        if self.part.total == 1 { words.admin_one.to_owned() } else { fill(words.admin_many, grouped(self.part.total)) }
    }

    /// What the rows on the page look like; the stream of events begins with those that look otherwise.
    pub fn seen(&self) -> String {
        self.rows.as_deref().map(seen).unwrap_or_default()
    }

    /// Whether anything narrows the list.
    pub fn narrowed(&self) -> bool {
        !self.search.name.is_empty() || !self.search.group.is_empty() || self.chips.iter().any(|chip| chip.on)
    }
}

impl Page for People {
    const NAME: &'static str = "admin";
    const PLACE: Place = Place::Admin;

    fn samples() -> Vec<(&'static str, Self)> {
        sample::admin::people()
    }
}
