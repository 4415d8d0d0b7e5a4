//! Environment variables that override the file: `SPECOLA_HUB__BIND_URL` for `bind_url` in `[hub]`.
//!
//! Variables with one underscore between section and name are ours for other purposes and left alone, unless they
//! spell an option: then somebody meant to set it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::{join, proposal};
use super::document::Document;
use super::problem::{Origin, Problem};
use super::shape::{Field, Shape};

/// Environment variables by name.
pub type Environment = BTreeMap<String, String>;

const PREFIX: &str = "SPECOLA_";

/// The environment of this process. Variables that are not UTF-8 are passed over: no option is set by one.
pub fn of_process() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The variable that sets an option: `SPECOLA_AUTH__PASSWORD__MINIMUM_LENGTH` for `auth.password.minimum_length`.
pub fn name_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// Lays the environment over a document.
pub fn overlay(document: &mut Document, shape: &Shape, environment: &Environment, problems: &mut Vec<Problem>) {
    let mut names = Vec::new();
    option_names(shape, "", &mut names);
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let origin = || Some(Origin::Environment(name.clone()));
        // A section that is a list is set as a whole, by its own name.
        if !rest.contains("__") && find(shape, &[rest]).is_none() {
            if let Some(meant) = names.iter().find(|known| known.replace("__", "_") == *name) {
                problems.push(Problem::new("", "sets nothing", format!("Did you mean {meant:?}?")).at(origin()));
            }
            continue;
        }
        let parts: Vec<&str> = rest.split("__").collect();
        match find(shape, &parts) {
            Some((path, found)) => match read(found, text) {
                Some(value) => document.set(&path, value, Origin::Environment(name.clone())),
                None => {
                    let key = path.join(".");
                    problems.push(Problem::new(key, format!("has to be {}", expected(found)), "").at(origin()));
                }
            },
            None => problems.push(Problem::new("", "is not an option", proposal_of(name, &names)).at(origin())),
        }
    }
}

fn proposal_of(name: &str, names: &[String]) -> String {
    let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let proposal = proposal(&name.to_lowercase(), &lower);
    // The quoted name is the only part to be written in capitals.
    match proposal.split_once('"').and_then(|(before, rest)| Some((before, rest.split_once('"')?))) {
        Some((before, (name, after))) => format!("{before}{:?}{after}", name.to_uppercase()),
        None => proposal,
    }
}

/// Finds an option by the parts of a variable's name; below a table with free names the writing is kept.
fn find<'a>(shape: &'a Shape, parts: &[&str]) -> Option<(Vec<String>, &'a Shape)> {
    let (first, rest) = parts.split_first()?;
    let (name, inner) = match shape {
        Shape::Table(fields) => {
            let field = fields.iter().find(|field: &&Field| field.name == first.to_lowercase())?;
            (field.name.clone(), &field.shape)
        }
        Shape::Map(of) if !first.is_empty() => ((*first).to_owned(), of.as_ref()),
        _ => return None,
    };
    if rest.is_empty() {
        return (!matches!(inner, Shape::Table(_))).then(|| (vec![name], inner));
    }
    let (mut path, found) = find(inner, rest)?;
    path.insert(0, name);
    Some((path, found))
}

/// Reads a variable's text as the option wants it; `None` when it cannot be meant.
fn read(shape: &Shape, text: &str) -> Option<Value> {
    let trimmed = text.trim();
    match shape {
        Shape::Flag => match trimmed.to_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(Value::Bool(true)),
            "false" | "0" | "no" | "off" => Some(Value::Bool(false)),
            _ => None,
        },
        Shape::Whole(..) => trimmed.parse::<i64>().ok().map(Value::from),
        Shape::Number(..) => trimmed.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number),
        Shape::Text(_) | Shape::Bytes | Shape::Choice(_) => Some(Value::String(text.to_owned())),
        Shape::List(..) if trimmed.starts_with('[') => serde_json::from_str(trimmed).ok(),
        Shape::List(of, _) => {
            let items = trimmed.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(|item| read(of, item)).collect::<Option<Vec<Value>>>().map(Value::Array)
        }
        Shape::Map(_) | Shape::Table(_) => serde_json::from_str(trimmed).ok(),
        Shape::Any => Some(serde_json::from_str(trimmed).unwrap_or_else(|_| Value::String(text.to_owned()))),
    }
}

fn expected(shape: &Shape) -> String {
    match shape {
        Shape::List(of, _) => match of.as_ref() {
            Shape::Table(_) => "a list of tables, written as JSON".into(),
            _ => "a list with commas, or as JSON".into(),
        },
        Shape::Map(_) | Shape::Table(_) => "a table, written as JSON".into(),
        shape => shape.expected(),
    }
}

fn option_names(shape: &Shape, key: &str, names: &mut Vec<String>) {
    match shape {
        Shape::Table(fields) => {
            fields.iter().for_each(|field| option_names(&field.shape, &join(key, &field.name), names))
        }
        _ => names.push(name_of(key)),
    }
}
