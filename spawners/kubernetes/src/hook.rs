//! The hook `modify_pod_hook`: somebody of the operator's is shown a pod before it is made, and may change it or refuse.
//! Without a right answer nothing is made.

use callout::Trouble;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value, json};
use spawners::{Plan, Record, StartError};

use crate::driver::Parts;
use crate::make::Recipe;

/// The longest sentence of a refusal, in characters.
const SENTENCE: usize = 500;
/// Shorter values of variables are no secrets, and may be anywhere in a sentence.
const SECRET: usize = 8;

/// The pod as it is to be made.
pub(crate) async fn asked(
    parts: &Parts,
    recipe: &Recipe,
    plan: &Plan,
    pod: Pod,
    record: &dyn Record,
) -> Result<Pod, StartError> {
    let Some(callout) = &parts.config.modify_pod_hook else { return Ok(pod) };
    record.progress(10, "Asking how the server is to be made").await;
    let shown = serde_json::to_value(&pod).map_err(|error| broken(plan, &error.to_string()))?;
    let answer = callout.ask(&question(plan, &shown)).await.map_err(|trouble| match trouble {
        // The end of it may be the environment, token included.
        Trouble::Garbage { why, .. } => broken(plan, &format!("the answer is not understood ({why})")),
        trouble => broken(plan, &trouble.to_string()),
    })?;
    match read(answer, shown).map_err(|what| broken(plan, &what))? {
        Said::Nothing => Ok(pod),
        Said::Refuse(sentence) => Err(StartError::refused("refused_by_hook", sentence)),
        Said::Make(pod) => recipe.seal(pod, &plan.identity).map_err(|what| broken(plan, &what)),
    }
}

fn question(plan: &Plan, pod: &Value) -> Value {
    let server = &plan.identity;
    json!({
        "specola": callout::VERSION,
        "call": "modify_pod",
        "user": { "name": server.user },
        "server": {
            "id": format!("{}:{}", server.hub, server.spawner),
            "name": server.server,
            "prefix": plan.prefix,
            "generation": server.generation.0,
        },
        "options": plan.options,
        "pod": pod,
    })
}

/// What an answer comes to.
#[derive(Debug, PartialEq)]
enum Said {
    /// The pod is right as it is.
    Nothing,
    /// It is to be this one.
    Make(Value),
    /// There is to be none, and why.
    Refuse(String),
}

/// Reads an answer to a question about a pod: `patch`, `pod`, `refuse`, or nothing. The error is for the operator.
fn read(mut answer: Map<String, Value>, mut pod: Value) -> Result<Said, String> {
    match answer.remove("refuse") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::Bool(true)) => return Ok(Said::Refuse("Your server may not be started now.".to_owned())),
        Some(Value::String(sentence)) => {
            return Ok(Said::Refuse(callout::excerpt(sentence.as_bytes(), SENTENCE)));
        }
        Some(_) => return Err("refuse is neither a sentence nor true".to_owned()),
    }
    let (patch, whole) = (answer.remove("patch"), answer.remove("pod"));
    if let Some(name) = answer.keys().next() {
        return Err(format!("{name:?} is nothing that can be answered"));
    }
    match (patch.filter(|patch| !patch.is_null()), whole.filter(|pod| !pod.is_null())) {
        (None, None) => Ok(Said::Nothing),
        (Some(_), Some(_)) => Err("it has both a patch and a pod".to_owned()),
        (None, Some(whole)) => Ok(Said::Make(whole)),
        (Some(patch), None) => {
            let patch: json_patch::Patch = serde_json::from_value(patch).map_err(|error| format!("patch: {error}"))?;
            json_patch::patch_unsafe(&mut pod, &patch).map_err(|error| format!("patch: {error}"))?;
            Ok(Said::Make(pod))
        }
    }
}

fn broken(plan: &Plan, what: &str) -> StartError {
    let secrets = plan.environment.iter().map(|(_, value)| value).filter(|value| value.len() >= SECRET);
    let what = secrets.fold(what.to_owned(), |text, secret| text.replace(secret.as_str(), "…"));
    tracing::error!(user = plan.identity.user, "spawner.kubernetes.modify_pod_hook: {what}");
    StartError::refused(
        "hook_failed",
        "What this hub asks before a server is made does not work. Ask the people who run this hub.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_patch_a_pod_a_refusal_or_nothing() {
        let pod = json!({ "spec": { "nodeSelector": { "pool": "a" } } });
        let said = |answer: Value| read(answer.as_object().unwrap().clone(), pod.clone());
        let patched = json!({ "spec": { "nodeSelector": { "pool": "b" } } });
        for (answer, expected) in [
            (json!({}), Said::Nothing),
            (json!({ "patch": null, "refuse": false }), Said::Nothing),
            (
                json!({ "patch": [{ "op": "replace", "path": "/spec/nodeSelector/pool", "value": "b" }] }),
                Said::Make(patched.clone()),
            ),
            (json!({ "pod": patched }), Said::Make(patched)),
            (json!({ "refuse": "Not\ntoday." }), Said::Refuse("Not today.".to_owned())),
        ] {
            assert_eq!(said(answer), Ok(expected));
        }
        for wrong in [
            json!({ "refuse": 1 }),
            json!({ "patch": {}, "pod": {} }),
            json!({ "patch": [{ "op": "remove", "path": "/spec/absent" }] }),
            json!({ "patch": "all" }),
            json!({ "pods": {} }),
        ] {
            assert!(said(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
