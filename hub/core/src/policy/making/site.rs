//! At which site.

use super::{Making, not_offered, nothing, nothing_to_ask};
use crate::policy::choice::Site;
use crate::policy::refusal::{Code, Refusal};

impl<'s> Making<'s> {
    pub(super) fn choose_site(&mut self) -> Result<(), Refusal> {
        let asked = self.asked(&["site"]);
        if self.rules.sites.is_empty() {
            let asked = asked.and_then(|asked| nothing_to_ask("site", asked));
            return self.or_default(asked);
        }
        let asked = asked.and_then(|asked| asked.map(|name| self.asked_site(name)).transpose());
        let site = match self.or_default(asked)? {
            Some(site) => site,
            None => self.standing.usual_site().ok_or_else(|| self.no_site())?,
        };
        (self.plan.site, self.plan.site_name) = (Some(site.name.clone()), Some(site.display_name.clone()));
        self.options.insert("site".to_owned(), site.name.clone().into());
        Ok(())
    }

    fn asked_site(&self, name: &str) -> Result<&'s Site, Refusal> {
        let site = self.standing.sites().find(|site| site.name == name).ok_or_else(|| not_offered("site", name))?;
        match self.standing.closed(site) {
            Some(why) => Err(Refusal::new(Code::SiteClosed, "site", why)),
            None => Ok(site),
        }
    }

    /// Why no site is left: none is granted, or those that are take no starts.
    fn no_site(&self) -> Refusal {
        let closed: Vec<&str> = self.standing.sites().filter_map(|site| self.standing.closed(site)).collect();
        match closed.is_empty() {
            true => nothing("site", "site"),
            false => Refusal::new(Code::SiteClosed, "", closed.join(" ")),
        }
    }
}
