//! What the chart's own schema says of a value. It knows of JSON Schema what `values.schema.json` uses.

use serde_json::Value;

const SCHEMA: &str = include_str!("../../../../deploy/helm/values.schema.json");
const DEFAULTS: &str = include_str!("../../../../deploy/helm/values.yaml");

/// The schema of all values.
pub fn whole() -> anyhow::Result<Value> {
    Ok(serde_json::from_str(SCHEMA)?)
}

/// The values that the chart has when nobody says any.
pub fn defaults() -> anyhow::Result<Value> {
    Ok(serde_saphyr::from_str(DEFAULTS)?)
}

/// The schema of a member of a table; `None` when there may be no such.
pub fn member<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    const ANY: &Value = &Value::Bool(true);
    if let Some(known) = schema["properties"].get(name) {
        return Some(known);
    }
    match &schema["additionalProperties"] {
        Value::Bool(false) => None,
        Value::Object(_) => Some(&schema["additionalProperties"]),
        _ => Some(ANY),
    }
}

/// Whether members have rules of their own.
pub fn has_members(schema: &Value) -> bool {
    schema["properties"].is_object() || schema["additionalProperties"].is_object()
}

/// What is wrong with a value, without its members.
pub fn fault(schema: &Value, value: &Value) -> Option<String> {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    if !types.iter().any(|one| is_a(one, value)) {
        return Some(format!("it has to be {}", types.iter().map(|one| called(one)).collect::<Vec<_>>().join(" or ")));
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        let known: Vec<&str> = choices.iter().filter_map(Value::as_str).filter(|word| !word.is_empty()).collect();
        return Some(format!("it has to be one of {}", known.join(", ")));
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
    {
        return Some("it does not have the form it has to have".to_owned());
    }
    let bound = |name: &str| schema[name].as_f64();
    if let Some(number) = value.as_f64()
        && (bound("minimum").is_some_and(|least| number < least) || bound("maximum").is_some_and(|most| number > most))
    {
        return Some("it is out of bounds".to_owned());
    }
    let items = value.as_array().into_iter().flatten();
    items.enumerate().find_map(|(at, item)| Some(format!("of item {at}, {}", fault(schema.get("items")?, item)?)))
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

fn called(kind: &str) -> &str {
    match kind {
        "null" => "nothing",
        "string" => "a text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
}
