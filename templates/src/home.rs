//! The home page: the person's servers, what others share, and the services.

use askama::Template;
use hub_core::clock::Time;

use crate::folder::Folder;
use crate::server::Server;
use crate::{Frame, Href, Page, Place, sample};

/// The home page. Its forms post `action` (`start`, `stop`, `keep`, `delete`, `new`,
/// `leave` and `stop` with `owner`), `server_name` and `_xsrf` to `{base_url}home`.
#[derive(Debug, Template)]
#[template(path = "home.html")]
pub struct Home {
    /// What surrounds the page.
    pub frame: Frame,
    /// The login name of the person whose servers these are.
    pub owner: String,
    /// When the person is deleted, where people who stay away are.
    pub leaving: Option<Leaving>,
    /// The server without a name.
    pub default: Server,
    /// Whether starting leads to a page of options first. If not, starting is a form on this page.
    pub has_options: bool,
    /// The named servers, if the hub allows them.
    pub named: Option<NamedServers>,
    /// Labs for working together that the person may use.
    pub together: Vec<Together>,
    /// Servers of others the person may use.
    pub shares: Vec<Share>,
    /// Services the person may open.
    pub services: Vec<Service>,
    /// Why the last action of this page was refused.
    pub error: Option<String>,
}

/// The end of a person's account.
#[derive(Debug, Clone)]
pub struct Leaving {
    /// The earliest instant.
    pub at: Time,
    /// Whether coming back puts it off.
    pub unless_used: bool,
    /// What becomes of their files then.
    pub files: String,
}

/// The person's named servers.
#[derive(Debug, Clone)]
pub struct NamedServers {
    /// The servers, in the order to show them.
    pub servers: Vec<Server>,
    /// How many there may be; none for no limit.
    pub limit: Option<u32>,
    /// What was typed as the name of a new server, when it was refused.
    pub typed: String,
}

/// A lab for working together.
#[derive(Debug, Clone)]
pub struct Together {
    /// The account whose server it is.
    pub account: String,
    /// What people call it.
    pub title: String,
    /// A sentence about it.
    pub description: Option<String>,
    /// Its server.
    pub server: Server,
}

/// A server of somebody else.
#[derive(Debug, Clone)]
pub struct Share {
    /// Who shares it.
    pub owner: String,
    /// Its name; empty for the default server.
    pub server: String,
    /// Whether it runs.
    pub ready: bool,
    /// Where it is used.
    pub url: Href,
    /// Where it can be started, if the person may.
    pub start: Option<Href>,
    /// The group it is shared with, if not with the person alone. Only the person's own share can be left.
    pub by_group: Option<String>,
}

/// A service in the list.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What it is, in a sentence.
    pub description: Option<String>,
    /// Whether it answered when it was last asked, or was never asked.
    pub answers: bool,
    /// Where it is.
    pub url: Href,
}

impl Home {
    /// What the button that starts a server says.
    pub fn start_word(&self, server: &Server) -> &'static str {
        if server.state.failure().is_some() { self.frame.words.try_again } else { self.frame.words.start }
    }

    /// Whether something will change by itself soon, so that the page should look again often.
    pub fn pending(&self) -> bool {
        let named = self.named.iter().flat_map(|named| &named.servers);
        std::iter::once(&self.default)
            .chain(named)
            .chain(self.together.iter().map(|lab| &lab.server))
            .any(|server| server.state.pending() || server.folders.iter().any(Folder::moves))
    }
}

impl NamedServers {
    /// Whether another one may be made.
    pub fn may_add(&self) -> bool {
        self.limit.is_none_or(|limit| self.servers.len() < usize::try_from(limit).unwrap_or(usize::MAX))
    }
}

impl Page for Home {
    const NAME: &'static str = "home";
    const PLACE: Place = Place::Home;

    fn samples() -> Vec<(&'static str, Self)> {
        sample::home::samples()
    }
}
