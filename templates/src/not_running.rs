//! The page of a server that does not run: why, and how to start it.

use askama::Template;

use crate::server::Failure;
use crate::words::fill;
use crate::{Frame, Href, Page, sample};

/// The page of a server that does not run.
#[derive(Debug, Template)]
#[template(path = "not_running.html")]
pub struct NotRunning {
    /// What surrounds the page.
    pub frame: Frame,
    /// Whose server it is, when it is not the person's own.
    pub owner: Option<String>,
    /// The server's name or display name; empty for the default server.
    pub server_name: String,
    /// Where to start it, `next` included; none if the person may not.
    pub start: Option<Href>,
    /// Why it does not run, if it should.
    pub failure: Option<Failure>,
    /// After how many seconds it is started without asking, if so.
    pub starts_in: Option<u32>,
}

impl NotRunning {
    /// The page's title.
    pub fn heading(&self) -> String {
        let words = self.frame.words;
        let (default, named) = match self.failure {
            Some(_) => (words.failed_title, words.failed_named),
            None => (words.not_running_title, words.not_running_named),
        };
        match (self.server_name.as_str(), &self.owner) {
            ("", None) => default.to_owned(),
            ("", Some(owner)) => fill(named, owner),
            (name, _) => fill(named, name),
        }
    }

    /// Where and when the browser should go by itself: the content of a refresh element.
    pub fn refresh(&self) -> Option<String> {
        let (seconds, start) = (self.starts_in?, self.start.as_ref()?);
        Some(format!("{seconds}; url={start}"))
    }
}

impl Page for NotRunning {
    const NAME: &'static str = "not-running";

    fn samples() -> Vec<(&'static str, Self)> {
        sample::pending::not_running()
    }
}
