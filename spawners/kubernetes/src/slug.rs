//! Names of people as parts of names of Kubernetes, made as KubeSpawner 7 makes them, so that what it left is found again.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// So many digits of a digest end a name that had to be changed.
const HASH: usize = 8;
/// The longest name that is made where nothing else is said.
const LONGEST: usize = 32;

/// The old way: small letters and digits stay, every other byte becomes `-` and its hexadecimal digits.
pub(crate) fn escape(name: &str) -> String {
    name.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(escaped, "-{byte:02x}");
        }
        escaped
    })
}

/// A name that any object may have: the same when it is one already.
pub(crate) fn object(name: &str, longest: usize) -> String {
    if name.contains("--") || !is_object_name(name) || name.len() > longest {
        hashed(name, longest)
    } else {
        name.into()
    }
}

/// A value that any label may have: the same when it is one already.
pub(crate) fn label(value: &str) -> String {
    if value.contains("--") || !is_label_value(value) { hashed(value, LONGEST) } else { value.into() }
}

/// Two names as one, with equal shares of what is left beside the digest.
pub(crate) fn joined(first: &str, second: &str, longest: usize) -> String {
    let mut digest = Sha256::new();
    digest.update(first);
    // No name has this byte in it, so that no two pairs are the same text.
    digest.update([0xff]);
    digest.update(second);
    let share = ((longest - HASH - 1) / 2).saturating_sub(2);
    format!("{}--{}---{}", plain(first, share), plain(second, share), short(&digest.finalize()))
}

/// Whether it is a label of DNS, by RFC 1035 and 1123 both.
pub(crate) fn is_object_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.ends_with(|last: char| last.is_ascii_lowercase() || last.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Whether a label may have it as its value.
pub(crate) fn is_label_value(value: &str) -> bool {
    value.is_empty()
        || value.len() <= 63
            && value.starts_with(|first: char| first.is_ascii_alphanumeric())
            && value.ends_with(|last: char| last.is_ascii_alphanumeric())
            && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

fn hashed(name: &str, longest: usize) -> String {
    format!("{}---{}", plain(name, longest - HASH - 3), short(&Sha256::digest(name)))
}

fn short(digest: &[u8]) -> String {
    hex::encode(digest).chars().take(HASH).collect()
}

/// What is left of a name without all that no object may have: begins with a letter, no two hyphens in a row.
fn plain(name: &str, longest: usize) -> String {
    let mut kept = String::new();
    for character in name.to_lowercase().chars() {
        if character.is_ascii_lowercase() || character.is_ascii_digit() {
            kept.push(character);
        } else if !kept.ends_with('-') {
            kept.push('-');
        }
    }
    let cut: String = kept.trim_start_matches('-').chars().take(longest).collect();
    let cut = cut.trim_end_matches('-');
    match cut.chars().next() {
        None => "x".to_owned(),
        Some(first) if first.is_ascii_lowercase() => cut.to_owned(),
        Some(_) => format!("x-{}", cut.chars().take(longest.saturating_sub(2)).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Told by KubeSpawner 7.1 itself.
    #[test]
    fn names_are_made_as_kubespawner_makes_them() {
        let objects = [
            ("anna", "anna"),
            ("anna-b", "anna-b"),
            ("Anna", "anna---bf4fccd6"),
            ("a@b.it", "a-b-it---b9add3ad"),
            ("é", "x---4a99557e"),
            ("a_b", "a-b---648fa9b3"),
            ("1ann", "x-1ann---3ed5bbfe"),
            ("x--y", "x-y---6484a281"),
            ("-", "x---3973e022"),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa---160b4e43"),
            ("anna.maria@example.org", "anna-maria-example-org---eb09ef3e"),
            ("ann-", "ann---209dc672"),
            ("Kelvin", "kelvin---4a274a98"),
        ];
        for (name, slug) in objects {
            assert_eq!(object(name, 48), slug, "{name}");
        }
        let labels = [
            ("anna", "anna"),
            ("anna-b", "anna-b"),
            ("Anna", "Anna"),
            ("a@b.it", "a-b-it---b9add3ad"),
            ("é", "x---4a99557e"),
            ("a_b", "a_b"),
            ("1ann", "1ann"),
            ("x--y", "x-y---6484a281"),
            ("-", "x---3973e022"),
            (
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            ),
            ("anna.maria@example.org", "anna-maria-example-or---eb09ef3e"),
            ("ann-", "ann---209dc672"),
            ("Kelvin", "kelvin---4a274a98"),
            ("", ""),
        ];
        for (value, slug) in labels {
            assert_eq!(label(value), slug, "{value}");
        }
        let pairs = [
            (
                "anna.maria@example.org",
                "a-rather-long-name-for-a-server",
                "anna-maria-exampl--a-rather-long-nam---9bebe0f4",
            ),
            (
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                "bbbbbbbbbbbbbbbbbbbb",
                "aaaaaaaaaaaaaaaaa--bbbbbbbbbbbbbbbbb---e7ebee05",
            ),
            ("anna", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "anna--xxxxxxxxxxxxxxxxx---8ad2ae5b"),
        ];
        for (first, second, slug) in pairs {
            assert_eq!(joined(first, second, 48), slug);
        }
        assert_eq!(escape("Ann-a@b.it"), "-41nn-2da-40b-2eit");
    }

    #[test]
    fn every_name_becomes_one_that_may_be() {
        for name in ["", "-", "--", "1", "ä", "x--y", "A", "a-", &"z".repeat(300), "\u{212a}elvin"] {
            assert!(is_object_name(&object(name, 48)), "{name}");
            assert!(object(name, 48).len() <= 48, "{name}");
            assert!(is_label_value(&label(name)), "{name}");
            assert!(is_object_name(&joined(name, name, 48)), "{name}");
        }
    }
}
