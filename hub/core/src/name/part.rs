//! Names as one part of a path on disk.

use sha2::{Digest, Sha256};

/// The longest name that is kept as it is, in bytes.
const LONGEST: usize = 64;

/// Returns a name that is safe as one part of a path, and that no other name shares.
///
/// Names of letters, digits and `._-@+`, not beginning with a dot, stay as they are, so that folders of deployments
/// which used plain names are found. Of others the plain characters are kept, and 16 hex digits of the name's SHA-256
/// follow after `---`, which no name that stays as it is contains.
pub fn safe_part(name: &str) -> String {
    let known = |char: char| char.is_ascii_alphanumeric() || "._-@+".contains(char);
    let plain = name.chars().all(known) && !name.is_empty() && name.len() <= LONGEST && !name.starts_with(['.', '-']);
    if plain && !name.contains("---") {
        return name.to_owned();
    }
    let kept: String = name.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    let hash = hex::encode(Sha256::digest(name.as_bytes()));
    format!("{kept}---{}", hash.get(..16).unwrap_or_default()).trim_start_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_and_others_are_told_apart() {
        for plain in ["anna", "Anna.B", "a@b.org", "a-b--c_d", "7of9"] {
            assert_eq!(safe_part(plain), plain);
        }
        assert_ne!(safe_part("a/b"), safe_part("a b"));
        assert_ne!(safe_part("Änna"), safe_part("Ånna"));
        assert!(safe_part("Änna").starts_with("nna---"));
    }

    #[test]
    fn no_name_leads_out_of_its_folder() {
        for hostile in
            ["", ".", "..", "../x", "/etc", "a/../../b", "a\0b", "-rf", ".ssh", &"x".repeat(4000), "😀", "a---b"]
        {
            let safe = safe_part(hostile);
            assert!(safe != hostile && !safe.is_empty() && safe.len() <= 64, "{hostile:?}: {safe:?}");
            assert!(!safe.contains(['/', '.', '\0']) && !safe.starts_with('-'), "{hostile:?}: {safe:?}");
        }
    }
}
