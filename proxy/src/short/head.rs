//! Lines of a head.

/// Headers of a plain head, at most.
pub(super) const HEADERS: usize = 64;
/// Bytes of a plain name, at most.
const NAME: usize = 64;

/// The name of a header in lower case.
pub(super) struct Name {
    bytes: [u8; NAME],
    length: usize,
}

impl Name {
    /// None where it is longer than names are.
    pub(super) fn of(name: &str) -> Option<Self> {
        let mut bytes = [0; NAME];
        let lower = bytes.get_mut(..name.len())?;
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        Some(Self { bytes, length: name.len() })
    }

    pub(super) fn as_str(&self) -> &str {
        self.bytes.get(..self.length).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
    }

    pub(super) fn write(&self, value: &[u8], to: &mut Vec<u8>) {
        write(self.as_str(), value, to);
    }
}

pub(super) fn write(name: &str, value: &[u8], to: &mut Vec<u8>) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        to.extend_from_slice(part);
    }
}

/// Whether a `Connection` header says that the connection ends. None where it says more than that, or not.
pub(super) fn closes(value: &[u8]) -> Option<bool> {
    if value.eq_ignore_ascii_case(b"keep-alive") {
        return Some(false);
    }
    value.eq_ignore_ascii_case(b"close").then_some(true)
}

/// A length as all programs read it.
pub(super) fn number(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(value).ok()).flatten()?;
    digits.parse().ok()
}
