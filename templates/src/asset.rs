//! The static files, held in the binary.

use std::io::Write;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::Href;

/// One static file.
#[derive(Debug, Clone)]
pub struct StaticFile {
    /// Its content.
    pub bytes: &'static [u8],
    /// The same, squeezed by gzip; empty if it is not to be had so.
    pub gzip: &'static [u8],
    /// Its media type, with charset where text.
    pub content_type: &'static str,
    /// Its strong entity tag, in quotes.
    pub etag: String,
}

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        const FILES: &[(&str, &[u8])] = &[$(($name, include_bytes!(concat!("../static/", $name)))),+];
    };
}

files!(
    "admin.css",
    "admin.js",
    "favicon.svg",
    "frame.js",
    "home.js",
    "hub.js",
    "image.js",
    "login.js",
    "mark.svg",
    "spawn-pending.js",
    "spawn.js",
    "specola.css",
    "stop-pending.js",
    "theme.js",
    "token.js",
    "trails.svg",
);

static VERSIONS: LazyLock<Vec<String>> =
    LazyLock::new(|| FILES.iter().map(|(_, bytes)| format!("{:016x}", fnv1a(bytes))).collect());

/// Squeezed once, when the first one is asked for. The pages themselves are not: together with what somebody else can make
/// them repeat, their length would tell the `_xsrf` token.
static SQUEEZED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| FILES.iter().map(|(_, bytes)| squeeze(bytes)).collect());

fn squeeze(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail. If it did, nothing would be offered squeezed.
    encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
}

/// Finds a static file by its name below `static/`; a name that is not one of ours finds nothing.
pub fn static_file(name: &str) -> Option<StaticFile> {
    let index = FILES.iter().position(|(known, _)| *known == name)?;
    let (_, bytes) = FILES.get(index)?;
    let gzip = SQUEEZED.get(index)?;
    Some(StaticFile { bytes, gzip, content_type: content_type(name), etag: format!("\"{}\"", VERSIONS.get(index)?) })
}

/// The address of a static file below the hub's `base_url`. Its `?v=` changes with its content, so that an answer to an
/// address with the right `v` may be kept for ever; modules are imported without one and should be revalidated.
pub fn static_url(base_url: &Href, name: &str) -> String {
    let version = FILES.iter().position(|(known, _)| *known == name).and_then(|index| VERSIONS.get(index));
    match version {
        Some(version) => format!("{base_url}static/{name}?v={version}"),
        None => format!("{base_url}static/{name}"),
    }
}

/// The names of all static files.
pub fn static_names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// One value for all static files together: JupyterHub's `version_hash`.
pub fn version_hash() -> String {
    format!("{:016x}", fnv1a(VERSIONS.join(" ").as_bytes()))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, kind)| kind) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// The FNV-1a hash, 64 bits: tells versions apart, protects nothing.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_type_and_a_versioned_address() {
        let base = Href::parse("/hub/").unwrap();
        for name in static_names() {
            let file = static_file(name).unwrap();
            assert_ne!(file.content_type, "application/octet-stream", "{name}");
            assert!(!file.bytes.is_empty(), "{name}");
            assert_eq!(static_url(&base, name), format!("/hub/static/{name}?v={}", file.etag.trim_matches('"')));
        }
    }

    #[test]
    fn what_is_squeezed_is_the_same_content() {
        for name in static_names() {
            let file = static_file(name).unwrap();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(file.gzip), &mut content).unwrap();
            assert_eq!(content, file.bytes, "{name}");
        }
    }

    #[test]
    fn names_outside_the_list_find_nothing() {
        for name in ["", "../Cargo.toml", "/etc/passwd", "specola.css/", "SPECOLA.CSS"] {
            assert!(static_file(name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
