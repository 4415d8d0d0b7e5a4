//! What a server runs with and what it takes, as far as its plan or its options tell. They are written by policies, forms,
//! scripts and JupyterHub itself, so that nothing is relied on: what is not understood says nothing.

use hub_store::{Server, Usage};
use serde_json::Value;

/// A longer text is cut, in characters: options are typed by people.
const LONGEST: usize = 80;
/// More cores, GPUs, or bytes than that are nonsense, and would spoil a sum.
const MOST: f64 = (1u64 << 50) as f64;

/// Flavour or profile, then image: none, one or two.
pub fn of(server: &Server) -> Vec<String> {
    let places = [server.plan.as_ref(), server.user_options.as_ref()];
    let first = |keys: &[&str]| {
        let found = places.into_iter().flatten().find_map(|place| keys.iter().find_map(|key| named(place.get(key)?)));
        found.map(|text| text.chars().take(LONGEST).collect::<String>())
    };
    let mut facts = Vec::new();
    facts.extend(first(&["flavour", "profile"]));
    facts.extend(first(&["image"]));
    facts
}

/// A name: the text itself, or what an object is called.
fn named(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Object(object) => {
            ["display_name", "name", "reference", "ref", "slug"].iter().find_map(|key| object.get(*key)?.as_str())?
        }
        _ => return None,
    };
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// What every server gets unless its plan says otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standard {
    /// Cores.
    pub cores: Option<f64>,
    /// Bytes.
    pub memory: Option<u64>,
}

/// What one running server takes: what its plan grants, or what every server gets.
pub fn usage(server: &Server, standard: Standard) -> Usage {
    let plan = server.plan.as_ref();
    let of_plan = |keys: &[&str]| plan.and_then(|plan| keys.iter().find_map(|key| amount(plan.get(key)?)));
    let cores = of_plan(&["cpu_limit", "cpu", "cores"]).or(standard.cores).unwrap_or(0.0);
    let memory = of_plan(&["mem_limit", "memory", "mem"]).or(standard.memory.map(|bytes| bytes as f64)).unwrap_or(0.0);
    let gpus = of_plan(&["gpus", "gpu"]).unwrap_or(0.0);
    Usage { servers: 1, millicores: whole(cores * 1000.0), memory: whole(memory), gpus: whole(gpus) }
}

/// A number: itself, or the limit or count of an object.
fn amount(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Object(object) => ["limit", "count"].iter().find_map(|key| object.get(*key)?.as_f64()),
        _ => None,
    }
    .filter(|number| number.is_finite() && (0.0..=MOST).contains(number))
}

fn whole(number: f64) -> i64 {
    // Bounded by `MOST`, so that nothing is cut off.
    number.round() as i64
}

/// The group that somebody's servers are counted for: the most specific one, by the slashes in its name, then the first
/// by name. None for somebody in no group.
pub fn counted_for(groups: &[String]) -> Option<&str> {
    let depth = |name: &str| name.trim_matches('/').matches('/').count();
    groups.iter().map(String::as_str).min_by_key(|name| (std::cmp::Reverse(depth(name)), *name))
}

#[cfg(test)]
mod tests {
    use hub_core::id::{Generation, SpawnerId, UserId};
    use hub_core::life::{Desired, Phase};
    use serde_json::json;

    use super::*;

    fn server(plan: Value, options: Value) -> Server {
        let some = |value: Value| Some(value).filter(|value| !value.is_null());
        Server {
            id: SpawnerId(1),
            user_id: UserId(1),
            user_name: "ann".to_owned(),
            name: String::new(),
            display_name: None,
            state: None,
            user_options: some(options),
            started: None,
            last_activity: None,
            oauth_client_id: None,
            address: None,
            desired: Desired::Running,
            phase: Phase::Ready,
            generation: Generation(1),
            due_at: None,
            deadline_at: None,
            held_by: None,
            held_until: None,
            failure: None,
            driver: None,
            plan: some(plan),
            url: None,
            changed_at: None,
        }
    }

    #[test]
    fn flavour_and_image_are_told_however_they_are_written() {
        let table = [
            (json!(null), json!(null), vec![]),
            (json!({"flavour": "small", "image": "base:1"}), json!({"profile": "x"}), vec!["small", "base:1"]),
            (json!({}), json!({"profile": "gpu", "image": {"display_name": "R"}}), vec!["gpu", "R"]),
            (json!({"flavour": {"name": "large"}}), json!([]), vec!["large"]),
            (json!({"image": 7, "flavour": ""}), json!({"image": ["x"]}), vec![]),
            (json!("text"), json!(3), vec![]),
        ];
        for (plan, options, expected) in table {
            assert_eq!(of(&server(plan.clone(), options.clone())), expected, "{plan} {options}");
        }
        let long = of(&server(json!({"image": "x".repeat(5000)}), json!(null)));
        assert_eq!(long[0].len(), LONGEST);
    }

    #[test]
    fn what_a_server_takes_is_its_plans_or_everybodys() {
        let standard = Standard { cores: Some(0.5), memory: Some(1 << 30) };
        let takes = |plan: Value| {
            let usage = usage(&server(plan, json!(null)), standard);
            (usage.millicores, usage.memory, usage.gpus)
        };
        assert_eq!(takes(json!(null)), (500, 1 << 30, 0));
        assert_eq!(takes(json!({"cpu_limit": 2, "mem_limit": 4096, "gpus": 1})), (2000, 4096, 1));
        assert_eq!(takes(json!({"cpu": {"limit": 1.5}, "memory": {"limit": 10}, "gpu": {"count": 2}})), (1500, 10, 2));
        assert_eq!(takes(json!({"cpu": -1, "memory": 1e300, "gpus": "many"})), (500, 1 << 30, 0));
    }

    #[test]
    fn somebody_counts_for_the_most_specific_group() {
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            counted_for(&names).map(str::to_owned)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["b", "a"]).as_deref(), Some("a"));
        assert_eq!(of(&["users", "users/gpu", "/staff"]).as_deref(), Some("users/gpu"));
    }
}
