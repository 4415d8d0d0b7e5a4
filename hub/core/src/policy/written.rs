//! What somebody wrote, with the keys of its tables in the order in which they stand there.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// A value as it was written. `serde_json::Value` sorts its keys; a list of profiles means their order.
#[derive(Debug, Clone)]
pub enum Written {
    /// A text, a number, a truth or nothing.
    One(Value),
    /// A list.
    List(Vec<Written>),
    /// A table.
    Table(Table),
}

/// The keys of a table and what they are, as they were written; the last of two equal keys counts.
#[derive(Debug, Clone, Default)]
pub struct Table(Vec<(String, Written)>);

impl Table {
    /// What a key is.
    pub fn get(&self, key: &str) -> Option<&Written> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The keys and what they are.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Written)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl Written {
    /// What is found when one key after the other is looked up.
    pub fn at(&self, path: &[&str]) -> Option<&Written> {
        path.iter().try_fold(self, |value, key| match value {
            Self::Table(table) => table.get(key),
            _ => None,
        })
    }

    /// Without the order of keys.
    pub fn value(&self) -> Value {
        match self {
            Self::One(value) => value.clone(),
            Self::List(items) => items.iter().map(Self::value).collect(),
            Self::Table(table) => table.iter().map(|(key, value)| (key.to_owned(), value.value())).collect(),
        }
    }

    /// Whether it is written that there is nothing.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::One(Value::Null))
    }
}

impl From<Value> for Written {
    fn from(value: Value) -> Self {
        match value {
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(members) => {
                Self::Table(Table(members.into_iter().map(|(key, value)| (key, value.into())).collect()))
            }
            other => Self::One(other),
        }
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Tree;
        impl<'de> Visitor<'de> for Tree {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Written, E> {
                Ok(Written::One(Value::Null))
            }

            fn visit_none<E>(self) -> Result<Written, E> {
                Ok(Written::One(Value::Null))
            }

            fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Written, D::Error> {
                from.deserialize_any(self)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Written, E> {
                Ok(Written::One(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Written, E> {
                Ok(Written::One(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Written, E> {
                Ok(Written::One(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Written, E> {
                Ok(Written::One(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Written, E> {
                Ok(Written::One(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Written, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Written::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Written, A::Error> {
                let mut table: Vec<(String, Written)> = Vec::new();
                while let Some((key, value)) = members.next_entry()? {
                    match table.iter_mut().find(|(name, _)| *name == key) {
                        Some((_, before)) => *before = value,
                        None => table.push((key, value)),
                    }
                }
                Ok(Written::Table(Table(table)))
            }
        }
        from.deserialize_any(Tree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_as_they_were_written_and_nothing_else_changes() {
        let text = r#"{"z": [1, -2, 1.5, null], "a": {"c": true, "b": "before", "a": {}, "b": "text"}}"#;
        let written: Written = serde_json::from_str(text).unwrap();
        assert_eq!(written.value(), serde_json::from_str::<Value>(text).unwrap());
        let Written::Table(table) = &written else { panic!("{written:?}") };
        assert_eq!(table.keys().collect::<Vec<_>>(), ["z", "a"]);
        let Some(Written::Table(inner)) = written.at(&["a"]) else { panic!("{written:?}") };
        assert_eq!(inner.keys().collect::<Vec<_>>(), ["c", "b", "a"]);
        assert_eq!(Written::from(written.value()).value(), written.value());
    }
}
