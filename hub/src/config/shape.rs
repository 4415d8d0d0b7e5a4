//! What a configuration may look like, read from the schema of the structs: the one source for checks and reference.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Config;

/// One option or section.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name in the table that holds it.
    pub name: String,
    /// What it may hold.
    pub shape: Shape,
    /// What it is without being written; `None` or null when there is nothing to show.
    pub default: Option<Value>,
    /// What it means, from the struct's own comment.
    pub help: String,
    /// Whether the table that holds it is worth nothing without it.
    pub required: bool,
}

/// What a value may be.
#[derive(Debug, Clone)]
pub enum Shape {
    /// `true` or `false`.
    Flag,
    /// A whole number between two bounds.
    Whole(i64, i64),
    /// A number between two bounds, and its unit.
    Number(f64, f64, &'static str),
    /// A text, and the format it has to have.
    Text(Format),
    /// Bytes: a whole number or a text with a suffix.
    Bytes,
    /// One of some words.
    Choice(Vec<String>),
    /// A list, and how many items it has to have when that is fixed.
    List(Box<Shape>, Option<usize>),
    /// A table with named members.
    Table(Vec<Field>),
    /// A table with free names.
    Map(Box<Shape>),
    /// Anything.
    Any,
}

/// The format of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// None in particular.
    Plain,
    /// Not to be shown.
    Secret,
    /// A file or folder.
    Path,
    /// A regular expression.
    Pattern,
    /// `#rrggbb`.
    Colour,
    /// Where a link may lead.
    Link,
    /// Where to listen.
    BindUrl,
    /// A path with slashes at both ends.
    BasePath,
    /// An http or https URL.
    HttpUrl,
}

impl Shape {
    /// The shape of the whole configuration.
    pub fn of_config() -> Self {
        let generator =
            SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
        Self::of(generator.into_root_schema_for::<Config>().as_value())
    }

    /// The shape of a member of a table.
    pub fn member(&self, name: &str) -> Option<&Self> {
        let Self::Table(fields) = self else { return None };
        fields.iter().find(|field| field.name == name).map(|field| &field.shape)
    }

    /// Reads a schema. What it does not know is `Any`; a test makes sure that no option is.
    fn of(schema: &Value) -> Self {
        if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
            return options.iter().find(|option| !is_type(option, "null")).map_or(Self::Any, Self::of);
        }
        if let Some(words) = words(schema) {
            return Self::Choice(words);
        }
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        if format == "bytes" {
            Self::Bytes
        } else if is_type(schema, "boolean") {
            Self::Flag
        } else if is_type(schema, "integer") {
            whole(schema, format)
        } else if is_type(schema, "number") {
            let bound = |name: &str, without| schema.get(name).and_then(Value::as_f64).unwrap_or(without);
            let unit = if format == "seconds" { "seconds" } else { "number" };
            Self::Number(bound("minimum", f64::MIN), bound("maximum", f64::MAX), unit)
        } else if is_type(schema, "string") {
            Self::Text(text_format(format))
        } else if is_type(schema, "array") {
            let exactly = schema.get("maxItems").and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
            Self::List(Box::new(schema.get("items").map_or(Self::Any, Self::of)), exactly)
        } else if is_type(schema, "object") {
            table(schema)
        } else {
            Self::Any
        }
    }

    /// What has to be written, in words.
    pub fn expected(&self) -> String {
        match self {
            Self::Flag => "true or false".into(),
            Self::Whole(min, max) => bounded("a whole number", *min as f64, *max as f64),
            Self::Number(min, max, "seconds") => bounded("a number of seconds", *min, *max),
            Self::Number(min, max, _) => bounded("a number", *min, *max),
            Self::Text(Format::Path) => "the path of a file or folder, as text in quotes".into(),
            Self::Text(_) => "a text in quotes".into(),
            Self::Bytes => "a number of bytes, or a text such as \"512M\" or \"2G\"".into(),
            Self::Choice(words) => format!("one of {}", quoted(words)),
            Self::List(of, Some(count)) => format!("a list in brackets of {count} items, each {}", of.expected()),
            Self::List(of, None) => match of.as_ref() {
                Self::Table(_) => "a list of tables".into(),
                of => format!("a list in brackets, each item {}", of.expected()),
            },
            Self::Table(_) | Self::Map(_) => "a table".into(),
            Self::Any => "any value".into(),
        }
    }
}

fn bounded(noun: &str, min: f64, max: f64) -> String {
    // Bounds that only say how wide the field is are of no help to people.
    let max_told = max < f64::from(u32::MAX);
    match (min > f64::from(i32::MIN), max_told) {
        (true, true) => format!("{noun} from {min} to {max}"),
        (true, false) => format!("{noun}, {min} or more"),
        (false, true) => format!("{noun}, {max} at most"),
        (false, false) => noun.into(),
    }
}

/// `"a", "b" or "c"`.
pub fn quoted(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} or {last}", first.join(", ")),
        None => String::new(),
    }
}

fn is_type(schema: &Value, name: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => false,
    }
}

fn words(schema: &Value) -> Option<Vec<String>> {
    let options = schema.get("oneOf").or_else(|| schema.get("enum"))?.as_array()?;
    let word = |option: &Value| option.get("const").unwrap_or(option).as_str().map(String::from);
    Some(options.iter().filter_map(word).collect())
}

fn whole(schema: &Value, format: &str) -> Shape {
    let (min, max) = match format {
        "uint8" => (0, 255),
        "uint16" => (0, 65_535),
        "uint32" => (0, i64::from(u32::MAX)),
        "uint" | "uint64" => (0, i64::MAX),
        _ => (i64::MIN, i64::MAX),
    };
    let bound = |name: &str, without| schema.get(name).and_then(Value::as_i64).unwrap_or(without);
    Shape::Whole(bound("minimum", min), bound("maximum", max))
}

fn text_format(format: &str) -> Format {
    match format {
        "secret" => Format::Secret,
        "path" => Format::Path,
        "pattern" => Format::Pattern,
        "colour" => Format::Colour,
        "link" => Format::Link,
        "bind-url" => Format::BindUrl,
        "base-path" => Format::BasePath,
        "http-url" => Format::HttpUrl,
        _ => Format::Plain,
    }
}

fn table(schema: &Value) -> Shape {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Shape::Map(Box::new(schema.get("additionalProperties").map_or(Shape::Any, Shape::of)));
    };
    let required = schema.get("required").and_then(Value::as_array);
    let field = |(name, inner): (&String, &Value)| Field {
        name: name.clone(),
        shape: Shape::of(inner),
        default: inner.get("default").cloned(),
        help: inner.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
        required: required.is_some_and(|names| names.iter().any(|one| one == name)),
    };
    Shape::Table(properties.iter().map(field).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(key: &str, shape: &Shape, see: &mut impl FnMut(&str, &Shape, &str)) {
        let Shape::Table(fields) = shape else { return };
        for field in fields {
            let key = format!("{key}.{}", field.name);
            see(&key, &field.shape, &field.help);
            visit(&key, &field.shape, see);
        }
    }

    #[test]
    fn every_option_has_a_known_shape_and_says_what_it_means() {
        let mut count = 0;
        visit("", &Shape::of_config(), &mut |key, shape, help| {
            assert!(!matches!(shape, Shape::Any), "{key}");
            assert!(!help.is_empty(), "{key}");
            count += 1;
        });
        assert!(count > 90, "only {count} options were seen");
    }

    #[test]
    fn every_secret_can_be_kept_in_a_file() {
        let mut keys = Vec::new();
        let mut secrets = Vec::new();
        visit("", &Shape::of_config(), &mut |key, shape, _| {
            keys.push(key.to_owned());
            if matches!(shape, Shape::Text(Format::Secret)) {
                secrets.push(format!("{key}_file"));
            }
        });
        assert!(!secrets.is_empty());
        assert!(secrets.iter().all(|file| keys.contains(file)), "{secrets:?}");
    }
}
