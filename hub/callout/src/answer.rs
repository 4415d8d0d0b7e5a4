//! An answer as it came, read as one JSON object.

use serde_json::{Map, Value};

use crate::Trouble;
use crate::excerpt::excerpt;

/// How much of a wrong answer is shown.
const SHOWN: usize = 200;

/// Reads an answer: one JSON object, or nothing but white space for an empty one.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, Trouble> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(garbage("it is JSON, but no object".to_owned(), bytes)),
        Err(error) => Err(garbage(error.to_string(), bytes)),
    }
}

fn garbage(why: String, bytes: &[u8]) -> Trouble {
    Trouble::Garbage { why, end: excerpt(bytes, SHOWN) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_object_or_nothing() {
        let good: [(&[u8], usize); 4] = [(b"", 0), (b" \n", 0), (b"{}", 0), (b"\n{\"a\":1}\n", 1)];
        for (bytes, members) in good {
            assert_eq!(object(bytes).unwrap().len(), members);
        }
        let deep = "[".repeat(100_000);
        let bad: [&[u8]; 8] =
            [b"[]", b"null", b"{}{}", b"ok", b"{\"a\":1", b"\xff\xfe", b"{\"a\":NaN}", deep.as_bytes()];
        for bytes in bad {
            assert!(matches!(object(bytes), Err(Trouble::Garbage { .. })));
        }
    }
}
