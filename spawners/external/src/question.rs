//! What is asked about servers.

use hub_core::id::Generation;
use serde_json::{Map, Value, json};
use spawners::{Identity, Marker, Plan};

/// A question about one server. `state` is what its row holds.
pub(crate) fn about(call: &str, server: &Identity, state: &Value) -> Value {
    json!({
        "specola": callout::VERSION,
        "call": call,
        "server": {
            "id": format!("{}:{}", server.hub, server.spawner),
            "generation": server.generation,
            "user": server.user,
            "name": server.server,
        },
        "state": kept(server.generation, state),
    })
}

/// The question to start one.
pub(crate) fn start(plan: &Plan, state: &Value) -> Value {
    let mut question = about("start", &plan.identity, state);
    let environment: Map<String, Value> =
        plan.environment.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    question["server"]["prefix"] = json!(plan.prefix);
    question["start"] = json!({
        "environment": environment,
        "cmd": plan.cmd,
        "args": plan.args,
        "mem_limit": plan.mem_limit,
        "mem_guarantee": plan.mem_guarantee,
        "cpu_limit": plan.cpu_limit,
        "cpu_guarantee": plan.cpu_guarantee,
        "image": plan.image,
        "gpus": plan.gpus,
        "devices": plan.devices,
        "volumes": plan.volumes,
        "extra": plan.extra,
        "options": plan.options,
    });
    question
}

/// What a row keeps: whose state it is, and the state.
pub(crate) fn keep(generation: Generation, state: Value) -> Value {
    json!({ "generation": generation, "state": state })
}

/// The state of this generation; null for another one's. What JupyterHub left in the row is given as it is.
pub(crate) fn kept(generation: Generation, row: &Value) -> Value {
    match (row.get("generation").and_then(Value::as_i64), row.get("state")) {
        (Some(number), Some(state)) if number == generation.0 => state.clone(),
        (Some(_), Some(_)) => Value::Null,
        _ => row.clone(),
    }
}

/// Reads an id `HUB:ROW` as it was given in a question.
pub(crate) fn marker_of(id: &str, generation: i64) -> Option<Marker> {
    format!("{id}:{generation}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_told_to_its_own_generation() {
        let adopted = json!({"job_id": "17"});
        let table = [
            (keep(Generation(2), json!({"a": 1})), json!({"a": 1})),
            (keep(Generation(1), json!({"a": 1})), Value::Null),
            (Value::Null, Value::Null),
            (adopted.clone(), adopted),
        ];
        for (row, told) in table {
            assert_eq!(kept(Generation(2), &row), told, "{row}");
        }
    }
}
