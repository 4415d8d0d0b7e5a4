//! The page for everything that went wrong: what happened, why, what to do, and a number to quote.

use askama::Template;

use crate::{Frame, Link, Page, sample};

/// The error page.
#[derive(Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    /// What surrounds the page.
    pub frame: Frame,
    /// The HTTP status, shown small.
    pub status: u16,
    /// What happened, in a few words.
    pub what: String,
    /// Why, in a sentence.
    pub why: String,
    /// What to do, in a sentence.
    pub advice: String,
    /// The way on; the first is the button.
    pub actions: Vec<Link>,
    /// What to quote when asking for help.
    pub reference: Option<String>,
}

impl ErrorPage {
    /// Fills the page with the usual words for a status. `why` replaces the general sentence where the cause is known.
    pub fn of_status(frame: Frame, status: u16, why: Option<String>, reference: Option<String>) -> Self {
        let words = frame.words.status(status);
        let home = Link::new(frame.words.go_home, frame.site.base_url.join("home"));
        Self {
            status,
            what: words.what.to_owned(),
            why: why.unwrap_or_else(|| words.why.to_owned()),
            advice: words.advice.to_owned(),
            actions: vec![home],
            reference,
            frame,
        }
    }
}

impl Page for ErrorPage {
    const NAME: &'static str = "error";

    fn samples() -> Vec<(&'static str, Self)> {
        sample::account::errors()
    }
}
