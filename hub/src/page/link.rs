//! Whether a link may start a server: a decision, so that a page or a mail of somebody else's never does.
//!
//! JupyterHub starts on every GET. Programs that ask without a browser's marks go on doing so; people are asked
//! whenever the way here may be somebody else's.

/// What a request to start by link tells of its way here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Way<'a> {
    /// `Sec-Fetch-Site`, which browsers send where the connection is to be trusted.
    pub site: Option<&'a str>,
    /// `Upgrade-Insecure-Requests`, which they send where it is not.
    pub upgrade: Option<&'a str>,
    /// `Referer`.
    pub referer: Option<&'a str>,
    /// Scheme and host of this hub, as the browser sees them.
    pub origin: &'a str,
    /// Whether the link chooses options.
    pub has_options: bool,
}

/// Whether the person has to be asked first.
///
/// Options always: a log-in on the way makes of anybody's link one of our own.
pub fn asks_first(way: &Way<'_>) -> bool {
    let by_browser = way.site.is_some() || way.upgrade.is_some();
    let own = match way.site {
        // Typed, or from the bookmarks.
        Some("none" | "same-origin") => true,
        Some(_) => false,
        None => way.referer.map_or(!by_browser, |referer| is_of(referer, way.origin)),
    };
    !own || (by_browser && way.has_options)
}

fn is_of(referer: &str, origin: &str) -> bool {
    referer.strip_prefix(origin).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://hub.example/hub/home";

    #[test]
    fn only_the_own_way_and_no_options_of_a_link_start_at_once() {
        let https = |site| Way { site: Some(site), origin: "https://hub.example", ..Way::default() };
        let http = |referer| Way { upgrade: Some("1"), referer, origin: "https://hub.example", ..Way::default() };
        let program = Way { origin: "https://hub.example", ..Way::default() };
        for (way, plain, with_options) in [
            (https("none"), false, true),
            (https("same-origin"), false, true),
            (https("same-site"), true, true),
            (https("cross-site"), true, true),
            (https("nonsense"), true, true),
            (Way { referer: Some(OWN), ..https("cross-site") }, true, true),
            (http(None), true, true),
            (http(Some(OWN)), false, true),
            (http(Some("https://hub.example.evil/")), true, true),
            (http(Some("https://evil/https://hub.example/")), true, true),
            (program, false, false),
            (Way { referer: Some(OWN), ..program }, false, false),
            (Way { referer: Some("https://evil/"), ..program }, true, true),
        ] {
            assert_eq!(asks_first(&way), plain, "{way:?}");
            assert_eq!(asks_first(&Way { has_options: true, ..way }), with_options, "{way:?}");
        }
    }
}
