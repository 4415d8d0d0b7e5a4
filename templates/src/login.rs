//! The login page: name and password, buttons of identity providers, or both.

use askama::Template;

use crate::{Frame, Href, Page, sample};

/// The login page.
#[derive(Debug, Template)]
#[template(path = "login.html")]
pub struct Login {
    /// What surrounds the page. Its `xsrf` is that of an anonymous visitor.
    pub frame: Frame,
    /// Identity providers to log in with, each a button.
    pub services: Vec<LoginService>,
    /// Name and password, if the hub takes them.
    pub password: Option<PasswordForm>,
    /// The operator's text above the form.
    pub intro: Option<String>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Whether the hub knows that the connection is not encrypted. Scripts find out by themselves too.
    pub insecure: bool,
}

/// A button that leads to an identity provider.
#[derive(Debug, Clone)]
pub struct LoginService {
    /// What people call the provider.
    pub name: String,
    /// Where the way there begins, `next` included.
    pub url: Href,
    /// Whether it is known not to answer at present.
    pub down: bool,
}

/// The form for name and password. Fields: `username`, `password`, `otp`, `login_terms_checkbox`, `_xsrf`.
#[derive(Debug, Clone)]
pub struct PasswordForm {
    /// Where to post it, `next` included.
    pub action: Href,
    /// The name typed before.
    pub username: String,
    /// The label of a field for a one-time code, if one is asked for.
    pub otp: Option<String>,
    /// The terms that must be accepted, if any.
    pub terms: Option<Href>,
}

impl Page for Login {
    const NAME: &'static str = "login";

    fn samples() -> Vec<(&'static str, Self)> {
        sample::account::login()
    }
}
