//! Names as pieces of paths, of URLs and of OAuth client ids.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{ServerName, UserName};

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');
const PATH_PIECE: &AsciiSet = &UNRESERVED.remove(b'@');
const COOKIE_PIECE: &AsciiSet = &UNRESERVED.remove(b'/');

/// Escapes one piece of a path as JupyterHub does: all but letters, digits and `_ . - ~ @`.
pub fn escape_path(piece: &str) -> String {
    utf8_percent_encode(piece, PATH_PIECE).to_string()
}

/// The path of a server, `/user/alice/` or `/user/alice/gpu/`, under a base URL that ends with a slash.
pub fn server_prefix(base_url: &str, user: &UserName, server: &ServerName) -> String {
    let user = user.escaped();
    if server.is_default() {
        format!("{base_url}user/{user}/")
    } else {
        format!("{base_url}user/{user}/{}/", server.escaped())
    }
}

/// The OAuth client id of a server, which is also the name of its cookie: `@` is legal in paths, not in there.
pub fn oauth_client_id(user: &UserName, server: &ServerName) -> String {
    let quote = |text: &str| utf8_percent_encode(text, COOKIE_PIECE).to_string();
    if server.is_default() {
        format!("jupyterhub-user-{}", quote(user.as_str()))
    } else {
        format!("jupyterhub-user-{}-{}", quote(user.as_str()), quote(server.as_str()))
    }
}

/// The OAuth client id of a service, unless the configuration gives another.
pub fn service_client_id(service: &str) -> String {
    format!("service-{service}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    #[derive(serde::Deserialize)]
    struct Vectors {
        escape: Vec<(String, String)>,
        client: Vec<(String, String, String)>,
        prefix: Vec<(String, String, String, String)>,
    }

    #[test]
    fn names_are_escaped_as_by_jupyterhub() {
        let vectors: Vectors = serde_json::from_str(include_str!("../../tests/vectors/names.json")).unwrap();
        for (name, escaped) in vectors.escape {
            assert_eq!(escape_path(&name), escaped);
        }
        for (user, server, id) in vectors.client {
            assert_eq!(oauth_client_id(&UserName::stored(user), &ServerName::stored(server)), id);
        }
        for (base, user, server, prefix) in vectors.prefix {
            assert_eq!(server_prefix(&base, &UserName::stored(user), &ServerName::stored(server)), prefix);
        }
    }

    proptest! {
        #[test]
        fn an_accepted_user_name_is_one_piece_of_a_path(name in "\\PC{1,20}") {
            if let Ok(name) = UserName::parse(&name) {
                let base = url::Url::parse("http://hub.example/").unwrap();
                let url = base.join(&server_prefix("/", &name, &ServerName::default_server())).unwrap();
                let pieces: Vec<&str> = url.path_segments().unwrap().collect();
                prop_assert_eq!(pieces.len(), 3);
                prop_assert_eq!(percent_decode_str(pieces[1]).decode_utf8().unwrap(), name.as_str());
            }
        }
    }
}
