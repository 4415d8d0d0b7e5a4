//! As whom a server runs, and with which rights on its node.

use serde_json::{Map, Value};

use super::table;
use crate::shape::Shape;

/// The security context of the server's container.
pub(super) fn of_container(shape: &Shape) -> Value {
    let mut context = Map::new();
    let mut say = |name: &str, value: Option<Value>| context.extend(value.map(|value| (name.to_owned(), value)));
    say("runAsUser", shape.uid.map(Value::from));
    say("runAsGroup", shape.gid.map(Value::from));
    say("privileged", shape.privileged.then_some(Value::Bool(true)));
    // A privileged container has all rights to gain.
    let escalation = shape.allow_privilege_escalation.filter(|allowed| *allowed || !shape.privileged);
    say("allowPrivilegeEscalation", escalation.map(Value::Bool));
    context.extend(table(&shape.container_security_context));
    Value::Object(context)
}

/// The security context of its pod.
pub(super) fn of_pod(shape: &Shape) -> Value {
    let mut context = Map::new();
    context.extend(shape.fs_gid.map(|group| ("fsGroup".to_owned(), Value::from(group))));
    if !shape.supplemental_gids.is_empty() {
        context.insert("supplementalGroups".to_owned(), Value::from(shape.supplemental_gids.clone()));
    }
    context.extend(table(&shape.pod_security_context));
    Value::Object(context)
}
