//! Folder and file names for user and server names, which may be anything.

use sha2::{Digest, Sha256};

/// The longest name that is kept as it is, in bytes.
const LONGEST: usize = 48;

/// Returns a name that is safe as one part of a path, and that no other name shares.
///
/// Plain names stay as they are. Others are reduced to their plain characters, and 16 hex digits of the name's SHA-256
/// follow after `---`, which no plain name contains.
pub fn safe(name: &str) -> String {
    if is_plain(name) {
        return name.to_owned();
    }
    let mut slug = String::new();
    for character in name.chars().map(|character| character.to_ascii_lowercase()).take(LONGEST) {
        if character.is_ascii_lowercase() || character.is_ascii_digit() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let hash = hex::encode(Sha256::digest(name.as_bytes()));
    format!("{}---{}", slug.trim_end_matches('-'), hash.get(..16).unwrap_or_default())
}

fn is_plain(name: &str) -> bool {
    let begins = name.bytes().next().is_some_and(|first| first.is_ascii_lowercase() || first.is_ascii_digit());
    let rest = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
    begins && rest && name.len() <= LONGEST && !name.contains("---") && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_and_others_are_told_apart() {
        for plain in ["anna", "anna.b", "a-b--c_d", "7of9"] {
            assert_eq!(safe(plain), plain);
        }
        assert_eq!(safe("Änna Bär"), "nna-b-r---41ea595750f79924");
        assert_ne!(safe("Anna"), safe("anna"));
        assert_ne!(safe("a/b"), safe("a b"));
    }

    #[test]
    fn no_name_leads_out_of_its_folder() {
        for hostile in ["", ".", "..", "../x", "/etc", "a/../../b", "a\0b", "-rf", &"x".repeat(4000), "😀", "a---b"] {
            let safe = safe(hostile);
            assert!(safe.len() <= 80 && !safe.contains("..") && !safe.starts_with('.'), "{hostile:?}: {safe:?}");
            assert!(safe.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{safe:?}");
            assert!(safe.contains("---"), "{hostile:?}: {safe:?}");
        }
    }
}
