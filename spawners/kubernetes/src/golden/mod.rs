//! Compares what is made of settings with what KubeSpawner makes of the same ones. The settings are in
//! `tests/golden/cases.json`; `make.py` beside them asked the real KubeSpawner, and wrote its answers down.

mod compare;
mod purpose;
mod ways;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::label;
use crate::name::{Names, SlugScheme};
use crate::shape::Shape;
use compare::Difference;
use purpose::ON_PURPOSE;
use ways::Case;

/// Options of pods that KubeSpawner does not have, or that change nothing of what is made.
const NOT_COMPARED: [&str; 4] = ["delete_pvc", "remember_pvc_name", "modify_pod", "executors"];

fn read(file: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn cases() -> Vec<Case> {
    serde_json::from_value(read("cases.json")).unwrap()
}

#[test]
fn pods_claims_and_services_are_those_of_kubespawner_but_for_what_differs_on_purpose() {
    let mut used = BTreeSet::new();
    let mut faults = Vec::new();
    for case in cases() {
        let theirs = read(&format!("made/{}.json", case.name));
        let ours = match ways::made(&case, &theirs) {
            Ok(ours) => ours,
            Err(error) => {
                faults.push(format!("{}: {error}", case.name));
                continue;
            }
        };
        for difference in compare::differences(&case.name, &ways::seen(theirs), &ours) {
            match ON_PURPOSE.iter().position(|purpose| purpose.is_of(&difference)) {
                Some(at) => drop(used.insert(at)),
                None => faults.push(describe(&difference)),
            }
        }
    }
    let unused = ON_PURPOSE.iter().enumerate().filter(|(at, _)| !used.contains(at));
    faults.extend(unused.map(|(_, purpose)| format!("nothing differs any more: {}, {}", purpose.path, purpose.why)));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn describe(difference: &Difference) -> String {
    let of = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
    format!("{} is {}, and {} with KubeSpawner", difference.path, of(&difference.ours), of(&difference.theirs))
}

#[test]
fn every_option_of_pods_is_in_a_case() {
    let set: BTreeSet<String> = cases().into_iter().flat_map(|case| case.settings).map(|(option, _)| option).collect();
    let Value::Object(options) = serde_json::to_value(Shape::default()).unwrap() else { panic!("a table") };
    let missing = options.keys().filter(|option| !set.contains(*option) && !NOT_COMPARED.contains(&option.as_str()));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn names_are_those_of_kubespawner() {
    for row in read("names.json").as_array().unwrap() {
        let of = |name: &str| row[name].as_str().unwrap();
        let scheme: SlugScheme = serde_json::from_value(row["scheme"].clone()).unwrap();
        let server = ways::identity(of("user"), of("server"));
        let names = Names::new(&server, scheme, ways::NAMESPACE);
        let fields: Map<String, Value> = row["fields"].as_object().unwrap().clone();
        for (field, value) in &fields {
            let filled = names.fill(&format!("<{{{field}}}>")).unwrap();
            assert_eq!(json!(filled.trim_matches(['<', '>'])), *value, "{field} of {server:?}");
        }
        let labels = label::of_pod(&server);
        for (name, value) in row["labels"].as_object().unwrap() {
            assert_eq!(json!(labels[&format!("hub.jupyter.org/{name}")]), *value, "{name} of {server:?}");
        }
    }
}
