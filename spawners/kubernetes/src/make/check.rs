//! Checks a configuration by making a pod of it for nobody.

use hub_core::id::{Generation, SpawnerId};
use spawners::{Identity, Plan};

use super::Recipe;
use crate::config::Config;
use crate::executors;
use crate::slug;
use crate::space;

/// Checks, without a server at hand, what a configuration says of pods. The error is the option, and what is wrong.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    if !slug::is_label_value(&config.hub) {
        return Err(format!("{:?} is no mark that a label can have", config.hub));
    }
    executors::check(config)?;
    space::check(config)?;
    let mut plan = Plan::new(nobody(), "/", Vec::new());
    plan.image = Some("image".to_owned());
    let recipe = Recipe::of(config, config.shape.clone(), &plan.identity, config.namespace.as_deref().unwrap_or("a"))?;
    if let Some(claim) = &recipe.claim {
        recipe.written_storage(&plan.identity, &claim.usual)?;
    }
    recipe.secret_name(config)?;
    if !config.secret_mount_path.starts_with('/') || config.secret_mount_path.contains(':') {
        return Err(format!("secret_mount_path: {:?} is no path in a server", config.secret_mount_path));
    }
    for (option, context) in [
        ("container_security_context", &config.shape.container_security_context),
        ("pod_security_context", &config.shape.pod_security_context),
    ] {
        if let Some(name) = context.keys().find(|name| name.contains('_')) {
            return Err(format!("{option}: {name} has to be written as Kubernetes does, such as runAsUser"));
        }
    }
    recipe.written_pod(config, &plan, None).map(drop)
}

/// A server to try settings with.
pub(crate) fn nobody() -> Identity {
    Identity {
        hub: "h".to_owned(),
        spawner: SpawnerId(0),
        generation: Generation(0),
        user: "a".to_owned(),
        server: String::new(),
        account: Some("0".to_owned()),
    }
}
