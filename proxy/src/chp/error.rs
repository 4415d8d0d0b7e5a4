//! Error pages from a server or a folder of the operator's.

use std::{io, path::Path, sync::Arc};

use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Chp;
use crate::{
    body::Download,
    error_page::{self, Asked, Fault},
    route::Route,
    state::Shared,
};

/// The page for a fault, which the log tells as well. To whom configurable-http-proxy is known, a server that answers badly
/// is one that does not answer.
pub(crate) async fn page(shared: &Arc<Shared>, chp: &Chp, mut fault: Fault, asked: &Asked) -> Response<Download> {
    if matches!(fault.status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) {
        fault.status = StatusCode::SERVICE_UNAVAILABLE;
    }
    tracing::error!("{} {} {} {}", fault.status.as_u16(), asked.method(), asked.path(), cause(fault));
    if let Some(route) = &chp.errors {
        let fetching = fetch(shared, route, fault.status, asked.url());
        let target = &route.target().authority;
        let patience = shared.limits().error_page;
        match tokio::time::timeout(patience, fetching).await {
            Ok(Ok(page)) => return page,
            Ok(Err(problem)) => tracing::error!(problem = format!("{problem:#}"), "no error page from {target}"),
            Err(_) => tracing::error!("no error page from {target} in time"),
        }
    } else if let Some(folder) = &chp.options.error_path
        && let Some(page) = read(folder, fault.status).await
    {
        return page;
    }
    error_page::own(fault, asked.api())
}

/// In the words of Node, where it has some.
fn cause(fault: Fault) -> &'static str {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, NotFound, TimedOut};
    match fault.cause {
        Some(ConnectionRefused) => "connect ECONNREFUSED",
        Some(ConnectionReset) => "read ECONNRESET",
        Some(HostUnreachable) => "connect EHOSTUNREACH",
        Some(NetworkUnreachable) => "connect ENETUNREACH",
        Some(NotFound) => "connect ENOENT",
        Some(TimedOut) => "connect ETIMEDOUT",
        _ => fault.text,
    }
}

/// `GET {target}/404?url=…`: our status, its page.
async fn fetch(
    shared: &Arc<Shared>,
    route: &Arc<Route>,
    status: StatusCode,
    url: &str,
) -> anyhow::Result<Response<Download>> {
    let target = route.target();
    let base = target.base.trim_end_matches('/');
    let own = target.query.as_ref().map(|query| format!("{query}&")).unwrap_or_default();
    let url = utf8_percent_encode(url, NON_ALPHANUMERIC);
    let url = format!("{base}/{}?{own}url={url}", status.as_u16());
    let (parts, body) = error_page::fetch(shared, route, url).await?;
    let html = HeaderValue::from_static("text/html");
    let kind = parts.headers.get(CONTENT_TYPE).cloned().unwrap_or(html);
    Ok(error_page::passed_on(status, kind, &parts, body))
}

/// `404.html`, else `error.html`.
async fn read(folder: &Path, status: StatusCode) -> Option<Response<Download>> {
    for name in [format!("{}.html", status.as_u16()), "error.html".to_owned()] {
        match tokio::fs::read(folder.join(&name)).await {
            Ok(text) => {
                let kind = HeaderValue::from_static("text/html");
                return Some(error_page::dressed(status, kind, Download::own(text)));
            }
            Err(problem) => tracing::debug!(%problem, name, "no error page"),
        }
    }
    None
}
