//! A configuration as it was written: plain values, each with its place. Knows no option by name.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Problem};

/// Values and where each was written.
#[derive(Debug, Default)]
pub struct Document {
    /// The sections.
    pub root: Map<String, Value>,
    origins: BTreeMap<String, Origin>,
}

impl Document {
    /// Reads TOML. Each syntax error is a problem of its own; `path` is how the file is named in them.
    pub fn parse(path: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let lines = Lines::of(path, text);
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut problems: Vec<Problem> = errors.iter().map(|error| syntax_problem(error, &lines)).collect();
        let mut document = Self::default();
        let root = document.table(table.get_ref(), &Place { key: String::new(), lines: &lines }, &mut problems);
        document.root = root;
        if problems.is_empty() { Ok(document) } else { Err(problems) }
    }

    /// Sets a value below the root, making the tables on the way.
    pub fn set(&mut self, path: &[String], value: Value, origin: Origin) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut table = &mut self.root;
        for name in parents {
            let inner = table.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            let Value::Object(inner) = inner else { return };
            table = inner;
        }
        table.insert(last.clone(), value);
        self.origins.insert(path.join("."), origin);
    }

    /// Says where the value of a key was written.
    pub fn mark(&mut self, key: &str, origin: Origin) {
        self.origins.insert(key.to_owned(), origin);
    }

    /// Takes an option out, so that what is right elsewhere can still be looked at.
    pub fn remove(&mut self, path: &[String]) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut table = &mut self.root;
        for name in parents {
            match table.get_mut(name) {
                Some(Value::Object(inner)) => table = inner,
                _ => return,
            }
        }
        table.remove(last);
    }

    /// Where a key was written, or else the nearest thing around it.
    pub fn origin(&self, key: &str) -> Option<Origin> {
        let mut key = key;
        loop {
            if let Some(origin) = self.origins.get(key) {
                return Some(origin.clone());
            }
            key = key.get(..key.rfind(['.', '['])?)?;
        }
    }

    fn table(&mut self, table: &DeTable<'_>, place: &Place<'_>, problems: &mut Vec<Problem>) -> Map<String, Value> {
        let mut map = Map::new();
        for (name, value) in table {
            let inner = place.member(name.get_ref());
            self.origins.insert(inner.key.clone(), place.lines.origin(name.span()));
            if let Some(value) = self.value(value, &inner, problems) {
                map.insert(name.get_ref().to_string(), value);
            }
        }
        map
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, place: &Place<'_>, problems: &mut Vec<Problem>) -> Option<Value> {
        let mut refuse = |what: &str| {
            let origin = place.lines.origin(value.span());
            problems.push(Problem::new(&place.key, what, "").at(Some(origin)));
            None
        };
        match value.get_ref() {
            DeValue::String(text) => Some(Value::String(text.to_string())),
            DeValue::Boolean(truth) => Some(Value::Bool(*truth)),
            DeValue::Datetime(time) => Some(Value::String(time.to_string())),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Some(number.into()),
                Err(_) => refuse("is too large a number"),
            },
            DeValue::Float(number) => {
                match number.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
                    Some(number) => Some(Value::Number(number)),
                    None => refuse("is not a finite number"),
                }
            }
            DeValue::Array(items) => {
                let mut list = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let inner = place.item(index);
                    self.origins.insert(inner.key.clone(), place.lines.origin(item.span()));
                    list.extend(self.value(item, &inner, problems));
                }
                Some(Value::Array(list))
            }
            DeValue::Table(table) => Some(Value::Object(self.table(table, place, problems))),
        }
    }
}

struct Place<'a> {
    key: String,
    lines: &'a Lines,
}

impl<'a> Place<'a> {
    fn member(&self, name: &str) -> Place<'a> {
        let key = if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) };
        Place { key, lines: self.lines }
    }

    fn item(&self, index: usize) -> Place<'a> {
        Place { key: format!("{}[{index}]", self.key), lines: self.lines }
    }
}

/// The lines of a file, to turn a byte offset into a line number.
struct Lines {
    path: String,
    ends: Vec<usize>,
}

impl Lines {
    fn of(path: &str, text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { path: path.to_owned(), ends }
    }

    fn origin(&self, span: Range<usize>) -> Origin {
        let line = self.ends.partition_point(|end| *end < span.start) + 1;
        Origin::File { path: self.path.clone(), line }
    }
}

fn syntax_problem(error: &toml::de::Error, lines: &Lines) -> Problem {
    let origin = error.span().map(|span| lines.origin(span));
    Problem::new("", format!("this is not TOML: {}", error.message().replace('\n', " ")), "").at(origin)
}
