//! User names as they are at login: made alike, and refused when they could not stand in a URL.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

/// JupyterHub's normalisation: small letters, then the configured map.
pub fn normalize(name: &str, map: &BTreeMap<String, String>) -> String {
    let name = name.to_lowercase();
    map.get(&name).cloned().unwrap_or(name)
}

/// JupyterHub's rule: not empty, no slash, no spaces at the ends, not only dots (percent-decoded neither); and no
/// control characters, and no longer than its column in the database.
pub fn is_valid(name: &str) -> bool {
    let only_dots = |text: &str| !text.is_empty() && text.chars().all(|c| c == '.');
    let decoded = percent_decode_str(name).decode_utf8_lossy();
    !name.is_empty()
        && name.chars().count() <= 255
        && !name.contains('/')
        && !name.chars().any(char::is_control)
        && name.trim() == name
        && !only_dots(name)
        && !only_dots(&decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_not_stand_in_a_url_are_refused() {
        for name in ["", ".", "..", "%2e%2E", "a/b", " a", "a ", "a\n", "a\0b", &"a".repeat(256)] {
            assert!(!is_valid(name), "{name:?}");
        }
        for name in ["a", "ada@example.org", "ünal", "a b", "a.b", "%41", &"a".repeat(255)] {
            assert!(is_valid(name), "{name:?}");
        }
    }

    #[test]
    fn names_are_made_small_before_they_are_mapped() {
        let map = BTreeMap::from([("ada".to_owned(), "lovelace".to_owned())]);
        assert_eq!(normalize("Ada", &map), "lovelace");
        assert_eq!(normalize("ÜNAL", &map), "ünal");
    }
}
