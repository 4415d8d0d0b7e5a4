//! What is left at present of what people may start: devices that nobody has, and quotas. For the form, and for programs
//! that show one of their own (`api/spawn_options.rs`). It is told and not promised: the start decides.

use std::collections::BTreeMap;

use hub_core::policy::{Amounts, Dimension, Standing};
use hub_store::User;
use serde::Serialize;

use crate::app::App;
use crate::http::Problem;

/// Devices of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stock {
    /// How many there are.
    pub total: u64,
    /// How many nobody has.
    pub free: u64,
    /// How many servers wait for one.
    pub waiting: u64,
}

/// One quota of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Whose it is; the person's own without a group.
    pub group: Option<String>,
    /// The most at once.
    pub quota: Amounts,
    /// What is taken of it.
    pub used: Amounts,
    /// The rest.
    pub left: Amounts,
}

/// The devices of each kind; none where devices are not leased.
pub async fn devices(app: &App) -> Result<BTreeMap<String, Stock>, Problem> {
    let known = &app.keeper.devices().known;
    if known.is_empty() {
        return Ok(BTreeMap::new());
    }
    let in_use = app.store.device_use().await?;
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let stock = |(resource, devices): (&String, &Vec<String>)| {
        let free = devices.iter().filter(|device| !in_use.taken.contains(*device)).count();
        let waiting = in_use.waiting.get(resource).copied().unwrap_or(0);
        (resource.clone(), Stock { total: count(devices.len()), free: count(free), waiting })
    };
    Ok(known.iter().map(stock).collect())
}

/// The quotas that count for somebody, the person's own first.
pub async fn quotas(app: &App, user: &User, standing: &Standing<'_>) -> Result<Vec<Left>, Problem> {
    let mut own = Amounts::default();
    for dimension in Dimension::ALL {
        own.set(dimension, standing.quota(dimension).map(|bound| bound.amount));
    }
    let mut quotas = Vec::new();
    if !own.is_empty() {
        quotas.push(left(None, own, app.store.taken_by(user.id).await?));
    }
    for group in standing.chargeable() {
        let quota = standing.quota_of_group(group);
        if !quota.is_empty() {
            quotas.push(left(Some(group), quota, app.store.taken_of_group(group).await?));
        }
    }
    Ok(quotas)
}

fn left(group: Option<&str>, quota: Amounts, taken: Amounts) -> Left {
    let (mut used, mut left) = (Amounts::default(), Amounts::default());
    for dimension in Dimension::ALL {
        let Some(most) = quota.get(dimension) else { continue };
        let taken = taken.get(dimension).unwrap_or(0);
        used.set(dimension, Some(taken));
        left.set(dimension, Some(most.saturating_sub(taken)));
    }
    Left { group: group.map(str::to_owned), quota, used, left }
}

impl Left {
    /// "1 server, 4 cores": what is left in words.
    pub fn told(&self) -> String {
        let told = |dimension: Dimension| self.left.get(dimension).map(|amount| dimension.told(amount));
        Dimension::ALL.into_iter().filter_map(told).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_of_what_has_a_quota_only() {
        let quota = Amounts { servers: Some(2), cpu: Some(4000), memory: None, gpu: Some(1) };
        let taken = Amounts { servers: Some(1), cpu: Some(6000), memory: Some(1 << 30), gpu: Some(1) };
        let left = left(Some("physics"), quota, taken);
        assert_eq!(left.told(), "1 server, 0 cores, 0 GPUs");
        assert_eq!((left.used.memory, left.left.cpu), (None, Some(0)));
    }
}
