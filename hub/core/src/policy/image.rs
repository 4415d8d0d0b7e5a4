//! References to images as the OCI distribution specification writes them, and lists of where they may come from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A reference in full: registry, repository, and tag or digest. `python` is `docker.io/library/python:latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why a text is no reference, as what has to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Nothing is there.
    #[error("Write the name of an image, such as registry.example.org/team/image:tag")]
    Empty,
    /// More than 255 characters for the name.
    #[error("The name of the image is too long")]
    TooLong,
    /// The host is none.
    #[error("The registry before the first slash is not a host name")]
    Registry,
    /// A part of the name has other characters.
    #[error("The name of an image has small letters and digits, with . _ or - between them, and / between its parts")]
    Repository,
    /// The tag has other characters.
    #[error("The tag after the colon has letters, digits, _ . and -, 128 at most")]
    Tag,
    /// The digest is none.
    #[error("The digest after the @ is not sha256: with 64 hexadecimal digits")]
    Digest,
}

const HUB: &str = "docker.io";

impl ImageReference {
    /// Reads a reference as `docker pull` does.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        if text.is_empty() {
            return Err(ImageError::Empty);
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        // A colon after the last slash begins a tag; one before it belongs to a port.
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if is_registry(first) => (first, rest),
            _ => (HUB, name),
        };
        let registry = registry.to_ascii_lowercase();
        let registry = if registry == "index.docker.io" { HUB.to_owned() } else { registry };
        if !valid_registry(&registry) {
            return Err(ImageError::Registry);
        }
        if name.len() > 255 {
            return Err(ImageError::TooLong);
        }
        if !repository.split('/').all(valid_part) {
            return Err(ImageError::Repository);
        }
        if !tag.is_none_or(valid_tag) {
            return Err(ImageError::Tag);
        }
        if !digest.is_none_or(valid_digest) {
            return Err(ImageError::Digest);
        }
        let repository = match registry.as_str() {
            HUB if !repository.contains('/') => format!("library/{repository}"),
            _ => repository.to_owned(),
        };
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { registry, repository, tag, digest: digest.map(str::to_owned) })
    }

    /// Whether it names exactly one image for ever.
    pub fn has_digest(&self) -> bool {
        self.digest.is_some()
    }

    /// Registry and repository, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for ImageReference {
    type Error = ImageError;

    fn try_from(text: String) -> Result<Self, ImageError> {
        Self::parse(&text)
    }
}

impl From<ImageReference> for String {
    fn from(reference: ImageReference) -> Self {
        reference.to_string()
    }
}

/// Docker's own rule for telling a registry from the first part of a name.
fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn valid_registry(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Letters and digits, with one dot, one or two underscores, or hyphens between them.
fn valid_part(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let edges = part.bytes().next().is_some_and(plain) && part.bytes().next_back().is_some_and(plain);
    let known = part.bytes().all(|byte| plain(byte) || matches!(byte, b'.' | b'_' | b'-'));
    let between = |run: &str| matches!(run, "." | "_" | "__") || run.bytes().all(|byte| byte == b'-');
    edges && known && part.split(|c: char| c.is_ascii_alphanumeric()).all(between)
}

fn valid_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

fn valid_digest(digest: &str) -> bool {
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    digest.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(hexadecimal))
}

/// What is told of an image of one's own that has to be named by its digest, and is not.
pub const UNDIGESTED: &str = "An image of your own has to be named by its digest: NAME@sha256:…";

/// What is told of an image of one's own that comes from elsewhere.
pub fn elsewhere(allowances: &[&ImageAllowance]) -> String {
    let from: Vec<&str> = allowances.iter().flat_map(|one| &one.registries).map(String::as_str).collect();
    format!("An image of your own has to come from {}.", from.join(" or "))
}

/// Where images of one's own may come from: registries and paths in them, compared by whole parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageAllowance {
    /// `registry.example.org/team` admits all below it and that image itself; `*` admits everything.
    pub registries: Vec<String>,
    /// Only images named by their digest.
    pub require_digest: bool,
}

impl ImageAllowance {
    /// Whether an image may be used, as far as where it comes from is concerned.
    pub fn admits(&self, image: &ImageReference) -> bool {
        let name = image.name();
        self.registries.iter().any(|written| {
            if written == "*" {
                return true;
            }
            let prefix = written.trim_end_matches('/');
            name == prefix || name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
        })
    }

    /// What is wrong with an entry, for the one who writes the configuration.
    pub fn check(written: &str) -> Result<(), ImageError> {
        let prefix = written.trim_end_matches('/');
        if written == "*" || (is_registry(prefix) && valid_registry(prefix)) {
            return Ok(());
        }
        let (registry, path) = prefix.split_once('/').ok_or(ImageError::Registry)?;
        if !is_registry(registry) || !valid_registry(registry) {
            return Err(ImageError::Registry);
        }
        if path.split('/').all(valid_part) { Ok(()) } else { Err(ImageError::Repository) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn references_are_completed_as_docker_completes_them() {
        let digest = format!("docker.io/library/python@{DIGEST}");
        let both = format!("quay.io/jupyter/base:4@{DIGEST}");
        let table = [
            ("python", "docker.io/library/python:latest"),
            ("python:3.13", "docker.io/library/python:3.13"),
            ("dodasts/anj-base-lab-persistence", "docker.io/dodasts/anj-base-lab-persistence:latest"),
            ("index.docker.io/python", "docker.io/library/python:latest"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            ("Registry.Example.org/a", "registry.example.org/a:latest"),
            ("a.b/c__d/e--f.g", "a.b/c__d/e--f.g:latest"),
            (&format!("python@{DIGEST}"), &digest),
            (&both, &both),
        ];
        for (text, full) in table {
            assert_eq!(ImageReference::parse(text).map(|image| image.to_string()).as_deref(), Ok(full), "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused_with_the_part_that_is_wrong() {
        let table = [
            ("", ImageError::Empty),
            ("Python", ImageError::Repository),
            ("a//b", ImageError::Repository),
            ("a/", ImageError::Repository),
            ("/a", ImageError::Repository),
            ("a b", ImageError::Repository),
            ("a\n", ImageError::Repository),
            ("-a", ImageError::Repository),
            ("a..b", ImageError::Repository),
            ("a___b", ImageError::Repository),
            ("--privileged", ImageError::Repository),
            ("exämple.org/a", ImageError::Registry),
            ("example.org:/a", ImageError::Registry),
            ("example.org:99999/a", ImageError::Registry),
            ("-x.org/a", ImageError::Registry),
            ("user@host/a", ImageError::Digest),
            ("a:", ImageError::Tag),
            ("a:-b", ImageError::Tag),
            ("a@sha256:abc", ImageError::Digest),
            ("https://example.org/a", ImageError::Registry),
        ];
        for (text, error) in table {
            assert_eq!(ImageReference::parse(text), Err(error), "{text}");
        }
        assert_eq!(ImageReference::parse(&"a".repeat(256)), Err(ImageError::TooLong));
    }

    #[test]
    fn an_allowance_ends_at_whole_parts() {
        let allowance = |registries: &[&str]| ImageAllowance {
            registries: registries.iter().map(|text| text.to_string()).collect(),
            require_digest: false,
        };
        let table = [
            ("harbor.example.org/x/", "harbor.example.org/x/lab:1", true),
            ("harbor.example.org/x", "harbor.example.org/x", true),
            ("harbor.example.org/x", "harbor.example.org/xy/lab", false),
            ("harbor.example.org", "harbor.example.org.evil.org/lab", false),
            ("harbor.example.org", "harbor.example.org:5000/lab", false),
            ("docker.io/dodasts", "dodasts/lab", true),
            ("docker.io", "python", true),
            ("docker.io/library", "dodasts/lab", false),
            ("*", "anything.example/else", true),
        ];
        for (prefix, image, admits) in table {
            let image = ImageReference::parse(image).unwrap();
            assert_eq!(allowance(&[prefix]).admits(&image), admits, "{prefix} {image}");
        }
        assert!(!allowance(&[]).admits(&ImageReference::parse("python").unwrap()));
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_becomes_a_reference_that_reads_back_as_itself(text in any::<String>()) {
            if let Ok(image) = ImageReference::parse(&text) {
                prop_assert_eq!(ImageReference::parse(&image.to_string()), Ok(image));
            }
        }

        #[test]
        fn references_are_read_and_say_the_same_again(
            registry in prop::option::of("[a-z][a-z0-9]{0,6}\\.[a-z]{2,3}(:[1-9][0-9]{0,3})?"),
            parts in prop::collection::vec("[a-z0-9]{1,6}([._-][a-z0-9]{1,4}){0,2}", 1..4),
            tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
            hex in prop::option::of("[0-9a-f]{64}"),
        ) {
            let mut text = registry.iter().chain(&parts).map(String::as_str).collect::<Vec<_>>().join("/");
            // The first part of a name may look like a registry.
            prop_assume!(registry.is_some() || parts.len() == 1 || !parts[0].contains('.'));
            if let Some(tag) = &tag { text.push_str(&format!(":{tag}")); }
            if let Some(hex) = &hex { text.push_str(&format!("@sha256:{hex}")); }
            let image = ImageReference::parse(&text).unwrap();
            prop_assert_eq!(image.has_digest(), hex.is_some());
            prop_assert!(image.to_string().ends_with(&text) || (tag.is_none() && hex.is_none()));
            prop_assert_eq!(ImageReference::parse(&image.to_string()), Ok(image));
        }
    }
}
