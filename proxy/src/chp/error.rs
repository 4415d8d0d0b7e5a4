//! Error pages from a server or a folder of the operator's.

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::ChpOptions;
use crate::{
    body::Download,
    dial,
    error_page::{self, Asked, Fault},
    state::Shared,
    target::Target,
};

/// The page for a fault, which the log tells as well. To whom configurable-http-proxy is known, a server that answers badly
/// is one that does not answer.
pub(crate) async fn page(
    shared: &Arc<Shared>,
    options: &ChpOptions,
    mut fault: Fault,
    asked: &Asked,
) -> Response<Download> {
    if matches!(fault.status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) {
        fault.status = StatusCode::SERVICE_UNAVAILABLE;
    }
    tracing::error!("{} {} {} {}", fault.status.as_u16(), asked.method(), asked.path(), cause(fault));
    if let Some(target) = &options.error_target {
        let fetching = fetch(shared, target, fault.status, asked.url());
        let patience = shared.limits().error_page;
        match tokio::time::timeout(patience, fetching).await {
            Ok(Ok(page)) => return page,
            Ok(Err(problem)) => tracing::error!(problem = format!("{problem:#}"), "no error page from {target}"),
            Err(_) => tracing::error!("no error page from {target} in time"),
        }
    } else if let Some(folder) = &options.error_path
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
    target: &str,
    status: StatusCode,
    url: &str,
) -> anyhow::Result<Response<Download>> {
    let target = Target::with_path(target)?;
    let limits = shared.limits.load_full();
    let stream = dial::connect(&target, &limits, &shared.trust).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends by itself once the sender and the answer's body are dropped.
    tokio::spawn(connection);
    let base = target.base.trim_end_matches('/');
    let url = utf8_percent_encode(url, NON_ALPHANUMERIC);
    let request = Request::get(format!("{base}/{}?url={url}", status.as_u16()))
        .header(HOST, &target.authority)
        .body(Empty::<Bytes>::new())?;
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, limits.error_page_bytes).collect().await;
    let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
    let html = HeaderValue::from_static("text/html");
    let kind = parts.headers.get(CONTENT_TYPE).cloned().unwrap_or(html);
    let mut page = error_page::dressed(status, kind, Download::own(body));
    if let Some(encoding) = parts.headers.get(CONTENT_ENCODING) {
        page.headers_mut().insert(CONTENT_ENCODING, encoding.clone());
    }
    Ok(page)
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
