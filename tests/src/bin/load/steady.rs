use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HOST};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::ticks::Ticks;

/// Prints how many requests were answered as they should be and in which time. Any other answer ends it.
#[derive(clap::Args)]
pub struct Steady {
    url: url::Url,
    /// Requests a second, over all connections.
    rate: f64,
    connections: u32,
    seconds: f64,
    /// A file with a request a line, `PATH`, or `PATH TOKEN`, asked in turn instead of the path of the URL.
    requests: Option<std::path::PathBuf>,
    /// `NAME: VALUE`, sent with each request.
    #[arg(long)]
    header: Vec<String>,
    /// A new connection for each request.
    #[arg(long)]
    close: bool,
    /// The body of each request, which then is a POST.
    #[arg(long)]
    post: Option<String>,
    /// Of each answer.
    #[arg(long, default_value_t = 200)]
    status: u16,
}

/// What is asked, and with which token.
struct Question {
    path: String,
    token: Option<String>,
}

pub type Sender = SendRequest<Full<Bytes>>;

impl Steady {
    pub async fn run(self) -> Result<()> {
        ensure!(self.rate > 0.0 && self.connections > 0 && self.seconds > 0.0, "all figures are above zero");
        let questions: Vec<Question> = match &self.requests {
            Some(file) => std::fs::read_to_string(file)?.lines().map(question).collect(),
            None => vec![Question { path: self.url.path().to_owned(), token: None }],
        };
        ensure!(!questions.is_empty(), "a request at least");
        let headers = self.header.iter().map(|line| header(line)).collect::<Result<Vec<_>>>()?;
        let shared = Arc::new((self, questions, headers));
        let (steady, ..) = &*shared;
        let connections = steady.connections;
        let period = Duration::from_secs_f64(f64::from(connections) / steady.rate);
        let began = Instant::now();
        let end = began + Duration::from_secs_f64(steady.seconds);
        let mut runs = Vec::new();
        for number in 0..connections {
            let (shared, ticks) = (shared.clone(), Ticks::new(began + period * number / connections, period)?);
            runs.push(tokio::spawn(async move {
                let (steady, questions, headers) = &*shared;
                let of_this = questions.iter().cycle().skip(number as usize).step_by(connections as usize);
                steady.one(of_this, headers, ticks, end).await
            }));
        }
        super::print_all(runs).await
    }

    /// One connection's share of the load. Returns the time of each answer.
    async fn one(
        &self,
        mut questions: impl Iterator<Item = &Question>,
        headers: &[(HeaderName, HeaderValue)],
        mut ticks: Ticks,
        end: Instant,
    ) -> Result<Vec<Duration>> {
        let authority = super::transfer::authority(&self.url)?;
        let mut kept: Option<Sender> = None;
        let mut took = Vec::new();
        loop {
            let due = ticks.tick().await?;
            if due >= end {
                return Ok(took);
            }
            let question = questions.next().context("a request")?;
            let (method, body) = match &self.post {
                Some(body) => (Method::POST, Bytes::from(body.clone())),
                None => (Method::GET, Bytes::new()),
            };
            let request = Request::builder().method(method).uri(&question.path).header(HOST, &authority);
            let mut request = request.body(Full::new(body))?;
            request.headers_mut().extend(headers.iter().cloned());
            if let Some(token) = &question.token {
                request.headers_mut().insert(AUTHORIZATION, format!("token {token}").parse()?);
            }
            if self.close {
                request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            let mut sender = match kept.take() {
                Some(sender) => sender,
                None => connect(&authority).await?,
            };
            let answer = sender.send_request(request).await?;
            ensure!(answer.status() == self.status, "{}: status {}", question.path, answer.status());
            answer.into_body().collect().await?;
            took.push(due.elapsed());
            kept = (!self.close).then_some(sender);
        }
    }
}

pub async fn connect(authority: &str) -> Result<Sender> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn question(line: &str) -> Question {
    match line.split_once(' ') {
        Some((path, token)) => Question { path: path.to_owned(), token: Some(token.to_owned()) },
        None => Question { path: line.to_owned(), token: None },
    }
}

pub fn header(line: &str) -> Result<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':').context("a header is NAME: VALUE")?;
    Ok((name.parse()?, value.trim().parse()?))
}
