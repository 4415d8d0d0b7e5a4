//! Where a request came from: address, scheme and host as the browser sees them.
//!
//! The proxy in front replaces what clients claim, so its `X-Forwarded-*` headers are believed when the connection comes
//! from this machine or from a configured address.

use std::net::IpAddr;

use actix_web::HttpRequest;

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
        let trusted = peer.is_none_or(|peer| is_trusted(peer, &app.config.hub.trusted_downstream_ips));
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
        let address = forwarded("x-forwarded-for").filter(|address| address.parse::<IpAddr>().is_ok());
        Self { scheme, host, address: address.or_else(|| peer.map(|peer| peer.to_string())).unwrap_or_default() }
    }

    /// Whether cookies may be marked as secure.
    pub fn is_secure(&self) -> bool {
        self.scheme == "https"
    }
}

fn is_trusted(peer: IpAddr, configured: &[String]) -> bool {
    peer.is_loopback() || configured.iter().any(|address| address.parse() == Ok(peer))
}

/// The first element of a header that may be a list.
fn first(request: &HttpRequest, name: &str) -> Option<String> {
    let value = request.headers().get(name)?.to_str().ok()?;
    value.split(',').next().map(|element| element.trim().to_owned()).filter(|element| !element.is_empty())
}
