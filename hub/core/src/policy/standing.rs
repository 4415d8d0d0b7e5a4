//! What all policies together come to for one person: what is offered, and how much.

use super::Rules;
use super::amount::{Amounts, Dimension, UNLIMITED};
use super::choice::{Flavour, Image, Site, Volume};
use super::group::GroupRule;
use super::image::ImageAllowance;
use super::profile::{Profile, ProfileChoice, ProfileOption, Unlisted};
use super::rule::{By, Kind, Named, Person, Policy};
use super::setting::Setting;

/// The most there may be, and where that comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The amount.
    pub amount: u64,
    /// "limit of the policy physics".
    pub because: String,
}

/// What somebody has by the policies.
#[derive(Debug, Clone)]
pub struct Standing<'r> {
    /// The rules they come from.
    pub rules: &'r Rules,
    /// Whose it is.
    pub person: &'r Person,
    /// The policies that match, in their order, and why.
    pub matched: Vec<(&'r Policy, By)>,
}

impl<'r> Standing<'r> {
    /// By all policies that match.
    pub fn of(rules: &'r Rules, person: &'r Person) -> Self {
        let matched = rules.policies.iter().filter_map(|policy| Some((policy, policy.matching.of(person)?)));
        Self { rules, person, matched: matched.collect() }
    }

    /// By those policies alone that charge no group, or this one.
    pub(super) fn charged_to(&self, group: Option<&str>) -> Self {
        let counts = |policy: &Policy| {
            let groups = self.groups_of(policy);
            groups.is_empty() || group.is_some_and(|group| groups.contains(&group))
        };
        let matched = self.matched.iter().filter(|(policy, _)| counts(policy)).cloned().collect();
        Self { rules: self.rules, person: self.person, matched }
    }

    /// The groups of this person that a policy charges.
    fn groups_of(&self, policy: &Policy) -> Vec<&'r str> {
        if !policy.charges() {
            return Vec::new();
        }
        let meant = |group: &&String| policy.matching.groups.iter().any(|rule| rule.admits(group));
        self.person.groups.iter().filter(meant).map(String::as_str).collect()
    }

    /// The groups that a server of this person can be charged to, in the order of the policies.
    pub fn chargeable(&self) -> Vec<&'r str> {
        let mut groups = Vec::new();
        for (policy, _) in &self.matched {
            for group in self.groups_of(policy) {
                if !groups.contains(&group) {
                    groups.push(group);
                }
            }
        }
        groups
    }

    /// What all members of a group together may have at once.
    pub fn quota_of_group(&self, group: &str) -> Amounts {
        let of = |policy: &Policy| self.groups_of(policy).contains(&group);
        let mut quota = Amounts::default();
        for dimension in Dimension::ALL {
            let stated = self.matched.iter().filter(|(policy, _)| of(policy));
            let most = stated.filter_map(|(policy, _)| policy.quota.group.get(dimension)).max();
            quota.set(dimension, most.filter(|most| *most != UNLIMITED));
        }
        quota
    }

    /// The sentence of the first policy that denies every server.
    pub fn denied(&self) -> Option<&'r str> {
        self.matched.iter().find_map(|(policy, _)| policy.deny.start.as_deref())
    }

    /// What people read above the form.
    pub fn greeting(&self) -> Option<&'r str> {
        let of_policies = self.matched.iter().rev().find_map(|(policy, _)| policy.greeting.as_deref());
        // An empty one says nothing, also in place of the next.
        of_policies.or(self.rules.greeting.as_deref()).filter(|text| !text.trim().is_empty())
    }

    /// The most of one server; `None` for any amount. `Servers` is not a dimension of one server.
    pub fn cap(&self, dimension: Dimension) -> Option<Bound> {
        let limit = self.most_generous("limit", dimension, |policy| policy.limit.get(dimension));
        [limit, self.ceiling(dimension)].into_iter().flatten().min_by_key(|bound| bound.amount)
    }

    /// The most at once; `None` for any amount. Unlike a limit, a quota binds only those whose policies speak of one: it
    /// takes nothing that a single server may have.
    pub fn quota(&self, dimension: Dimension) -> Option<Bound> {
        let stated = |policy: &Policy| policy.quota.person.get(dimension);
        let speaks = self.matched.iter().any(|(policy, _)| stated(policy).is_some());
        let quota = speaks.then(|| self.most_generous("quota", dimension, stated)).flatten();
        let ceiling = self.ceiling(dimension).filter(|_| dimension == Dimension::Servers);
        [quota, ceiling].into_iter().flatten().min_by_key(|bound| bound.amount)
    }

    fn ceiling(&self, dimension: Dimension) -> Option<Bound> {
        let stated = self.matched.iter().filter_map(|(policy, _)| Some((policy.ceiling.get(dimension)?, policy)));
        let (amount, policy) = stated.filter(|(amount, _)| *amount != UNLIMITED).min_by_key(|(amount, _)| *amount)?;
        Some(Bound { amount, because: format!("ceiling of the policy {}", policy.name) })
    }

    /// The most that one of the policies gives. What only policies for others speak of is not to be had at all: were it
    /// free, a policy that gives some would take from those it means.
    fn most_generous(&self, what: &str, dimension: Dimension, pick: impl Fn(&Policy) -> Option<u64>) -> Option<Bound> {
        self.rules.policies.iter().find_map(&pick)?;
        let stated = self.matched.iter().filter_map(|(policy, _)| Some((pick(policy)?, policy)));
        match stated.max_by_key(|(amount, _)| *amount) {
            Some((UNLIMITED, _)) => None,
            Some((amount, policy)) => Some(Bound { amount, because: format!("{what} of the policy {}", policy.name) }),
            None => {
                let because = format!("no policy that matches gives a {what} of {}", dimension.name());
                Some(Bound { amount: 0, because })
            }
        }
    }

    fn named(&self, kind: Kind, name: &str, pick: impl Fn(&Policy) -> &Named) -> bool {
        self.matched.iter().any(|(policy, _)| pick(policy).of(kind).has(name))
    }

    /// Whether a choice is granted by name, and not denied. Without any policy everything is granted.
    fn granted(&self, kind: Kind, name: &str) -> bool {
        let granted = self.rules.policies.is_empty() || self.named(kind, name, |policy| &policy.grant.named);
        granted && !self.barred(kind, name)
    }

    fn barred(&self, kind: Kind, name: &str) -> bool {
        self.named(kind, name, |policy| &policy.deny.named)
    }

    /// Whether an amount for one server is within its bounds.
    pub fn within(&self, dimension: Dimension, amount: u64) -> bool {
        self.cap(dimension).is_none_or(|cap| amount <= cap.amount)
    }

    /// Whether all that a choice sets is within the bounds.
    fn fits(&self, setting: &Setting) -> bool {
        let cpu = [setting.cpu_limit, setting.cpu_guarantee].into_iter().flatten().flatten().max();
        let memory = [setting.mem_limit, setting.mem_guarantee].into_iter().flatten().flatten().max();
        let gpu = Some(setting.gpu()).filter(|gpu| *gpu > 0);
        [(Dimension::Cpu, cpu), (Dimension::Memory, memory), (Dimension::Gpu, gpu)]
            .into_iter()
            .all(|(dimension, amount)| amount.is_none_or(|amount| self.within(dimension, amount)))
    }

    /// Whether an image may be chosen.
    pub fn offers_image(&self, image: &Image) -> bool {
        self.granted(Kind::Image, &image.name)
    }

    /// Whether a policy denies an image.
    pub(super) fn bars_image(&self, image: &Image) -> bool {
        self.barred(Kind::Image, &image.name)
    }

    /// Whether a size may be chosen.
    pub fn offers_flavour(&self, flavour: &Flavour) -> bool {
        self.granted(Kind::Flavour, &flavour.name) && self.fits(&flavour.setting(&self.rules.gpu_resource))
    }

    /// Whether a volume may be chosen.
    pub fn offers_volume(&self, volume: &Volume) -> bool {
        self.granted(Kind::Volume, &volume.name)
    }

    /// Whether a site may be chosen, when it takes starts.
    pub fn offers_site(&self, site: &Site) -> bool {
        self.granted(Kind::Site, &site.name)
    }

    /// Why a site takes no starts at present.
    pub fn closed(&self, site: &Site) -> Option<&'r str> {
        self.person.places.closed.get(&site.name).map(String::as_str)
    }

    /// The sites that may be chosen when they take starts, in their order.
    pub fn sites(&self) -> impl Iterator<Item = &'r Site> {
        let rules: &'r Rules = self.rules;
        rules.sites.iter().filter(|site| self.offers_site(site))
    }

    /// Where a server starts for which no site is chosen: where it ran last, else where a policy says, else where the hub
    /// is, else at the first. Only those that may be chosen and take starts.
    pub fn usual_site(&self) -> Option<&'r Site> {
        let of_policies = self.matched.iter().rev().filter_map(|(policy, _)| policy.default_site.as_deref());
        let last = self.person.places.last.as_deref();
        let open = || self.sites().filter(|site| self.closed(site).is_none());
        let mut preferred = last.into_iter().chain(of_policies).chain(self.rules.own_site.as_deref());
        preferred.find_map(|name| open().find(|site| site.name == name)).or_else(|| open().next())
    }

    /// Whether a profile may be chosen: by its own `allowed_groups` or by a policy.
    pub fn offers_profile(&self, profile: &Profile) -> bool {
        let granted = profile.allowed.admits(&self.person.groups)
            || self.named(Kind::Profile, &profile.slug, |policy| &policy.grant.named);
        let answers = |option: &ProfileOption| {
            option.choices.iter().any(|choice| self.offers_choice(choice))
                || option.unlisted.as_ref().is_some_and(|unlisted| self.offers_unlisted(unlisted))
        };
        granted
            && !self.barred(Kind::Profile, &profile.slug)
            && self.fits(&profile.setting)
            && profile.options.iter().all(answers)
    }

    /// Whether an answer of a profile may be chosen.
    pub fn offers_choice(&self, choice: &ProfileChoice) -> bool {
        choice.allowed.admits(&self.person.groups) && self.fits(&choice.setting)
    }

    /// Whether an answer of one's own may be given to a profile.
    pub fn offers_unlisted(&self, unlisted: &Unlisted) -> bool {
        let barred = unlisted.names_image() && self.own_images_are_denied();
        unlisted.allowed.admits(&self.person.groups) && !barred
    }

    /// Whether what an answer of one's own sets is within the bounds.
    pub(super) fn fits_typed(&self, setting: &Setting) -> bool {
        self.fits(setting)
    }

    fn own_images_are_denied(&self) -> bool {
        self.matched.iter().any(|(policy, _)| policy.deny.own_images)
    }

    /// Where images of one's own may come from; empty when one may name none.
    pub fn own_images(&self) -> Vec<&'r ImageAllowance> {
        if self.own_images_are_denied() {
            return Vec::new();
        }
        self.matched.iter().filter_map(|(policy, _)| policy.grant.own_images.as_ref()).collect()
    }

    /// What it takes to get a choice that is not offered: the policies that would grant it and say how to get into their
    /// groups. None where the bounds of this person's policies would not change.
    pub fn asking(&self, kind: Kind, name: &str) -> Option<String> {
        self.asked_of(|policy| policy.grant.named.of(kind).has(name)).filter(|_| !self.barred(kind, name))
    }

    /// As `asking`, for an amount in a menu.
    pub fn asking_for(&self, dimension: Dimension, amount: u64) -> Option<String> {
        let above = self.ceiling(dimension).is_some_and(|ceiling| ceiling.amount < amount);
        self.asked_of(|policy| policy.limit.get(dimension).is_some_and(|limit| limit >= amount)).filter(|_| !above)
    }

    fn asked_of(&self, gives: impl Fn(&Policy) -> bool) -> Option<String> {
        let others = self.rules.policies.iter().filter(|policy| policy.matching.of(self.person).is_none());
        let policy = others.filter(|policy| gives(policy)).find(|policy| policy.ask.is_some())?;
        // In the words of people: nobody asks to join `a/**`.
        let groups: Vec<&str> =
            policy.matching.groups.iter().map(GroupRule::group).filter(|name| !name.is_empty()).collect();
        let ask = policy.ask.as_deref().unwrap_or_default();
        let who = if groups.is_empty() { &policy.name } else { &groups.join(" or ") };
        Some(format!("For members of {who}. {ask}").trim().to_owned())
    }
}
