//! The judgement: a person, a request, and either all that a start needs to know or a refusal.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::Rules;
use super::amount::{Amounts, Dimension, UNLIMITED};
use super::making::{Making, not_offered};
use super::refusal::Refusal;
use super::request::{Options, Request};
use super::resolved::Resolved;
use super::rule::Person;
use super::standing::Standing;

/// A request that is granted.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What to start.
    pub plan: Resolved,
    /// What was chosen, defaults included, as it is kept and shown again.
    pub options: Options,
    /// The quotas it counts against, the person's own first.
    pub charges: Vec<Charge>,
    /// What was asked for and left out, when leaving out was allowed.
    pub dropped: Vec<Refusal>,
}

/// A quota that a server counts against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Whose it is; the person's without a group.
    pub group: Option<String>,
    /// The most at once; nothing for any number.
    pub quota: Amounts,
}

/// Judges a request. Everything in it has to be understood and offered.
pub fn decide(rules: &Rules, person: &Person, options: &Value) -> Result<Decision, Refusal> {
    let request = Request::read(judged(rules, options).as_ref())?;
    judge(&Standing::of(rules, person), &request, options, true, Vec::new())
}

/// Judges what was chosen at another time: what is not offered any more is left out, and told in `dropped`.
pub fn decide_what_can_be(rules: &Rules, person: &Person, options: &Value) -> Result<Decision, Refusal> {
    let (request, dropped) = Request::read_what_can_be(judged(rules, options).as_ref());
    judge(&Standing::of(rules, person), &request, options, false, dropped)
}

/// What of a request is judged here.
fn judged<'o>(rules: &Rules, options: &'o Value) -> Cow<'o, Value> {
    match options.as_object().filter(|_| rules.only_sites) {
        Some(all) => Cow::Owned(all.get("site").map(|site| json!({ "site": site })).unwrap_or_default()),
        None => Cow::Borrowed(options),
    }
}

fn judge(
    standing: &Standing<'_>,
    request: &Request,
    raw: &Value,
    strict: bool,
    dropped: Vec<Refusal>,
) -> Result<Decision, Refusal> {
    let mut making = Making::of(standing, request, strict);
    making.dropped = dropped;
    making.make(raw)?;
    let asked = making.asked(&["group"]);
    let asked = making.or_default(asked)?;
    let Making { mut plan, mut options, mut dropped, .. } = making;
    let mut groups = Vec::new();
    let chargeable = standing.chargeable();
    match asked {
        Some(group) if !chargeable.contains(&group) && strict => return Err(not_offered("group", group)),
        Some(group) if !chargeable.contains(&group) => dropped.push(not_offered("group", group)),
        // A group that does not give what was chosen cannot be charged for it: then it is as if none was named.
        Some(group) if charged_alone(standing, &plan, &options, Some(group)) => groups.push(group),
        _ => {}
    }
    if groups.is_empty() {
        let mut alone = std::iter::once(None).chain(chargeable.iter().copied().map(Some));
        match alone.find(|group| charged_alone(standing, &plan, &options, *group)) {
            Some(group) => groups.extend(group),
            // It takes what several groups give: it counts for each.
            None => groups = chargeable.clone(),
        }
    }
    let quota = |dimension| standing.quota(dimension).map(|bound| bound.amount);
    let mut own = Amounts::default();
    Dimension::ALL.into_iter().for_each(|dimension| own.set(dimension, quota(dimension)));
    let mut charges = vec![Charge { group: None, quota: own }];
    if let (true, [group]) = (asked.is_some(), groups.as_slice()) {
        options.insert("group".to_owned(), (*group).into());
    }
    charges.extend(
        groups.into_iter().map(|group| Charge { group: Some(group.to_owned()), quota: standing.quota_of_group(group) }),
    );
    for charge in &charges {
        for dimension in [Dimension::Cpu, Dimension::Memory] {
            let unlimited = plan.takes_any(dimension);
            if let Some(most) = charge.quota.get(dimension).filter(|most| unlimited && *most != UNLIMITED) {
                plan.clamp(dimension, most);
            }
        }
    }
    Ok(Decision { plan, options, charges, dropped })
}

/// Whether a plan could be made with what is free of groups and what one group gives.
fn charged_alone(standing: &Standing<'_>, plan: &Resolved, options: &Options, group: Option<&str>) -> bool {
    if group.is_some_and(|group| !standing.chargeable().contains(&group)) {
        return false;
    }
    let options = Value::Object(options.clone());
    let Ok(request) = Request::read(judged(standing.rules, &options).as_ref()) else { return false };
    let standing = standing.charged_to(group);
    let mut making = Making::of(&standing, &request, true);
    let made = making.make(&options).is_ok();
    making.plan.caps = plan.caps;
    made && making.plan == *plan
}

impl Resolved {
    /// Whether it may take any amount.
    fn takes_any(&self, dimension: Dimension) -> bool {
        match dimension {
            Dimension::Cpu => self.cpu_limit.is_none(),
            Dimension::Memory => self.mem_limit.is_none(),
            Dimension::Servers | Dimension::Gpu => false,
        }
    }
}
