//! What somebody asks for: `user_options` as they come from a form, a link or a program, as texts by name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::amount::{millis, parse_bytes};
use super::refusal::{Code, Refusal, shown};

/// Options by name. Lists of texts, as JupyterHub's `options_from_form` gets them, and plain values are the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    values: BTreeMap<String, Vec<String>>,
}

/// More options than any form has.
const MOST_OPTIONS: usize = 256;
/// More values of one option than any form has.
const MOST_VALUES: usize = 64;
/// Longer than any value that means something.
const LONGEST: usize = 4096;

impl Request {
    /// Reads `user_options`. Only texts, numbers, truths and lists of them can be options.
    pub fn read(options: &Value) -> Result<Self, Refusal> {
        let whole = |sentence: &str| Refusal::new(Code::BadValue, "", sentence);
        let members = match options {
            Value::Null => return Ok(Self::default()),
            Value::Object(members) => members,
            _ => return Err(whole("Options have to be a table of names and values.")),
        };
        if members.len() > MOST_OPTIONS {
            return Err(whole("There are more options than any form has."));
        }
        let mut values = BTreeMap::new();
        for (name, value) in members {
            values.insert(name.clone(), texts(name, value)?);
        }
        Ok(Self { values })
    }

    /// As `read`, without the options it would refuse.
    pub fn read_what_can_be(options: &Value) -> (Self, Vec<Refusal>) {
        let mut request = Self::default();
        let mut refused = Vec::new();
        for (name, value) in options.as_object().into_iter().flatten().take(MOST_OPTIONS) {
            match texts(name, value) {
                Ok(texts) => drop(request.values.insert(name.clone(), texts)),
                Err(refusal) => refused.push(refusal),
            }
        }
        (request, refused)
    }

    /// The names of all options.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// All values of an option; `None` when it is not there at all.
    pub fn all(&self, name: &str) -> Option<&[String]> {
        self.values.get(name).map(Vec::as_slice)
    }

    /// The value of an option that has one. Empty counts as not there.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut full = self.all(name).unwrap_or_default().iter().filter(|value| !value.trim().is_empty());
        match (full.next(), full.next()) {
            (value, None) => Ok(value.map(|value| value.trim())),
            _ => Err(Refusal::new(Code::BadValue, name, format!("Choose one value for “{}”.", shown(name)))),
        }
    }
}

fn texts(name: &str, value: &Value) -> Result<Vec<String>, Refusal> {
    let bad = |what: &str| Refusal::new(Code::BadValue, name, format!("The option “{}” {what}.", shown(name)));
    let one = |value: &Value| match value {
        Value::String(text) if text.len() > LONGEST => Err(bad("is too long")),
        Value::String(text) if text.contains('\0') => Err(bad("contains a zero character")),
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err(bad("has to be a text, a number, or a list of texts")),
    };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) if items.len() > MOST_VALUES => Err(bad("has too many values")),
        Value::Array(items) => items.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

/// Cores, in thousandths.
pub(super) fn cores(text: &str) -> Option<u64> {
    text.parse().ok().and_then(millis)
}

/// Bytes: "4G", "4 GB", "4Gi".
pub(super) fn memory(text: &str) -> Option<u64> {
    let bare = text.strip_suffix('B').filter(|rest| rest.ends_with(['K', 'M', 'G', 'T', 'i'])).unwrap_or(text);
    parse_bytes(&bare.replace(' ', ""))
}

/// A number of GPUs, or yes and no as the forms of INFN have them.
pub(super) fn gpus(text: &str) -> Option<u64> {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "true" | "on" => Some(1),
        "n" | "no" | "false" | "off" | "none" | "not available" => Some(0),
        number => number.parse().ok(),
    }
}

/// Cores as they are written in options.
pub(super) fn cores_value(millis: u64) -> Value {
    if millis.is_multiple_of(1000) { (millis / 1000).into() } else { super::amount::as_cores(millis).into() }
}

/// Bytes as they are written in options: "4G".
pub(super) fn memory_text(bytes: u64) -> String {
    for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// What was chosen, in the form in which it is kept: one plain value a name.
pub type Options = Map<String, Value>;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_of_a_form_and_plain_values_are_read_alike() {
        let form = Request::read(&json!({"cpu": ["2"], "gpu": ["1"], "img": [""], "volumes": ["a", "b"]})).unwrap();
        let plain = Request::read(&json!({"cpu": 2, "gpu": 1, "img": null, "volumes": ["a", "b"]})).unwrap();
        for name in ["cpu", "gpu", "img", "mem"] {
            assert_eq!(form.one(name), plain.one(name), "{name}");
        }
        assert_eq!(form.all("volumes").unwrap().len(), 2);
        assert_eq!(form.one("volumes").unwrap_err().code, Code::BadValue);
        for bad in [json!([]), json!("x"), json!({"a": {}}), json!({"a": [[1]]}), json!({"a": "\0"})] {
            assert_eq!(Request::read(&bad).unwrap_err().code, Code::BadValue, "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_as_forms_write_them() {
        let table = [("4G", Some(4u64 << 30)), ("4 GB", Some(4 << 30)), ("4GiB", Some(4 << 30)), ("4 gigs", None)];
        for (text, bytes) in table {
            assert_eq!(memory(text), bytes, "{text}");
        }
        for (text, number) in [("Y", Some(1)), ("Not Available", Some(0)), ("2", Some(2)), ("many", None)] {
            assert_eq!(gpus(text), number, "{text}");
        }
        assert_eq!((memory_text(3 << 29), memory_text(2 << 30)), ("1536M".to_owned(), "2G".to_owned()));
    }
}
