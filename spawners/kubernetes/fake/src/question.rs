//! What a request is about.

use std::collections::HashMap;

use hyper::{Method, Request};
use serde_json::Value;

use crate::store::Key;

/// The rights that count among executors alone.
pub(crate) const AMONG_EXECUTORS: &str = "among executors";
/// The rights that count in the whole cluster where the others are bound in one namespace after the other.
const EVERYWHERE: [&str; 3] = ["watching", "namespaces", "executors"];

/// A request for objects.
pub(crate) struct Question {
    /// The API group; empty for the core one.
    group: String,
    pub kind: String,
    pub namespace: Option<String>,
    pub name: Option<String>,
    /// What a pod wrote.
    pub log: bool,
    /// To be told what changes, in place of what there is.
    pub watches: bool,
    method: Method,
    query: HashMap<String, String>,
    labels: Vec<Term>,
    fields: Vec<Term>,
}

/// One part of a selector.
enum Term {
    Is(String, String),
    In(String, Vec<String>),
    IsNot(String, String),
    Has(String),
    Lacks(String),
}

impl Question {
    /// `None` for a path that nothing is at.
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        let path = request.uri().path();
        let (group, path) = match path.strip_prefix("/apis/") {
            Some(path) => {
                let (group, path) = path.split_once('/')?;
                (group, path.split_once('/')?.1)
            }
            None => ("", path.strip_prefix("/api/v1/")?),
        };
        let parts: Vec<&str> = path.split('/').collect();
        let (kind, namespace, name, log) = match parts.as_slice() {
            ["namespaces", name] => ("namespaces", None, Some(*name), false),
            ["namespaces", namespace, kind] => (*kind, Some(*namespace), None, false),
            ["namespaces", namespace, kind, name] => (*kind, Some(*namespace), Some(*name), false),
            ["namespaces", namespace, kind, name, "log"] => (*kind, Some(*namespace), Some(*name), true),
            [kind] => (*kind, None, None, false),
            _ => return None,
        };
        let decoded =
            |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let query = request.uri().query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let query: HashMap<String, String> = query.map(|(name, value)| (decoded(name), decoded(value))).collect();
        let terms = |selector: &str| query.get(selector).map(|text| Term::all(text)).unwrap_or_default();
        Some(Self {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            log,
            watches: query.get("watch").is_some_and(|watch| matches!(watch.as_str(), "true" | "True" | "1")),
            method: request.method().clone(),
            labels: terms("labelSelector"),
            fields: terms("fieldSelector"),
            query,
        })
    }

    /// The verb of the right that it takes.
    pub fn verb(&self) -> &'static str {
        match (&self.method, &self.name) {
            (&Method::GET, _) if self.watches => "watch",
            (&Method::GET, Some(_)) => "get",
            (&Method::GET, None) => "list",
            (&Method::POST, _) => "create",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, Some(_)) => "delete",
            (&Method::DELETE, None) => "deletecollection",
            _ => "other",
        }
    }

    /// The resource of the right that it takes.
    pub fn resource(&self) -> String {
        if self.log { format!("{}/log", self.kind) } else { self.kind.clone() }
    }

    /// What is told of a right that is missing, as a real cluster does.
    pub fn lacking(&self) -> String {
        let (verb, resource, group) = (self.verb(), self.resource(), &self.group);
        let whereabouts = match &self.namespace {
            Some(namespace) => format!("in the namespace {namespace:?}"),
            None => "at the cluster scope".to_owned(),
        };
        format!(
            "{resource} is forbidden: User \"hub\" cannot {verb} resource {resource:?} in API group {group:?} {whereabouts}"
        )
    }

    /// Whether some rule allows it. `bound` says whether those count that are bound in the namespace.
    pub fn is_allowed(&self, rights: &Value, bound: bool) -> bool {
        let (verb, resource) = (self.verb(), self.resource());
        let has =
            |rule: &Value, of: &str, wanted: &str| rule[of].as_array().into_iter().flatten().any(|one| one == wanted);
        // The role that is bound in namespaces for executors counts there alone.
        let is_among = self.namespace.as_ref().is_some_and(|namespace| namespace.contains("--executors-"));
        let parts = rights.as_object().into_iter().flatten();
        let parts = parts.filter(|(part, _)| {
            if *part == AMONG_EXECUTORS { is_among } else { bound || EVERYWHERE.contains(&part.as_str()) }
        });
        let rules = parts.filter_map(|(_, rules)| rules.as_array()).flatten();
        rules.into_iter().any(|rule| {
            has(rule, "apiGroups", &self.group) && has(rule, "resources", &resource) && has(rule, "verbs", verb)
        })
    }

    /// Whether a watch may tell how far it is.
    pub fn bookmarks(&self) -> bool {
        self.query.get("allowWatchBookmarks").is_some_and(|wanted| wanted == "true")
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.query.get(name)?.parse().ok()
    }

    pub fn key(&self, name: &str) -> Key {
        (self.kind.clone(), self.namespace.clone().unwrap_or_default(), name.to_owned())
    }

    /// Whether an object is among those that are asked for.
    pub fn takes(&self, kind: &str, object: &Value) -> bool {
        let metadata = &object["metadata"];
        kind == self.kind
            && self.namespace.as_deref().is_none_or(|namespace| metadata["namespace"] == namespace)
            && self.labels.iter().all(|term| term.fits(|name| metadata["labels"][name].as_str()))
            && self.fields.iter().all(|term| {
                term.fits(|name| {
                    name.split('.').try_fold(object, |value, part| value.get(part)).and_then(Value::as_str)
                })
            })
    }
}

impl Term {
    fn all(selector: &str) -> Vec<Self> {
        // A comma in a list of values is none between terms.
        let mut is_in_list = false;
        let between = |letter: char| {
            is_in_list = letter == '(' || is_in_list && letter != ')';
            letter == ',' && !is_in_list
        };
        let terms = selector.split(between).map(str::trim).filter(|term| !term.is_empty());
        terms
            .map(|term| match (term.split_once("!="), term.split_once('='), term.strip_prefix('!')) {
                _ if term.contains(" in (") => {
                    let (name, values) = term.trim_end_matches(')').split_once(" in (").unwrap_or_default();
                    Self::In(name.to_owned(), values.split(',').map(|value| value.trim().to_owned()).collect())
                }
                (Some((name, value)), ..) => Self::IsNot(name.to_owned(), value.to_owned()),
                (_, Some((name, value)), _) => Self::Is(name.to_owned(), value.trim_start_matches('=').to_owned()),
                (.., Some(name)) => Self::Lacks(name.to_owned()),
                _ => Self::Has(term.to_owned()),
            })
            .collect()
    }

    fn fits<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        match self {
            Self::Is(name, wanted) => value(name) == Some(wanted),
            Self::In(name, wanted) => value(name).is_some_and(|value| wanted.iter().any(|wanted| wanted == value)),
            Self::IsNot(name, other) => value(name) != Some(other),
            Self::Has(name) => value(name).is_some(),
            Self::Lacks(name) => value(name).is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn question(method: Method, uri: &str) -> Question {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap_or_default();
        Question::of(&request).unwrap_or_else(|| panic!("{uri} is at nothing"))
    }

    #[test]
    fn a_selector_takes_what_it_names() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "labels": {"a": "1", "b": "2"}}});
        for (selector, taken) in [
            ("a%3D1", true),
            ("a%3D1%2Cb%3D3", false),
            ("a%3D%3D1", true),
            ("a", true),
            ("c", false),
            ("%21c", true),
            ("a%21%3D1", false),
            ("a+in+%280%2C1%29%2Cb%3D2", true),
            ("a+in+%280%2C2%29", false),
        ] {
            let question = question(Method::GET, &format!("/api/v1/namespaces/n/pods?labelSelector={selector}"));
            assert_eq!(question.takes("pods", &pod), taken, "{selector}");
        }
        let field = "/api/v1/pods?fieldSelector=metadata.name%3Dp";
        assert!(question(Method::GET, field).takes("pods", &pod));
        assert!(!question(Method::GET, field).takes("services", &pod));
        assert!(!question(Method::GET, "/api/v1/namespaces/m/pods").takes("pods", &pod));
    }

    #[test]
    fn a_request_is_known_by_verb_and_resource() {
        let of = |method, uri| {
            let question = question(method, uri);
            (question.verb(), question.resource())
        };
        assert_eq!(of(Method::GET, "/api/v1/namespaces/n/pods?watch=true"), ("watch", "pods".to_owned()));
        assert_eq!(of(Method::GET, "/api/v1/namespaces/n/pods/p/log"), ("get", "pods/log".to_owned()));
        let binding = question(Method::POST, "/apis/rbac.authorization.k8s.io/v1/namespaces/n/rolebindings");
        assert_eq!(
            (binding.group.as_str(), binding.resource()),
            ("rbac.authorization.k8s.io", "rolebindings".to_owned())
        );
        let of_core = json!({ "of": [{ "apiGroups": [""], "resources": ["rolebindings"], "verbs": ["create"] }] });
        assert!(!binding.is_allowed(&of_core, true), "a right is one in a group");
        assert_eq!(of(Method::DELETE, "/api/v1/namespaces/n"), ("delete", "namespaces".to_owned()));
    }
}
