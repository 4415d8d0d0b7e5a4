//! Files of the pages: style, scripts, pictures.

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::http::url::piece;
use crate::http::{Answer, Problem};

/// Addresses with a version never change their content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

fn cached(request: &HttpRequest, content_type: &str, etag: &str, body: impl Into<web::Bytes>) -> HttpResponse {
    let control = if request.query_string().contains("v=") { FOR_EVER } else { "no-cache" };
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response = if known == Some(etag) { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((header::CACHE_CONTROL, control)).insert_header((header::ETAG, etag));
    if known == Some(etag) {
        return response.finish();
    }
    response.content_type(content_type).body(body.into())
}

/// `GET /static/{path}`
pub async fn file(request: HttpRequest) -> Answer {
    let path = piece(&request, "path")?;
    let file = pages::static_file(&path).ok_or_else(Problem::not_found)?;
    let squeezed = takes_gzip(&request) && !file.gzip.is_empty();
    let mut response = match squeezed {
        // Another content has another mark.
        true => cached(&request, file.content_type, &format!("{}-gzip\"", file.etag.trim_end_matches('"')), file.gzip),
        false => cached(&request, file.content_type, &file.etag, file.bytes),
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if squeezed {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// Whether the browser says that it can read gzip.
fn takes_gzip(request: &HttpRequest) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT_ENCODING).filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|element| {
        let (coding, rest) = element.split_once(';').unwrap_or((element, ""));
        let never = rest.trim().strip_prefix("q=").is_some_and(|weight| weight.trim().parse() == Ok(0.0));
        coding.trim().eq_ignore_ascii_case("gzip") && !never
    })
}

/// `GET /accent.css`: the operator's colour.
pub async fn accent(request: HttpRequest, app: web::Data<App>) -> Answer {
    let accent = app.site.accent.as_ref().ok_or_else(Problem::not_found)?;
    let sheet = accent.stylesheet();
    Ok(cached(&request, "text/css; charset=utf-8", &etag(sheet.as_bytes()), sheet))
}

/// `GET /logo`: the operator's picture, or our mark.
pub async fn logo(request: HttpRequest, app: web::Data<App>) -> Answer {
    let Some(path) = &app.config.pages.logo_file else {
        let file = pages::static_file("mark.svg").ok_or_else(Problem::not_found)?;
        return Ok(cached(&request, file.content_type, &file.etag, file.bytes));
    };
    own_file(&request, path, picture_type(path))
}

/// `GET /extra.css`: the operator's stylesheet.
pub async fn extra(request: HttpRequest, app: web::Data<App>) -> Answer {
    let path = app.config.pages.extra_css_file.as_ref().ok_or_else(Problem::not_found)?;
    own_file(&request, path, "text/css; charset=utf-8")
}

fn own_file(request: &HttpRequest, path: &std::path::Path, content_type: &str) -> Answer {
    let bytes = std::fs::read(path).map_err(|error| Problem::internal("file of the operator", error))?;
    Ok(cached(request, content_type, &etag(&bytes), bytes))
}

fn etag(content: &[u8]) -> String {
    format!("\"{}\"", hex::encode(Sha256::digest(content)))
}

fn picture_type(path: &std::path::Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => "image/svg+xml",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        _ => "image/png",
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn gzip_is_sent_to_who_asks_for_it() {
        let takes = |value: &str| {
            takes_gzip(&TestRequest::default().insert_header(("accept-encoding", value)).to_http_request())
        };
        for yes in ["gzip", "br, GZIP;q=0.5", "gzip ; q=1.0", "deflate,gzip"] {
            assert!(takes(yes), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "gzip; q=0.000", "xgzip", "*;q=0"] {
            assert!(!takes(no), "{no}");
        }
        assert!(!takes_gzip(&TestRequest::default().to_http_request()));
    }
}
