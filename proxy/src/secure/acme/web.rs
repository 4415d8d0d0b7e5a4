//! How an authority is asked.

use std::{future::Future, pin::Pin};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Request, Response, header::HOST};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};

use crate::{dial, options::Limits, target::Target, tls::Trust};

/// What an authority says is no longer than this.
const ANSWER: usize = 1024 * 1024;

/// One connection a request; authorities are asked a dozen times in two months.
#[derive(Clone)]
pub(super) struct Web {
    pub limits: Limits,
    pub trust: Trust,
}

impl Web {
    async fn ask(&self, mut request: Request<BodyWrapper<Bytes>>) -> anyhow::Result<Response<Full<Bytes>>> {
        let uri = request.uri();
        let authority = uri.authority().context("an address without host")?;
        let scheme = uri.scheme_str().unwrap_or("https");
        ensure!(scheme == "https", "an authority is asked over https only, not at {uri}");
        let target = Target::parse(&format!("{scheme}://{authority}"))?;
        let host = authority.as_str().parse()?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
        *request.uri_mut() = path;
        request.headers_mut().insert(HOST, host);
        let stream = dial::connect(&target, &self.limits, &self.trust).await;
        let stream = stream.with_context(|| format!("{} is not reached", target.authority))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends by itself once the sender and the answer's body are dropped.
        tokio::spawn(connection);
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER).collect().await.map_err(anyhow::Error::from_boxed)?;
        Ok(Response::from_parts(parts, Full::new(body.to_bytes())))
    }
}

impl HttpClient for Web {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let web = self.clone();
        Box::pin(async move {
            let asked = tokio::time::timeout(web.limits.link_post * 3, web.ask(request)).await;
            let answer = asked.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time")));
            // As text with its causes: the library would show the last alone.
            answer.map(BytesResponse::from).map_err(|problem| instant_acme::Error::Other(format!("{problem:#}").into()))
        })
    }
}
