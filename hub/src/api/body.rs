//! Bodies of requests: JSON as JupyterHub reads it, with its texts for what is wrong.

use serde_json::{Map, Value};

use crate::http::Problem;

/// The JSON of a body; `None` for an empty one and for `null`.
pub fn json(bytes: &[u8]) -> Result<Option<Value>, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Null) => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(Problem::bad("Invalid JSON in body of request")),
    }
}

/// The object of a body; `None` for no body.
pub fn object(bytes: &[u8]) -> Result<Option<Map<String, Value>>, Problem> {
    match json(bytes)? {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(other) => Err(Problem::bad(format!("The body must be a JSON object, not {}", kind(&other)))),
    }
}

/// Refuses keys that are not known.
pub fn only(object: &Map<String, Value>, known: &[&str]) -> Result<(), Problem> {
    let unknown: Vec<&str> = object.keys().map(String::as_str).filter(|key| !known.contains(key)).collect();
    if unknown.is_empty() { Ok(()) } else { Err(Problem::bad(format!("Invalid JSON keys: {}", unknown.join(", ")))) }
}

/// As `only`, and none of them may be null: JupyterHub's models of users and groups take that for a wrong type.
pub fn only_given(object: &Map<String, Value>, model: &str, known: &[&str]) -> Result<(), Problem> {
    only(object, known)?;
    match object.iter().find(|(_, value)| value.is_null()) {
        Some((key, _)) => Err(Problem::bad(format!("{model}.{key} must not be null"))),
        None => Ok(()),
    }
}

/// A list of texts.
pub fn texts(object: &Map<String, Value>, model: &str, key: &str) -> Result<Option<Vec<String>>, Problem> {
    let wrong = || Problem::bad(format!("{model}.{key} must be a list of strings"));
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).try_for_each(|item| without_nul(item, model, key))?;
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>().map(Some).ok_or_else(wrong)
        }
        Some(_) => Err(wrong()),
    }
}

/// A text.
pub fn text(object: &Map<String, Value>, model: &str, key: &str) -> Result<Option<String>, Problem> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => without_nul(text, model, key).map(|()| Some(text.clone())),
        Some(_) => Err(Problem::bad(format!("{model}.{key} must be a string"))),
    }
}

/// Not every database can hold that character, or be asked for it.
fn without_nul(text: &str, model: &str, key: &str) -> Result<(), Problem> {
    if text.contains('\0') {
        Err(Problem::bad(format!("{model}.{key} must not contain a NUL character")))
    } else {
        Ok(())
    }
}

/// Yes or no.
pub fn flag(object: &Map<String, Value>, model: &str, key: &str) -> Result<Option<bool>, Problem> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(Problem::bad(format!("{model}.{key} must be a boolean"))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_body_and_null_are_no_body() {
        for body in ["", " \n", "null"] {
            assert!(json(body.as_bytes()).unwrap().is_none());
        }
    }

    #[test]
    fn what_is_not_json_is_refused_in_jupyterhubs_words() {
        for body in [&b"{"[..], b"\xff", b"{} {}"] {
            assert_eq!(json(body).unwrap_err().message(), Some("Invalid JSON in body of request"));
        }
    }

    #[test]
    fn unknown_keys_are_named() {
        let object = object(br#"{"admin": true, "colour": 1}"#).unwrap().unwrap();
        assert_eq!(only(&object, &["admin"]).unwrap_err().message(), Some("Invalid JSON keys: colour"));
    }
}
