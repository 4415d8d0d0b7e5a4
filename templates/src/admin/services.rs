//! The services of the hub, with their state.

use askama::Template;

use super::Tab;
use crate::{Frame, Href, Page, Place, sample};

/// The services. Its forms post to `action` with `_xsrf`, `action=delete` and `service`.
#[derive(Debug, Template)]
#[template(path = "admin/services.html")]
pub struct Services {
    /// What surrounds the page.
    pub frame: Frame,
    /// The page's own address.
    pub action: Href,
    /// Those the person may see.
    pub services: Vec<Service>,
    /// Why the last action was refused.
    pub error: Option<String>,
}

/// A service.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Whether it may do everything.
    pub admin: bool,
    /// Where people open it.
    pub open: Option<Href>,
    /// Where it answers.
    pub url: Option<String>,
    /// Whether it answered when it was last asked.
    pub answers: Option<bool>,
    /// Whether the hub runs its process.
    pub managed: bool,
    /// Whether it is in the configuration.
    pub configured: bool,
    /// The names of its roles.
    pub roles: Vec<String>,
    /// Whether it may be deleted here.
    pub may_delete: bool,
}

impl Services {
    /// The tab that is open.
    pub fn tab(&self) -> Tab {
        Tab::Services
    }
}

impl Page for Services {
    const NAME: &'static str = "admin-services";
    const PLACE: Place = Place::Admin;

    fn samples() -> Vec<(&'static str, Self)> {
        sample::admin::services()
    }
}
