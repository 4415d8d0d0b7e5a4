//! A person at the provider, with a plain HTTP client: fills in the forms and follows the redirects, to the provider and
//! back. The visitor's cookies are kept, so that a second visit needs no password, as in a browser.

use anyhow::{Context, Result, bail};
use http::Method;
use url::{Position, Url};

use super::Provider;
use crate::session::{Answer, Body, Session};

const STEPS: usize = 20;

pub struct Visitor {
    name: String,
    session: Session,
    refuses: bool,
}

impl Visitor {
    /// Somebody who has not signed in yet, and will with this name and password.
    pub fn new(provider: &Provider, name: &str) -> Result<Visitor> {
        Visitor::at(provider.issuer(), name)
    }

    /// The same at any provider whose forms ask for a name and a password.
    pub fn at(origin: &str, name: &str) -> Result<Visitor> {
        Ok(Visitor { name: name.to_owned(), session: Session::new(origin)?, refuses: false })
    }

    /// The same, denying consent when it is asked for.
    pub fn refusing(self) -> Visitor {
        Visitor { refuses: true, ..self }
    }

    /// Goes from an address of the provider to where the provider at last sends them: an address elsewhere, or a page of
    /// the provider's that has no form for them to fill in.
    pub async fn walk(&mut self, from: &Url) -> Result<Result<Url, Answer>> {
        let mut url = from.clone();
        let mut form = None;
        for _ in 0..STEPS {
            let answer = match form.take() {
                None => self.session.get(&url[Position::BeforePath..]).await?,
                Some(fields) => {
                    self.session.send(Method::POST, &url[Position::BeforePath..], Body::Form(fields)).await?
                }
            };
            if answer.status.is_redirection() {
                url = url.join(answer.location().context("a redirect without an address")?)?;
                if url.origin() != self.session.origin().origin() {
                    return Ok(Ok(url));
                }
                continue;
            }
            // A form shown again with a refusal would be filled in the same way for ever.
            let page = answer.text();
            if !answer.status.is_success() || !page.contains("<form") {
                return Ok(Err(answer));
            }
            if let Some(action) = attribute(&page, "<form", "action") {
                url = url.join(&action.replace("&amp;", "&"))?;
            }
            form = Some(self.filled_in(&page));
        }
        bail!("{from} leads nowhere, last to {url}")
    }

    /// Signs in at a hub as a person does: opens a page of the hub that leads to the provider, fills in the provider's
    /// forms, and follows the way back as far as a page that leads nowhere else. Gives that page, which is the
    /// provider's own when it refuses.
    pub async fn sign_in(&mut self, hub: &mut Session, path: &str) -> Result<(Url, Answer)> {
        let own = self.session.origin().clone();
        let mut url = hub.origin().join(path)?;
        for _ in 0..STEPS {
            if url.origin() == own.origin() {
                url = match self.walk(&url).await? {
                    Ok(url) => url,
                    Err(page) => return Ok((own, page)),
                };
            }
            if url.origin() != hub.origin().origin() {
                bail!("sent to {url}, which is neither the hub nor the provider");
            }
            let answer = hub.get(&url[Position::BeforePath..]).await?;
            match answer.location() {
                Some(location) if answer.status.is_redirection() => url = url.join(location)?,
                _ => return Ok((url, answer)),
            }
        }
        bail!("{path} redirects without end, last to {url}")
    }

    /// Every field of the page's form, with the first button, which agrees, or the last.
    fn filled_in(&self, page: &str) -> Vec<(String, String)> {
        let mut buttons = page.split("<button").skip(1);
        let button = if self.refuses { buttons.last() } else { buttons.next() };
        page.split("<input")
            .skip(1)
            .chain(button)
            .filter_map(|rest| {
                let tag = tag(rest)?;
                let name = value_of(tag, "name")?;
                let own = value_of(tag, "value").unwrap_or_default();
                let typed = matches!(name, "name" | "username" | "password") && value_of(tag, "type") != Some("hidden");
                Some((name.to_owned(), if typed { self.name.clone() } else { own.to_owned() }))
            })
            .collect()
    }
}

impl Provider {
    /// Signs somebody in at a hub who has not been at the provider before; see `Visitor::sign_in`.
    pub async fn sign_in(&self, hub: &mut Session, path: &str, name: &str) -> Result<(Url, Answer)> {
        Visitor::new(self, name)?.sign_in(hub, path).await
    }
}

fn tag(rest: &str) -> Option<&str> {
    rest.split_once('>').map(|(tag, _)| tag)
}

fn value_of<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

fn attribute<'a>(page: &'a str, element: &str, name: &str) -> Option<&'a str> {
    value_of(tag(page.split_once(element)?.1)?, name)
}
