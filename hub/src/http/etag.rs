//! `ETag` and `304 Not Modified` for answers of the REST API, as Tornado gives them: a mark of the whole body, so that a
//! script that asks again and again is sent nothing while nothing changes.

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use sha2::{Digest, Sha256};

/// Marks a complete answer to GET; without a body if the asker has it already.
pub fn mark(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let is_read = response.request().method() == Method::GET && response.status() == StatusCode::OK;
    if !is_read || response.headers().contains_key(header::ETAG) {
        return response;
    }
    let (request, response) = response.into_parts();
    let (response, body) = response.into_parts();
    let response = match body.try_into_bytes() {
        Ok(bytes) => {
            let etag = of(&bytes);
            let known = request.headers().get_all(header::IF_NONE_MATCH).any(|held| names(held.as_bytes(), &etag));
            let mut response = if known { not_modified(response) } else { response.set_body(BoxBody::new(bytes)) };
            if let Ok(value) = HeaderValue::from_str(&etag) {
                response.headers_mut().insert(header::ETAG, value);
            }
            response
        }
        // A stream ends when it ends.
        Err(body) => response.set_body(body),
    };
    ServiceResponse::new(request, response)
}

fn not_modified(old: HttpResponse<()>) -> HttpResponse {
    let mut response = HttpResponse::new(StatusCode::NOT_MODIFIED);
    for (name, value) in old.headers() {
        if !matches!(*name, header::CONTENT_TYPE | header::CONTENT_LENGTH) {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    response
}

/// The mark of a body; as long as Tornado's, whose hash is SHA-1.
pub fn of(body: &[u8]) -> String {
    let hash = hex::encode(Sha256::digest(body));
    format!("\"{}\"", hash.get(..40).unwrap_or_default())
}

/// Whether a header `If-None-Match` names this mark, by the weak comparison of RFC 9110, 13.1.2.
pub fn names(header: &[u8], etag: &str) -> bool {
    let Ok(text) = std::str::from_utf8(header) else { return false };
    text.split(',').map(str::trim).any(|held| held == "*" || held.strip_prefix("W/").unwrap_or(held) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_in_any_form_of_the_header() {
        let etag = of(b"{}");
        assert_eq!(etag.len(), 42);
        for held in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
            assert!(names(held.as_bytes(), &etag), "{held}");
        }
        for held in ["", "\"x\"", "**", "\u{ff}"] {
            assert!(!names(held.as_bytes(), &etag), "{held}");
        }
    }
}
