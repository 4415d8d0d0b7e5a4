use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::HOST;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_tungstenite::tungstenite::Message;

use super::sockets::{self, Socket};
use super::steady::{self, Sender};

/// Does what people at JupyterLab do, a round a second for each: a static file, two readings of the contents API, a saved
/// file, and a message on each of three websockets. Prints a line when all are there, and then the times of rounds.
#[derive(clap::Args)]
pub struct Lab {
    url: url::Url,
    people: u32,
    seconds: f64,
    /// `NAME: VALUE`, sent with each request.
    #[arg(long)]
    header: Vec<String>,
}

const EVERY: Duration = Duration::from_secs(1);
const SOCKETS: usize = 3;
/// What is read in a round: the server answers with as many bytes as the last part of the path says.
const READ: [&str; 3] = ["static/100000", "api/contents/2000", "api/contents/4000"];
/// Bytes of a file that is saved, and of a message.
const SAVED: usize = 20_000;
const MESSAGE: usize = 1000;

struct Person {
    url: url::Url,
    authority: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    sender: Sender,
    sockets: Vec<Socket>,
}

impl Lab {
    pub async fn run(self) -> Result<()> {
        ensure!(self.people > 0 && self.seconds > 0.0, "all figures are above zero");
        let arrive = stream::iter(0..self.people).map(|_| self.arrive()).buffer_unordered(32);
        let people: Vec<Result<Person>> = arrive.collect().await;
        let people = people.into_iter().collect::<Result<Vec<_>>>()?;
        super::print_open(people.len());
        let (began, end) = (Instant::now(), Instant::now() + Duration::from_secs_f64(self.seconds));
        let work: Vec<_> = (0..self.people)
            .zip(people)
            .map(|(number, person)| tokio::spawn(person.work(began + EVERY * number / self.people, end)))
            .collect();
        super::print_all(work).await
    }

    async fn arrive(&self) -> Result<Person> {
        let mut socket_url = self.url.clone();
        socket_url.set_scheme("ws").map_err(|()| anyhow!("{}: no websockets there", self.url))?;
        let authority = super::transfer::authority(&self.url)?;
        let sender = steady::connect(&authority).await?;
        let mut sockets = Vec::new();
        for _ in 0..SOCKETS {
            sockets.push(sockets::open(&socket_url).await?);
        }
        let headers = self.header.iter().map(|line| steady::header(line)).collect::<Result<_>>()?;
        Ok(Person { url: self.url.clone(), authority, headers, sender, sockets })
    }
}

impl Person {
    /// Gives the times of rounds, each from when it was due.
    async fn work(mut self, first: Instant, end: Instant) -> Result<Vec<Duration>> {
        let mut ticks = interval_at(first, EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut took = Vec::new();
        loop {
            let due = ticks.tick().await;
            if due >= end {
                return Ok(took);
            }
            self.round().await?;
            took.push(due.elapsed());
        }
    }

    async fn round(&mut self) -> Result<()> {
        for path in READ {
            self.ask(Request::get(self.url.join(path)?.path()), Bytes::new()).await?;
        }
        self.ask(Request::put(self.url.join("api/contents/saved")?.path()), vec![b'x'; SAVED].into()).await?;
        for socket in &mut self.sockets {
            sockets::back(socket, Message::binary(vec![b'x'; MESSAGE])).await?;
        }
        Ok(())
    }

    async fn ask(&mut self, request: http::request::Builder, body: Bytes) -> Result<()> {
        let mut request = request.header(HOST, &self.authority).body(Full::new(body))?;
        request.headers_mut().extend(self.headers.iter().cloned());
        self.sender.ready().await.context("the connection ended")?;
        let answer = self.sender.send_request(request).await?;
        ensure!(answer.status() == 200, "status {}", answer.status());
        answer.into_body().collect().await?;
        Ok(())
    }
}
