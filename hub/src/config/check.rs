//! Compares what was written with what may be written: unknown names, wrong types, values out of bounds.
//!
//! Pure: it looks at values only, not at files, the network or other options.

use serde_json::Value;

use super::address::{BasePath, BindUrl, HttpUrl};
use super::problem::Problem;
use super::shape::{Field, Format, Shape};
use super::unit::ByteSize;

/// Adds a problem for each value below `key` that does not fit `shape`.
pub fn check(shape: &Shape, value: &Value, key: &str, problems: &mut Vec<Problem>) {
    let mut expected = || problems.push(Problem::new(key, format!("has to be {}", shape.expected()), found(value)));
    match (shape, value) {
        (Shape::Any, _) | (Shape::Flag, Value::Bool(_)) => {}
        (Shape::Whole(min, max), Value::Number(number)) => {
            if !number.as_i64().is_some_and(|number| (*min..=*max).contains(&number)) {
                expected();
            }
        }
        (Shape::Number(min, max, _), Value::Number(number)) => {
            if !number.as_f64().is_some_and(|number| (*min..=*max).contains(&number)) {
                expected();
            }
        }
        (Shape::Bytes, Value::Number(number)) => {
            if number.as_u64().is_none() {
                expected();
            }
        }
        (Shape::Bytes, Value::String(text)) => {
            if ByteSize::parse(text).is_err() {
                expected();
            }
        }
        (Shape::Choice(words), Value::String(word)) => {
            if !words.contains(word) {
                problems.push(Problem::new(key, format!("has to be {}", shape.expected()), proposal(word, words)));
            }
        }
        (Shape::Text(format), Value::String(text)) => {
            if let Err(expected) = check_text(*format, text) {
                problems.push(Problem::new(key, format!("has to be {expected}"), ""));
            }
        }
        (Shape::List(of, exactly), Value::Array(items)) => {
            if exactly.is_some_and(|count| count != items.len()) {
                expected();
            }
            for (index, item) in items.iter().enumerate() {
                check(of, item, &format!("{key}[{index}]"), problems);
            }
        }
        (Shape::Map(of), Value::Object(members)) => {
            for (name, member) in members {
                check(of, member, &join(key, name), problems);
            }
        }
        (Shape::Table(fields), Value::Object(members)) => check_table(fields, members, key, problems),
        _ => expected(),
    }
}

fn check_table(fields: &[Field], members: &serde_json::Map<String, Value>, key: &str, problems: &mut Vec<Problem>) {
    for (name, member) in members {
        match fields.iter().find(|field| field.name == *name) {
            Some(field) => check(&field.shape, member, &join(key, name), problems),
            None => problems.push(unknown(fields, name, key)),
        }
    }
    for field in fields.iter().filter(|field| field.required && !members.contains_key(&field.name)) {
        problems.push(Problem::new(key, format!("needs {:?}, {}", field.name, field.shape.expected()), ""));
    }
}

fn unknown(fields: &[Field], name: &str, key: &str) -> Problem {
    let what = if key.is_empty() {
        "is not a section".to_owned()
    } else {
        let table = key.split('[').next().unwrap_or(key);
        format!("is not an option of [{table}]")
    };
    let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
    Problem::new(join(key, name), what, proposal(name, &names))
}

/// The name in a table with dots.
pub fn join(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

/// "Did you mean …?" with the nearest name, or all names when there are few, or nothing.
pub fn proposal(name: &str, names: &[String]) -> String {
    let nearest = nearest(name, names);
    match nearest {
        Some(nearest) => format!("Did you mean {nearest:?}?"),
        None if names.len() <= 8 => format!("Known are {}", names.join(", ")),
        None => "See docs/configuration.md for the names".into(),
    }
}

/// The name most like the one written, when one is like it enough to be meant.
fn nearest<'a>(name: &str, names: &'a [String]) -> Option<&'a String> {
    // Names from elsewhere can be long; a distance is quadratic in them.
    if name.chars().count() > 80 {
        return None;
    }
    let likeness = |candidate: &String| strsim::jaro_winkler(&name.to_lowercase(), candidate);
    let best = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    let near = likeness(best) > 0.85 || strsim::damerau_levenshtein(&name.to_lowercase(), best) <= 2;
    near.then_some(best)
}

fn check_text(format: Format, text: &str) -> Result<(), &'static str> {
    if text.contains('\0') {
        return Err("a text without null characters");
    }
    match format {
        Format::Plain | Format::Secret => Ok(()),
        Format::Path if text.is_empty() => Err("a path that is not empty"),
        Format::Path => Ok(()),
        Format::Pattern => regex::Regex::new(text).map(|_| ()).map_err(|_| "a regular expression"),
        Format::Colour => {
            let digits = text.strip_prefix('#').unwrap_or_default();
            let right = digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            if right { Ok(()) } else { Err("a colour such as \"#0b6e99\"") }
        }
        Format::Link => {
            let to_a_page = text.starts_with('/') && !text.starts_with("//") && !text.contains('\\');
            let known = ["https://", "http://", "mailto:"].iter().any(|scheme| text.starts_with(scheme));
            if to_a_page || known { Ok(()) } else { Err("a link that begins with https://, http://, mailto: or /") }
        }
        Format::BindUrl => BindUrl::parse(text).map(|_| ()),
        Format::BasePath => BasePath::parse(text).map(|_| ()),
        Format::HttpUrl => HttpUrl::parse(text).map(|_| ()),
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "Nothing is there",
        Value::Bool(_) => "This is true or false",
        Value::Number(_) => "This is a number",
        Value::String(_) => "This is a text",
        Value::Array(_) => "This is a list",
        Value::Object(_) => "This is a table",
    }
}
