//! The names of groups: as providers write them, and as the hub does.

/// The names in the hub of what a provider calls a group: none, one, or two for a role within a group.
///
/// `/a/b/` is `a/b`. An entitlement of one of the namespaces, `urn:mace:egi.eu:group:a:b:role=r#aai.egi.eu`, is `a/b` and
/// `a/b#r`. Any other entitlement stays as it is: who else may write one is not known, and it must not pass for a group.
pub fn names(raw: &str, namespaces: &[&str]) -> Vec<String> {
    if raw.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("urn:")) {
        let ours = namespaces.iter().any(|namespace| starts_with_case_blind(raw, namespace));
        return match entitlement(raw).filter(|_| ours) {
            Some((path, None)) => vec![path],
            Some((path, Some(role))) => vec![format!("{path}#{role}"), path],
            None => vec![raw.to_owned()],
        };
    }
    let plain = plain(raw);
    if plain.is_empty() { Vec::new() } else { vec![plain.to_owned()] }
}

/// A name without the slashes around it.
fn plain(name: &str) -> &str {
    name.trim_matches('/')
}

/// URNs are the same in capitals as far as their second part.
fn starts_with_case_blind(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// Path and role of `urn:…:group:a:b:role=r#authority` (AARC-G069 and its elder AARC-G002).
fn entitlement(urn: &str) -> Option<(String, Option<String>)> {
    let (urn, _authority) = urn.split_once('#').unwrap_or((urn, ""));
    let (_, path) = urn.split_once(":group:")?;
    let (mut segments, mut role) = (Vec::new(), None);
    for piece in path.split(':') {
        match piece.strip_prefix("role=") {
            Some(named) => role = Some(decoded(named)).filter(|role| !role.is_empty()),
            // A group that was given a slash by hand must not look like a group below another.
            None if piece.is_empty() || decoded(piece).contains('/') => return None,
            None => segments.push(decoded(piece)),
        }
    }
    (!segments.is_empty()).then(|| (segments.join("/"), role))
}

fn decoded(piece: &str) -> String {
    percent_encoding::percent_decode_str(piece).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_one_name_however_they_are_written() {
        let all = &["urn:"][..];
        let egi = &["urn:mace:egi.eu:group:"][..];
        let table: &[(&str, &[&str], &[&str])] = &[
            ("users/cygno", all, &["users/cygno"]),
            ("/users/cygno", all, &["users/cygno"]),
            ("/users/cygno/", all, &["users/cygno"]),
            ("cygno", all, &["cygno"]),
            ("/", all, &[]),
            ("urn:geant:iam.example:group:users:cygno", all, &["users/cygno"]),
            (
                "urn:mace:egi.eu:group:vo.example.eu:sub:role=member#aai.egi.eu",
                egi,
                &["vo.example.eu/sub#member", "vo.example.eu/sub"],
            ),
            ("urn:mace:egi.eu:group:vo.example.eu#aai.egi.eu", egi, &["vo.example.eu"]),
            ("URN:MACE:EGI.EU:group:vo#aai.egi.eu", egi, &["vo"]),
            // Of somebody's home institution, and of nobody.
            ("urn:mace:example.edu:group:vo.example.eu", egi, &["urn:mace:example.edu:group:vo.example.eu"]),
            ("urn:mace:egi.eu:res:rcauth", egi, &["urn:mace:egi.eu:res:rcauth"]),
            ("urn:mace:egi.eu:group:a%2Fb", egi, &["urn:mace:egi.eu:group:a%2Fb"]),
            ("urn:mace:egi.eu:group:", egi, &["urn:mace:egi.eu:group:"]),
            ("urn:a:group:b", &[], &["urn:a:group:b"]),
        ];
        for (raw, namespaces, expected) in table {
            assert_eq!(names(raw, namespaces), *expected, "{raw}");
        }
    }
}
