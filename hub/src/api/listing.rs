//! Pages of lists: offset and limit, and the answer with or without JupyterHub's pagination envelope.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::origin::Origin;
use crate::http::{Problem, url};

const MEDIA_TYPE: &str = "application/jupyterhub-pagination+json";

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How many entries to leave out.
    pub offset: u32,
    /// How many to return.
    pub limit: u32,
    enveloped: bool,
}

impl Window {
    /// Reads the request's parameters.
    pub fn of(request: &HttpRequest, app: &App) -> Result<Self, Problem> {
        let enveloped = accepts_envelope(request);
        let most = app.config.hub.api_page_max_limit;
        let default = if enveloped { app.config.hub.api_page_default_limit } else { most };
        let offset = number(request, "offset")?.unwrap_or(0);
        let limit = number(request, "limit")?.unwrap_or(default).clamp(1, most.max(1));
        Ok(Self { offset, limit, enveloped })
    }

    /// The same in JupyterHub's envelope, whatever the request accepts.
    pub fn always_enveloped(self) -> Self {
        Self { enveloped: true, ..self }
    }

    /// The answer for one part of a list of `total` entries.
    pub fn answer(self, request: &HttpRequest, app: &App, items: &impl Serialize, total: i64) -> HttpResponse {
        if !self.enveloped {
            return HttpResponse::Ok().json(items);
        }
        let next = i64::from(self.offset) + i64::from(self.limit);
        let next = if next < total {
            let url = next_url(request, app, next, self.limit);
            json!({ "offset": next, "limit": self.limit, "url": url })
        } else {
            Value::Null
        };
        let pagination = json!({ "offset": self.offset, "limit": self.limit, "total": total, "next": next });
        HttpResponse::Ok().json(Envelope { items, pagination })
    }
}

/// JupyterHub's form of a part of a list.
#[derive(Serialize)]
struct Envelope<'a, T> {
    items: &'a T,
    #[serde(rename = "_pagination")]
    pagination: Value,
}

fn accepts_envelope(request: &HttpRequest) -> bool {
    let accept = request.headers().get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|element| element.trim().eq_ignore_ascii_case(MEDIA_TYPE))
}

fn number(request: &HttpRequest, name: &str) -> Result<Option<u32>, Problem> {
    let Some(text) = url::argument(request, name) else { return Ok(None) };
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::bad(format!("Invalid argument type, {name} must be an integer")));
    }
    // The sign says nothing, as with JupyterHub; what is too large for a number is as large as one can be.
    Ok(Some(digits.parse().unwrap_or(u32::MAX)))
}

fn next_url(request: &HttpRequest, app: &App, offset: i64, limit: u32) -> String {
    let origin = Origin::of(request, app);
    let pairs = url::form_pairs(request.query_string());
    let kept = pairs.into_iter().filter(|(key, _)| key != "offset" && key != "limit");
    let all = kept.chain([("offset".to_owned(), offset.to_string()), ("limit".to_owned(), limit.to_string())]);
    let query: String = url::encode_pairs(all);
    format!("{}://{}{}?{query}", origin.scheme, origin.host, request.uri().path())
}
