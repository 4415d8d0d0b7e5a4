//! What two values differ in, place by place.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// A place where two values differ.
#[derive(Debug)]
pub(super) struct Difference {
    /// The case, and the names on the way, with `/` before each. What has a name in a list is known by it, else by its number.
    pub path: String,
    /// What KubeSpawner has.
    pub theirs: Option<Value>,
    /// What is here.
    pub ours: Option<Value>,
}

pub(super) fn differences(case: &str, theirs: &Value, ours: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    at(case, Some(theirs), Some(ours), &mut found);
    found
}

fn at(path: &str, theirs: Option<&Value>, ours: Option<&Value>, found: &mut Vec<Difference>) {
    match (theirs, ours) {
        (Some(Value::Object(theirs)), Some(Value::Object(ours))) => {
            let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
            for name in names {
                at(&format!("{path}/{name}"), theirs.get(name), ours.get(name), found);
            }
        }
        (Some(Value::Array(theirs)), Some(Value::Array(ours))) => match (by_name(theirs), by_name(ours)) {
            (Some((order, theirs)), Some((our_order, ours))) => {
                let common = |order: &[String], others: &Map<String, Value>| -> Value {
                    order.iter().filter(|name| others.contains_key(*name)).cloned().collect()
                };
                let orders = (common(&order, &ours), common(&our_order, &theirs));
                at(&format!("{path}/order"), Some(&orders.0), Some(&orders.1), found);
                at(path, Some(&Value::Object(theirs)), Some(&Value::Object(ours)), found);
            }
            _ if theirs.len() == ours.len() => {
                for (number, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
                    at(&format!("{path}/{number}"), Some(theirs), Some(ours), found);
                }
            }
            _ => found.push(difference(path, Some(&theirs.clone().into()), Some(&ours.clone().into()))),
        },
        (theirs, ours) if theirs == ours => {}
        (theirs, ours) => found.push(difference(path, theirs, ours)),
    }
}

fn difference(path: &str, theirs: Option<&Value>, ours: Option<&Value>) -> Difference {
    Difference { path: path.to_owned(), theirs: theirs.cloned(), ours: ours.cloned() }
}

/// The things of a list by their names, and the order of these; `None` where some have none, or two the same.
fn by_name(items: &[Value]) -> Option<(Vec<String>, Map<String, Value>)> {
    let order: Vec<String> =
        items.iter().map(|item| Some(item.get("name")?.as_str()?.to_owned())).collect::<Option<_>>()?;
    let table: Map<String, Value> = order.iter().cloned().zip(items.iter().cloned()).collect();
    (!items.is_empty() && table.len() == items.len()).then_some((order, table))
}
