//! What a server runs with and what it takes, as far as its plan or its options tell. They are written by policies, forms,
//! scripts and JupyterHub itself, so that nothing is relied on: what is not understood says nothing.

use hub_core::policy::Resolved;
use hub_store::{Server, Usage};
use serde_json::Value;

/// A longer text is cut, in characters: options are typed by people.
const LONGEST: usize = 80;
/// More millicores, GPUs, or bytes than that are nonsense, and would spoil a sum.
const MOST: u64 = 1 << 50;

/// What was granted to a server, where policies granted it.
fn granted(server: &Server) -> Option<Resolved> {
    serde_json::from_value(server.plan.clone()?).ok()
}

/// Flavour or profile, then image, then site: any of them. What was granted goes before what was asked for.
pub fn of(server: &Server) -> Vec<String> {
    let (plan, options) = (granted(server).unwrap_or_default(), server.user_options.as_ref());
    let asked = |keys: &[&str]| options.and_then(|options| keys.iter().find_map(|key| named(options.get(key)?)));
    let sized = plan.flavour_name.or(plan.flavour).or(plan.profile_name).or(plan.profile);
    let choice = sized.or_else(|| asked(&["flavour", "profile"]));
    let image = plan.image_name.or(plan.image).or_else(|| asked(&["image"]));
    let short = |text: String| text.chars().take(LONGEST).collect::<String>();
    [choice, image, plan.site_name].into_iter().flatten().map(short).collect()
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
    let plan = granted(server).unwrap_or_default();
    let usual = standard.cores.filter(|cores| cores.is_finite() && *cores >= 0.0).map(|cores| (cores * 1000.0) as u64);
    Usage {
        servers: 1,
        millicores: bounded(plan.cpu_limit.or(usual)),
        memory: bounded(plan.mem_limit.or(standard.memory)),
        gpus: bounded(Some(plan.gpu())),
    }
}

fn bounded(number: Option<u64>) -> i64 {
    number.unwrap_or_default().min(MOST).cast_signed()
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
            user_created: None,
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
            memory_full: None,
        }
    }

    #[test]
    fn flavour_and_image_are_told_however_they_are_written() {
        let table = [
            (json!(null), json!(null), vec![]),
            (json!({"flavour": "small", "image": "base:1"}), json!({"profile": "x"}), vec!["small", "base:1"]),
            (json!({"flavour": "a", "image": "r/b:1", "image_name": "Base"}), json!({}), vec!["a", "Base"]),
            (json!({"flavour": "a100", "flavour_name": "A100"}), json!({"flavour": "a100"}), vec!["A100"]),
            (json!({"profile": "cpu", "profile_name": "Shared CPU"}), json!({}), vec!["Shared CPU"]),
            (json!({}), json!({"profile": "gpu", "image": {"display_name": "R"}}), vec!["gpu", "R"]),
            (json!({"flavour": "a", "site": "cnaf", "site_name": "CNAF"}), json!({}), vec!["a", "CNAF"]),
            (json!({"flavour": {"name": "large"}}), json!({"flavour": {"name": "large"}}), vec!["large"]),
            (json!({"image": 7}), json!({"image": ["x"], "flavour": ""}), vec![]),
            (json!("text"), json!(3), vec![]),
        ];
        for (plan, options, expected) in table {
            assert_eq!(of(&server(plan.clone(), options.clone())), expected, "{plan} {options}");
        }
        let long = of(&server(json!(null), json!({"image": "x".repeat(5000)})));
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
        let plan = Resolved { cpu_limit: Some(1500), gpus: [("gpu".to_owned(), 2)].into(), ..Resolved::default() };
        assert_eq!(takes(json!(plan)), (1500, 1 << 30, 2));
        assert_eq!(takes(json!({"mem_limit": u64::MAX})), (500, 1 << 50, 0));
        assert_eq!(takes(json!({"cpu_limit": -1, "gpus": "many"})), (500, 1 << 30, 0));
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
