//! A question to an address: posted as JSON, signed, answered in the same exchange.

use std::sync::OnceLock;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hub_core::clock::{Clock, SystemClock};
use hub_core::secret::Secret;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::Trouble;
use crate::excerpt::excerpt;
use crate::sign;

/// How much of the body of a refusal is shown.
const SHOWN: usize = 200;

type Exchange = Pool<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Posts questions. The system's certificates are read when the first is asked.
#[derive(Debug, Default)]
pub(crate) struct Client(OnceLock<Exchange>);

impl Client {
    fn exchange(&self) -> Result<&Exchange, Trouble> {
        if let Some(exchange) = self.0.get() {
            return Ok(exchange);
        }
        let connector = HttpsConnectorBuilder::new().with_native_roots();
        let connector = connector.map_err(|error| Trouble::Unreachable(format!("no certificates: {error}")))?;
        let connector = connector.https_or_http().enable_http1().build();
        // A connection a question: an old one may be dead, and a question is not asked twice.
        let exchange = Pool::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(self.0.get_or_init(|| exchange))
    }

    /// Returns the body of the answer, empty for 204.
    pub async fn ask(
        &self,
        url: &str,
        secret: Option<&Secret>,
        question: &Value,
        answer_bytes: usize,
    ) -> Result<Vec<u8>, Trouble> {
        let body = question.to_string();
        let mut request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, "specola");
        if let Some(secret) = secret {
            let now = SystemClock.now().timestamp();
            request = request.header(sign::HEADER, sign::signature(secret, now, body.as_bytes()));
        }
        let request = request.body(Full::from(body)).map_err(|error| Trouble::Unreachable(error.to_string()))?;
        let answer = self.exchange()?.request(request).await.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        let bytes = match Limited::new(answer.into_body(), answer_bytes).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(Trouble::TooMuch(answer_bytes)),
            Err(error) => return Err(Trouble::Unreachable(format!("it broke off: {error}"))),
        };
        match status {
            StatusCode::OK => Ok(bytes.into()),
            StatusCode::NO_CONTENT => Ok(Vec::new()),
            status => Err(Trouble::Status { status: status.as_u16(), body: excerpt(&bytes, SHOWN) }),
        }
    }
}

/// The causes of an error in one line: the outermost says only that there was one.
fn unreachable(error: &dyn std::error::Error) -> Trouble {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    Trouble::Unreachable(text)
}
