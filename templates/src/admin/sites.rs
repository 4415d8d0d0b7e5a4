//! The sites of the hub, and what operators say of them.

use askama::Template;
use hub_core::clock::Time;

use super::Tab;
use crate::words::fill;
use crate::{Frame, Href, Page, Place, Words, sample};

/// The sites. Its forms post to `action` with `_xsrf`, `site` and `action`: `drain`, `undrain`, `lose` (which is asked
/// before), `restore`, `maintain` with `begins` and `ends` (`YYYY-MM-DDTHH:MM` in UTC), `text` and `stops_servers`, or `end`.
#[derive(Debug, Template)]
#[template(path = "admin/sites.html")]
pub struct Sites {
    /// What surrounds the page.
    pub frame: Frame,
    /// The page's own address.
    pub action: Href,
    /// In the order of the configuration.
    pub sites: Vec<Site>,
    /// Whether the person may change anything.
    pub may_change: bool,
    /// Why the last action was refused.
    pub error: Option<String>,
}

/// A site.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its name in the configuration.
    pub name: String,
    /// What people call it.
    pub display_name: String,
    /// A sentence about it.
    pub description: Option<String>,
    /// How many servers run, start or stop there.
    pub servers: u64,
    /// Whether it takes servers, or why not.
    pub state: State,
    /// Whether it is drained, also if that is not the reason.
    pub drained: bool,
    /// Whether it is given up.
    pub lost: bool,
    /// The window that is ahead or now: begin, end, text, and whether servers are stopped.
    pub window: Option<(Time, Time, String, bool)>,
    /// What is filled in.
    pub form: WindowForm,
    /// Who changed it last, and when.
    pub changed: Option<(String, Time)>,
}

/// Whether a site takes servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does.
    Open,
    /// It is drained.
    Drained,
    /// Its maintenance has begun.
    Maintained,
    /// It is given up.
    Lost,
}

/// What is filled in of a window, as it was typed.
#[derive(Debug, Clone, Default)]
pub struct WindowForm {
    /// When it begins.
    pub begins: String,
    /// When it ends.
    pub ends: String,
    /// What people are told.
    pub text: String,
    /// Whether servers are stopped.
    pub stops_servers: bool,
    /// Whether the form is shown open.
    pub open: bool,
}

impl Sites {
    /// The tab that is open.
    pub fn tab(&self) -> Tab {
        Tab::Sites
    }
}

impl Site {
    /// A number of servers in words.
    pub fn counted(words: &'static Words, servers: u64) -> String {
        if servers == 1 { words.site_server_one.to_owned() } else { fill(words.site_servers, servers) }
    }

    /// Its state: the style and the word.
    pub fn state(&self, words: &'static Words) -> (&'static str, &'static str) {
        match self.state {
            State::Open => ("ready", words.site_open),
            State::Drained => ("starting", words.site_drained),
            State::Maintained => ("starting", words.site_maintained),
            State::Lost => ("failed", words.site_lost),
        }
    }
}

impl Page for Sites {
    const NAME: &'static str = "admin-sites";
    const PLACE: Place = Place::Admin;

    fn samples() -> Vec<(&'static str, Self)> {
        sample::admin::sites()
    }
}
