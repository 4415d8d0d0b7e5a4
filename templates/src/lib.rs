//! The pages people see: one struct with a template each, the static files they load, and their words.
//!
//! Nothing in here serves HTTP, reads a clock or knows a database. A handler fills a struct and renders it. All text is
//! escaped by the templates; links are [`Href`]s, which cannot carry a script.

mod accent;
pub mod accept_share;
pub mod admin;
pub mod announcements;
mod asset;
pub mod error;
pub mod folder;
pub mod frame;
pub mod groups;
pub mod home;
mod href;
pub mod inside;
pub mod login;
pub mod logout;
pub mod new_password;
pub mod not_running;
pub mod oauth;
pub mod refused;
pub mod sample;
pub mod server;
pub mod sharing;
pub mod spawn;
pub mod spawn_pending;
pub mod stop_pending;
pub mod token;
pub mod words;

#[cfg(test)]
mod check;

pub use accent::{Accent, BadAccent};
pub use accept_share::AcceptShare;
pub use announcements::Announcements;
pub use askama::Template;
pub use asset::{StaticFile, static_file, static_names, static_url, version_hash};
pub use error::ErrorPage;
pub use frame::{Announcement, Frame, Link, Maintenance, Nav, Person, Severity, Site, Theme};
pub use groups::{Group, Groups};
pub use home::Home;
pub use href::{BadHref, Href};
pub use login::Login;
pub use logout::Logout;
pub use new_password::NewPassword;
pub use not_running::NotRunning;
pub use oauth::Consent;
pub use refused::Refused;
pub use sharing::Sharing;
pub use spawn::Spawn;
pub use spawn_pending::SpawnPending;
pub use stop_pending::StopPending;
pub use token::TokenPage;
pub use words::Words;

/// Which entry of the top bar a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The person's servers.
    Home,
    /// The person's tokens.
    Token,
    /// The admin panel.
    Admin,
    /// None of them.
    Elsewhere,
}

/// What every page can tell about itself.
pub trait Page: Template + Sized {
    /// Names the page for scripts and styles (`data-page` of the body) and for files of samples.
    const NAME: &'static str;

    /// The entry of the top bar that is marked as current.
    const PLACE: Place = Place::Elsewhere;

    /// Real-looking instances, each with a short name: the cases that tests render and people look at.
    fn samples() -> Vec<(&'static str, Self)>;
}
