//! Hosts of their own for users and services: JupyterHub's `subdomain_host`, and which name gets which host.
//!
//! Two names never share a host that other people's pages could then read. Where JupyterHub asks the tables of IDNA 2008,
//! this takes letters, digits and marks that are in their final form; other names get a hash, as they do there. Names
//! with upper case, which users hardly have, get one too.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use sha2::{Digest, Sha256};
use unicode_normalization::is_nfkc;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
use url::{Host, Url};

/// The longest label of a host name.
const LABEL: usize = 63;

/// How a host is made from a name: `JupyterHub.subdomain_hook`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Always a valid host, and one for each service.
    Idna,
    /// That of JupyterHub before version 5: names are escaped with `_`, and all services share `services`.
    Legacy,
}

/// The hosts of a hub whose users have hosts of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    scheme: String,
    /// The hub's host, without port.
    domain: String,
    /// Not the scheme's own.
    port: Option<u16>,
    hook: Hook,
}

impl Hosts {
    /// Reads `https://hub.example[:port]`. None for what is not such an address, and for bare addresses, which have
    /// nothing below them.
    pub fn new(subdomain_host: &str, hook: Hook) -> Option<Self> {
        let url = Url::parse(subdomain_host).ok()?;
        let Some(Host::Domain(domain)) = url.host() else { return None };
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        (bare && matches!(url.scheme(), "http" | "https")).then(|| Self {
            scheme: url.scheme().to_owned(),
            domain: domain.trim_end_matches('.').to_owned(),
            port: url.port(),
            hook,
        })
    }

    /// The hub's host, without port.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The hub's host with its port, as `Host` has it.
    pub fn authority(&self) -> String {
        self.with_port(&self.domain)
    }

    /// Scheme, host and port of the hub.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority())
    }

    /// The host of a user's servers, without port.
    pub fn of_user(&self, name: &str) -> String {
        match self.hook {
            Hook::Idna => format!("{}.{}", label(name), self.domain),
            Hook::Legacy => format!("{}.{}", legacy_label(name), self.domain),
        }
    }

    /// The host of a service, without port.
    pub fn of_service(&self, name: &str) -> String {
        match self.hook {
            Hook::Idna => format!("{}--service.{}", label(name), self.domain),
            Hook::Legacy => format!("services.{}", self.domain),
        }
    }

    /// Scheme, host and port of a user's servers.
    pub fn origin_of_user(&self, name: &str) -> String {
        format!("{}://{}", self.scheme, self.with_port(&self.of_user(name)))
    }

    /// Scheme, host and port of a service.
    pub fn origin_of_service(&self, name: &str) -> String {
        format!("{}://{}", self.scheme, self.with_port(&self.of_service(name)))
    }

    /// Whether a `Host` header names a host below the hub's own.
    pub fn is_below(&self, host: &str) -> bool {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_end_matches('.').to_ascii_lowercase();
        name.strip_suffix(&self.domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }

    fn with_port(&self, host: &str) -> String {
        self.port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

/// JupyterHub's `_strict_dns_safe_encode`.
fn label(name: &str) -> String {
    // No name may be one that was made from another.
    if name.contains("--") {
        return hashed(name);
    }
    // Hosts do not know upper case, so a name in it is not to be found at that of another.
    if is_safe(name) && name == name.to_ascii_lowercase() {
        return name.to_owned();
    }
    encoded(name).filter(|label| is_safe(label)).unwrap_or_else(|| hashed(name))
}

fn is_safe(label: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=LABEL).contains(&label.len())
        && label.bytes().all(safe)
        && !label.bytes().all(|byte| byte.is_ascii_digit())
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A name in another script, if nothing is lost on the way: whatever would be mapped to something else is left out.
fn encoded(name: &str) -> Option<String> {
    let may = |character: char| {
        let group = character.general_category_group();
        let letter = matches!(group, GeneralCategoryGroup::Letter | GeneralCategoryGroup::Mark);
        character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-' || {
            !character.is_ascii() && (letter || character.is_numeric())
        }
    };
    let final_form = is_nfkc(name) && name.to_lowercase() == name && name.chars().all(may);
    if name.is_ascii() || !final_form {
        return None;
    }
    match Host::parse(name).ok()? {
        Host::Domain(label) => Some(label),
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

/// JupyterHub's `_trim_and_hash`.
fn hashed(name: &str) -> String {
    let lower = name.to_lowercase();
    let stub: String = lower.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit()).take(8).collect();
    let hash = hex::encode(Sha256::digest(name.as_bytes()));
    let stub = if stub.is_empty() { "x" } else { &stub };
    format!("u-{stub}--{}", hash.get(..7).unwrap_or_default())
}

/// JupyterHub's `_dns_quote`.
fn legacy_label(name: &str) -> String {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.');
    percent_encode(name.as_bytes(), ESCAPED).to_string().to_ascii_lowercase().replace('%', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(hook: Hook) -> Hosts {
        Hosts::new("https://h", hook).unwrap()
    }

    #[test]
    fn names_get_the_hosts_that_jupyterhub_6_1_gives_them() {
        // Name, host by `subdomain_hook_idna`, host by `subdomain_hook_legacy`.
        let long = "a".repeat(64);
        let table = [
            ("alice", "alice", "alice"),
            ("bob-1", "bob-1", "bob-1"),
            ("0x1", "0x1", "0x1"),
            ("123", "u-123--a665a45", "123"),
            (long.as_str(), "u-aaaaaaaa--ffe054f", long.as_str()),
            ("-a", "u-a--c274891", "-a"),
            ("a-", "u-a--9baf440", "a-"),
            ("a_b", "u-ab--648fa9b", "a_5fb"),
            ("a@b.example", "u-abexampl--ebb18a0", "a_40b.example"),
            ("a.b", "u-ab--2e7336d", "a.b"),
            ("~x", "u-x--52fa217", "_7ex"),
            ("a--b", "u-ab--90827a2", "a--b"),
            ("xn--tda", "u-xntda--6d1dd25", "xn--tda"),
            ("ü", "xn--tda", "_c3_bc"),
            ("Ü", "u-x--913d731", "_c3_9c"),
            ("ünïcode", "xn--ncode-cta3g", "_c3_bcn_c3_afcode"),
            ("straße", "xn--strae-oqa", "stra_c3_9fe"),
            ("ł-ó", "xn----vga9u", "_c5_82-_c3_b3"),
            ("ἀ", "xn--dng", "_e1_bc_80"),
            ("名前", "xn--ldr85b", "_e5_90_8d_e5_89_8d"),
            ("😀", "u-x--f0443a3", "_f0_9f_98_80"),
            ("ü b", "u-b--00044a1", "_c3_bc_20b"),
            ("ﬁ", "u-x--b6554cc", "_ef_ac_81"),
            ("é", "xn--9ca", "_c3_a9"),
            ("e\u{301}", "u-e--bf12767", "e_cc_81"),
            ("a\u{200d}b", "u-ab--57d3077", "a_e2_80_8db"),
        ];
        for (name, idna, legacy) in table {
            assert_eq!(hosts(Hook::Idna).of_user(name), format!("{idna}.h"), "{name}");
            assert_eq!(hosts(Hook::Idna).of_service(name), format!("{idna}--service.h"), "{name}");
            assert_eq!(hosts(Hook::Legacy).of_user(name), format!("{legacy}.h"), "{name}");
            assert_eq!(hosts(Hook::Legacy).of_service(name), "services.h");
        }
    }

    #[test]
    fn addresses_have_the_port_and_hosts_do_not() {
        let hosts = Hosts::new("http://Hub.Example:8000/", Hook::Idna).unwrap();
        assert_eq!((hosts.domain(), hosts.authority().as_str()), ("hub.example", "hub.example:8000"));
        assert_eq!(hosts.origin(), "http://hub.example:8000");
        assert_eq!(hosts.of_user("alice"), "alice.hub.example");
        assert_eq!(hosts.origin_of_user("alice"), "http://alice.hub.example:8000");
        assert_eq!(hosts.origin_of_service("x"), "http://x--service.hub.example:8000");
        let plain = Hosts::new("https://hub.example:443", Hook::Idna).unwrap();
        assert_eq!(plain.origin_of_user("alice"), "https://alice.hub.example");
        for text in [
            "",
            "hub.example",
            "ftp://hub.example",
            "https://127.0.0.1",
            "https://[::1]",
            "https://h/base",
            "https://h?x",
        ] {
            assert_eq!(Hosts::new(text, Hook::Idna), None, "{text}");
        }
    }

    #[test]
    fn only_hosts_below_are_below() {
        let hosts = Hosts::new("https://hub.example:8000", Hook::Idna).unwrap();
        for host in ["alice.hub.example", "ALICE.hub.example:8000", "a.b.hub.example.", "alice.hub.example:1"] {
            assert!(hosts.is_below(host), "{host}");
        }
        for host in ["hub.example", "hub.example:8000", ".hub.example", "xhub.example", "127.0.0.1:8081", "", "example"]
        {
            assert!(!hosts.is_below(host), "{host}");
        }
    }

    proptest::proptest! {
        #[test]
        fn labels_are_valid_and_never_shared(one in "\\PC{1,12}", two in "\\PC{1,12}") {
            let (first, second) = (label(&one), label(&two));
            proptest::prop_assert!(is_safe(&first), "{first}");
            if one != two {
                proptest::prop_assert_ne!(first.to_lowercase(), second.to_lowercase());
            }
        }
    }
}
