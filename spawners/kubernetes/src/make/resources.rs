//! How much a server may have, and is sure to have.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use spawners::Plan;

use crate::shape::{Amount, Shape};

/// Requests and limits of the server's container.
pub(super) fn resources(shape: &Shape, plan: &Plan) -> Value {
    let of = |cpu: Option<f64>, memory: Option<u64>, extra: &BTreeMap<String, Amount>| {
        let mut table: BTreeMap<&str, String> = BTreeMap::new();
        table.extend(cpu.filter(|cores| *cores > 0.0).map(|cores| ("cpu", cores_of(cores))));
        table.extend(memory.filter(|bytes| *bytes > 0).map(|bytes| ("memory", bytes.to_string())));
        table.extend(extra.iter().map(|(name, amount)| (name.as_str(), amount.0.clone())));
        for (name, number) in &plan.gpus {
            // What people chose comes before what everybody has.
            match number {
                0 => table.remove(name.as_str()),
                number => table.insert(name, number.to_string()),
            };
        }
        json!(table)
    };
    json!({
        "requests": of(plan.cpu_guarantee, plan.mem_guarantee, &shape.extra_resource_guarantees),
        "limits": of(plan.cpu_limit, plan.mem_limit, &shape.extra_resource_limits),
    })
}

/// Processors as Kubernetes writes them.
fn cores_of(cores: f64) -> String {
    format!("{}m", ((cores * 1000.0).round() as i64).max(1))
}
