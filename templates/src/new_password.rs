//! The page on which a person chooses a password: after a one-time password, or by an invitation.

use askama::Template;
use hub_core::clock::Time;
use hub_core::secret::Secret;

use crate::{Frame, Href, Page, sample};

/// The page that asks for a new password. Fields: `password`, `password_confirm`, `code` (of an invitation), `_xsrf`.
#[derive(Debug, Template)]
#[template(path = "new_password.html")]
pub struct NewPassword {
    /// What surrounds the page.
    pub frame: Frame,
    /// Where to post the form, `next` included.
    pub action: Href,
    /// The login name whose password it will be.
    pub username: String,
    /// Why a password is asked for.
    pub occasion: Occasion,
    /// The fewest characters it may have.
    pub least_length: u32,
    /// Why the last attempt was refused.
    pub error: Option<String>,
}

/// Why a person chooses a password.
#[derive(Debug, Clone)]
pub enum Occasion {
    /// The one used to log in was good for once.
    OneTime,
    /// An administrator invited the person.
    Invite {
        /// The code that proves it; sent back in the form.
        code: Secret,
        /// When the invitation ends.
        expires_at: Time,
    },
}

impl NewPassword {
    /// The page's title.
    pub fn heading(&self) -> &'static str {
        match self.occasion {
            Occasion::OneTime => self.frame.words.new_password_title,
            Occasion::Invite { .. } => self.frame.words.invite_title,
        }
    }
}

impl Page for NewPassword {
    const NAME: &'static str = "new-password";

    fn samples() -> Vec<(&'static str, Self)> {
        sample::account::new_password()
    }
}
