//! The page shown while a server stops.

use askama::Template;
use hub_core::clock::Time;

use crate::words::fill;
use crate::{Frame, Page, sample};

/// The page shown while a server stops.
#[derive(Debug, Template)]
#[template(path = "stop_pending.html")]
pub struct StopPending {
    /// What surrounds the page.
    pub frame: Frame,
    /// The server's name or display name; empty for the default server.
    pub server_name: String,
    /// When the stop was asked for.
    pub since: Option<Time>,
}

impl StopPending {
    /// The page's title.
    pub fn heading(&self) -> String {
        let words = self.frame.words;
        if self.server_name.is_empty() {
            words.stopping_default.to_owned()
        } else {
            fill(words.stopping_title, &self.server_name)
        }
    }
}

impl Page for StopPending {
    const NAME: &'static str = "stop-pending";

    fn samples() -> Vec<(&'static str, Self)> {
        sample::pending::stop_pending()
    }
}
