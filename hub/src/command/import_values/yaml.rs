//! YAML for people: tables with indentation, texts in quotes only where they need them.

use serde_json::{Map, Value};

/// The text of a table.
pub fn text(values: &Map<String, Value>) -> String {
    let mut text = String::new();
    table(values, 0, &mut text);
    text
}

fn table(values: &Map<String, Value>, depth: usize, text: &mut String) {
    for (name, value) in values {
        *text += &format!("{:indent$}{}:", "", word(name), indent = depth * 2);
        below(value, depth, text);
    }
}

/// What stands after a name or a dash.
fn below(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            table(fields, depth + 1, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            for item in items {
                *text += &format!("{:indent$}-", "", indent = (depth + 1) * 2);
                below(item, depth + 1, text);
            }
        }
        Value::Array(_) => *text += " []\n",
        Value::Object(_) => *text += " {}\n",
        Value::String(said) => *text += &format!(" {}\n", word(said)),
        other => *text += &format!(" {other}\n"),
    }
}

/// As it stands where nobody can take it for something else; in quotes as JSON has them, which YAML knows too.
fn word(said: &str) -> String {
    let begins = said.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let plain = said.chars().all(|one| one.is_ascii_alphanumeric() || matches!(one, '_' | '-' | '.' | '/'));
    let reserved = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    if begins && plain && !reserved.contains(&said.to_ascii_lowercase().as_str()) {
        said.to_owned()
    } else {
        Value::from(said).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let values = json!({
            "a": { "b": [1, 2.5, true, null, "no", "x y", "", "- a", "#", "ü\n\"q\"", "1e3", "/lab"], "empty": {}, "none": [] },
            "on": "off", "a b": [[1, [2]], { "c": { "d": [{}] } }], "~": "~", "1": ": ", "k": "a: b",
        });
        let text = text(values.as_object().unwrap());
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, values, "{text}");
        assert!(text.contains("- /lab\n") && text.contains("\"on\": \"off\"\n"), "{text}");
    }
}
