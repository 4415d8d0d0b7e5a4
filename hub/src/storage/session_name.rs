//! `RoleSessionName`: how an object store's own records name the person.

use sha2::{Digest, Sha256};

/// The longest that AWS takes.
const LONGEST: usize = 64;
/// The shortest.
const SHORTEST: usize = 2;
/// So much of a digest tells two names apart that look alike here.
const DIGEST: usize = 8;

/// The name of a person where only `[A-Za-z0-9_=,.@-]` may stand. Two people never have the same: a name that had to be
/// changed ends with a digest of what it was.
pub fn session_name(user: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_=,.@-".contains(c);
    // What looks like a name with a digest is given one too: nobody takes the session name of somebody else.
    let is_digest = |end: &str| end.len() == DIGEST && end.chars().all(|c| c.is_ascii_hexdigit());
    let alike = user.rsplit_once('-').is_some_and(|(_, end)| is_digest(end));
    if user.chars().all(plain) && (SHORTEST..=LONGEST).contains(&user.len()) && !alike {
        return user.to_owned();
    }
    let readable: String = user.chars().map(|c| if plain(c) { c } else { '_' }).take(LONGEST - DIGEST - 1).collect();
    let digest = hex::encode(Sha256::digest(user));
    format!("{readable}-{}", digest.get(..DIGEST).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_session_is_named_after_its_person_and_no_other() {
        for name in ["anna", "anna@example.org", "a.b-c", "x=y,z", "ab"] {
            assert_eq!(session_name(name), name);
        }
        let long = "x".repeat(65);
        let names =
            ["a", "anna lena", "anna_lena", "anna/lena", "Ännä", "a+b", "a_b", &long, &long[..64], "a_b-0123abcd"];
        let made: BTreeSet<String> = names.iter().map(|name| session_name(name)).collect();
        assert_eq!(made.len(), names.len(), "{made:?}");
        let plain = |c: char| c.is_ascii_alphanumeric() || "_=,.@-".contains(c);
        assert!(made.iter().all(|name| name.chars().all(plain) && (2..=64).contains(&name.len())), "{made:?}");
        let other = session_name("a+b");
        assert_ne!(session_name(&other), other, "somebody who is called as another is named");
    }
}
