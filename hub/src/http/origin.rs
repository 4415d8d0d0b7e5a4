//! Where a request came from: address, scheme and host as the browser sees them.
//!
//! The proxy in front replaces what clients claim, so its `X-Forwarded-*` headers are believed when the connection comes
//! from this machine or from a configured address or network, or when the request carries the proof of a proxy of this hub:
//! where several hubs stand behind one address, no hub knows whom the connections come from.

use std::net::IpAddr;

use actix_web::HttpRequest;

use specola_proxy::wire::PROOF_HEADER;

use crate::app::App;

/// The origin of a request as the browser sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: String,
    /// Host, with port if it is not the scheme's own.
    pub host: String,
    /// The client's address.
    pub address: String,
}

impl Origin {
    /// Reads the origin of a request.
    pub fn of(request: &HttpRequest, app: &App) -> Self {
        let peer = request.peer_addr().map(|peer| peer.ip());
        let configured = &app.config.hub.trusted_downstream_ips;
        let is_ours = |address: IpAddr| is_trusted(address, configured);
        let trusted = peer.is_none_or(is_ours) || is_passed_on(request, app);
        let forwarded = |name: &str| if trusted { first(request, name) } else { None };
        let public = app.config.hub.public_url.as_ref().and_then(|url| url::Url::parse(url.as_str()).ok());
        let (scheme, host) = match public.as_ref().and_then(|url| url.host_str().map(|host| (url, host))) {
            Some((url, host)) => {
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                (url.scheme().to_owned(), format!("{host}{port}"))
            }
            None => (
                forwarded("x-forwarded-proto").filter(|scheme| scheme == "https").unwrap_or_else(|| "http".into()),
                first(request, "host").unwrap_or_default(),
            ),
        };
        let address = if trusted { client(&chain(request), is_ours).or(peer) } else { peer };
        Self { scheme, host, address: address.map(|address| address.to_string()).unwrap_or_default() }
    }

    /// Whether nobody on the way can read along: encrypted, or not leaving the browser's own machine.
    pub fn is_secure_context(&self) -> bool {
        let host = self.host.rsplit_once(':').map_or(self.host.as_str(), |(host, _)| host);
        self.is_secure() || crate::config::address::is_loopback(host.trim_matches(['[', ']']))
    }

    /// Whether cookies may be marked as secure.
    pub fn is_secure(&self) -> bool {
        self.scheme == "https"
    }
}

/// Whether a proxy with the token of this hub has passed it on.
fn is_passed_on(request: &HttpRequest, app: &App) -> bool {
    let shown = request.headers().get(PROOF_HEADER).and_then(|value| value.to_str().ok());
    shown.is_some_and(|shown| app.proxy_proof.matches(shown))
}

fn is_trusted(peer: IpAddr, configured: &[String]) -> bool {
    let holds = |network: &String| network.parse::<specola_proxy::Cidr>().is_ok_and(|network| network.contains(peer));
    peer.is_loopback() || configured.iter().any(holds)
}

/// The addresses in `X-Forwarded-For`, in their order.
fn chain(request: &HttpRequest) -> Vec<String> {
    let values = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|element| element.trim().to_owned()).collect()
}

/// Each proxy adds the address it was asked from at the end, so the client's is the last that is no proxy's of ours.
/// What stands before it is the client's own claim.
fn client(chain: &[String], is_ours: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let mut client = None;
    for element in chain.iter().rev() {
        let Ok(address) = element.parse() else { break };
        client = Some(address);
        if !is_ours(address) {
            break;
        }
    }
    client
}

/// The first element of a header that may be a list.
fn first(request: &HttpRequest, name: &str) -> Option<String> {
    let value = request.headers().get(name)?.to_str().ok()?;
    value.split(',').next().map(|element| element.trim().to_owned()).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_choose_the_address_it_is_known_by() {
        let of = |chain: &str| {
            let chain: Vec<String> = chain.split(',').map(|element| element.trim().to_owned()).collect();
            let configured = ["192.0.2.1".to_owned(), "198.18.0.0/15".to_owned()];
            client(&chain, |address| is_trusted(address, &configured)).map(|address| address.to_string())
        };
        for (chain, address) in [
            ("203.0.113.9", Some("203.0.113.9")),
            ("198.51.100.1, 203.0.113.9", Some("203.0.113.9")),
            ("198.51.100.1, 203.0.113.9, 192.0.2.1", Some("203.0.113.9")),
            ("203.0.113.9, 192.0.2.1, 127.0.0.1", Some("203.0.113.9")),
            ("203.0.113.9, 198.19.255.1, 198.18.0.7", Some("203.0.113.9")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("198.51.100.1, unknown", None),
            ("", None),
        ] {
            assert_eq!(of(chain).as_deref(), address, "{chain}");
        }
    }
}
