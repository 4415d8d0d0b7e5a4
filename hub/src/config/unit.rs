//! Quantities as people write them in a configuration file: seconds, and bytes with K, M, G or T.
//!
//! What a quantity must look like is a `format` of the schema; `check` applies it, so it is told with its line.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// A duration in seconds, fractions allowed.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(pub f64);

impl Seconds {
    /// The duration; zero for what is not a duration (negative, not a number), the longest for what is too long.
    pub fn duration(self) -> Duration {
        if self.0.is_nan() || self.0 <= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(self.0).unwrap_or(Duration::MAX)
    }

    /// Whether it is zero, which most options take as "no limit".
    pub fn is_zero(self) -> bool {
        self.duration().is_zero()
    }
}

impl JsonSchema for Seconds {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Seconds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "format": "seconds", "minimum": 0 })
    }
}

/// A number of bytes: a whole number, or a text with the suffix K, M, G or T (powers of 1024, as JupyterHub's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// Reads `"1.5G"`; the error is what was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "a number of bytes, or a number with K, M, G or T such as \"512M\"";
        let text = text.trim();
        let shift = match text.chars().next_back() {
            Some('K') => 10,
            Some('M') => 20,
            Some('G') => 30,
            Some('T') => 40,
            _ => return text.parse().map(Self).map_err(|_| EXPECTED),
        };
        let number: f64 = text.get(..text.len() - 1).unwrap_or_default().parse().map_err(|_| EXPECTED)?;
        let bytes = number * f64::from(2_u32).powi(shift);
        // Beyond 2^53 a number of bytes is a slip, and would not be exact.
        if !(0.0..=9e15).contains(&bytes) {
            return Err(EXPECTED);
        }
        Ok(Self(bytes as u64))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bytes(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Bytes(bytes) => Ok(Self(bytes)),
            Written::Text(text) => Self::parse(&text).map_err(serde::de::Error::custom),
        }
    }
}

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "format": "bytes", "minimum": 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_jupyterhub_reads_them() {
        let table = [("0", 0), ("4096", 4096), ("1K", 1024), ("1.5M", 1_572_864), ("2G", 2 << 30), ("1T", 1 << 40)];
        for (text, bytes) in table {
            assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_bytes_is_refused() {
        for text in ["", "G", "1g", "1GB", "-1G", "NaNG", "1e300T", "infK", "é", "1 é"] {
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seconds_never_panic() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300] {
            let _ = Seconds(number).duration();
        }
        assert_eq!(Seconds(0.5).duration(), Duration::from_millis(500));
    }
}
