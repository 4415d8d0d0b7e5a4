//! The images that servers may be started with, in the order of their use: what is fetched before anybody waits for it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use hub_core::policy::{Resolved, Rules};
use serde_json::{Map, Value};

use crate::config::{Config, SpawnerConfig};

/// The options of the driver at this hub's own site.
pub fn spawner(config: &Config) -> &SpawnerConfig {
    let own = config.hub.site.as_deref().and_then(|name| config.site_named(name));
    own.map_or(&config.spawner, |site| site.spawner_of(config))
}

/// All images that the configuration names, in its order, each once: of all servers, of profiles, images and flavours, and
/// what is to be there besides.
pub fn offered(config: &Config, rules: Option<&Rules>) -> Vec<String> {
    let mut all = in_table(&base(config));
    if let Some(rules) = rules {
        for profile in &rules.profiles {
            let choices = profile.options.iter().flat_map(|option| &option.choices).map(|choice| &choice.setting);
            for setting in std::iter::once(&profile.setting).chain(choices) {
                let mut table = setting.extra.clone();
                table.extend(setting.image.clone().flatten().map(|image| ("image".to_owned(), Value::from(image))));
                all.extend(in_table(&table));
            }
        }
        all.extend(rules.images.iter().map(|image| image.reference.clone()));
        all.extend(rules.flavours.iter().flat_map(|flavour| in_table(&flavour.extra)));
    }
    let puller = spawner(config).kubernetes.image_puller.as_ref();
    all.extend(puller.into_iter().flat_map(|puller| puller.extra_images.clone()));
    let mut once: Vec<String> = Vec::new();
    for image in all {
        // One that is another for each person cannot be fetched for all.
        if !image.is_empty() && !image.contains('{') && !once.contains(&image) {
            once.push(image);
        }
    }
    once
}

/// Those that were started more often first. Only much more counts, by a factor of two, so that the order is not another
/// every hour.
pub fn by_use(mut offered: Vec<String>, config: &Config, plans: &[(Option<Value>, i64)]) -> Vec<String> {
    let mut starts: BTreeMap<String, u64> = BTreeMap::new();
    let base = base(config);
    for (plan, times) in plans {
        let resolved = plan.as_ref().and_then(|plan| serde_json::from_value::<Resolved>(plan.clone()).ok());
        let mut table = base.clone();
        if let Some(resolved) = resolved {
            table.extend(resolved.extra);
            table.extend(resolved.image.map(|image| ("image".to_owned(), Value::from(image))));
        }
        for image in in_table(&table) {
            *starts.entry(image).or_default() += u64::try_from(*times).unwrap_or_default();
        }
    }
    offered.sort_by_key(|image| Reverse(u64::BITS - starts.get(image).copied().unwrap_or_default().leading_zeros()));
    offered
}

/// What all pods have, in the driver's words.
fn base(config: &Config) -> Map<String, Value> {
    match serde_json::to_value(&spawner(config).kubernetes.shape) {
        Ok(Value::Object(table)) => table,
        _ => Map::new(),
    }
}

/// The images of options of pods: what runs before a server, itself, beside it, and among its executors.
fn in_table(table: &Map<String, Value>) -> Vec<String> {
    let containers = |option: &str| -> Vec<String> {
        let of = |container: &Value| container.get("image").and_then(Value::as_str).map(str::to_owned);
        match table.get(option) {
            Some(Value::Array(list)) => list.iter().filter_map(of).collect(),
            Some(Value::Object(named)) => {
                named.iter().collect::<BTreeMap<_, _>>().into_values().filter_map(of).collect()
            }
            _ => Vec::new(),
        }
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let mut all = containers("init_containers");
    all.extend(text(table.get("image")));
    all.extend(containers("extra_containers"));
    all.extend(text(table.get("executors").and_then(|executors| executors.get("image"))));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = r#"
        [spawner]
        driver = "kubernetes"
        [spawner.kubernetes]
        image = "lab"
        init_containers = { b = { name = "b", image = "second" }, a = { name = "a", image = "first" } }
        extra_containers = [{ name = "c", image = "beside" }]
        image_puller = { daemon_set = "pull", extra_images = ["more", "lab"] }
        [options]
        images = [{ name = "i", image = "offered" }]
        flavours = [{ name = "f", spawner_override = { extra_containers = [{ name = "d", image = "large" }] } }]
        [[options.profile_list]]
        display_name = "A"
        kubespawner_override = { image = "profile", init_containers = [{ name = "e", image = "before" }], executors = { image = "spark" } }
        [[options.profile_list]]
        display_name = "B"
        profile_options = { image = { display_name = "I", choices = { x = { display_name = "X", kubespawner_override = { image = "choice" } }, y = { display_name = "Y", kubespawner_override = { image = "{username}" } } } } }
    "#;

    #[test]
    fn images_of_all_that_may_be_started_are_listed_once_and_those_used_most_come_first() {
        let text: toml::Value = toml::from_str(TEXT).unwrap();
        let config: Config = serde_json::from_value(serde_json::to_value(text).unwrap()).unwrap();
        let rules = config.rules().unwrap();
        let all = offered(&config, rules.as_ref());
        let expected =
            ["first", "second", "lab", "beside", "before", "profile", "spark", "choice", "offered", "large", "more"];
        assert_eq!(all, expected);
        let plans = [
            (Some(json!({ "image": "choice" })), 9),
            (Some(json!({ "image": "offered", "extra": { "init_containers": [], "extra_containers": [] } })), 2),
            (Some(json!({ "image": "gone" })), 100),
            (None, 1),
        ];
        // What runs before and beside a server is used with each that does not say otherwise.
        let expected =
            ["first", "second", "beside", "choice", "offered", "lab", "before", "profile", "spark", "large", "more"];
        assert_eq!(by_use(all, &config, &plans), expected);
    }
}
