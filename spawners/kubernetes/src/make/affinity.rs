//! Which nodes and pods a server is to be near, or away from.

use serde_json::{Map, Value, json};

use super::camels;
use crate::shape::{Items, Shape};

/// The affinities as a pod has them.
pub(super) fn affinity(shape: &Shape) -> Value {
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let of = |preferred: &Items, required: Option<Value>| {
        let mut terms = Map::new();
        if !preferred.is_empty() {
            terms.insert(PREFERRED.to_owned(), camels(preferred));
        }
        terms.extend(required.map(|required| (REQUIRED.to_owned(), required)));
        (!terms.is_empty()).then_some(Value::Object(terms))
    };
    let some = |items: &Items| (!items.is_empty()).then(|| camels(items));
    let nodes = some(&shape.node_affinity_required).map(|terms| json!({ "nodeSelectorTerms": terms }));
    let affinities = [
        ("nodeAffinity", of(&shape.node_affinity_preferred, nodes)),
        ("podAffinity", of(&shape.pod_affinity_preferred, some(&shape.pod_affinity_required))),
        ("podAntiAffinity", of(&shape.pod_anti_affinity_preferred, some(&shape.pod_anti_affinity_required))),
    ];
    let said = affinities.into_iter().filter_map(|(name, terms)| terms.map(|terms| (name.to_owned(), terms)));
    Value::Object(said.collect())
}
