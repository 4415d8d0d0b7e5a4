use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::HOST;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;

use super::sockets::{self, Socket};
use super::steady::{self, Sender};
use super::ticks::Ticks;

/// Does what people at JupyterLab do, a round a second for each: a static file, two readings of the contents API, a saved
/// file, and a message on each of three websockets. Prints a line when all are there, and then the times of rounds.
#[derive(clap::Args)]
pub struct Lab {
    url: url::Url,
    people: u32,
    seconds: f64,
    /// Prints the times of each so many seconds.
    #[arg(long)]
    report: Option<f64>,
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
        let began = Instant::now();
        let end = began + Duration::from_secs_f64(self.seconds);
        let (done, mut rounds) = unbounded_channel();
        for (number, mut person) in (0..self.people).zip(people) {
            let (ticks, done) = (Ticks::new(began + EVERY * number / self.people, EVERY)?, done.clone());
            tokio::spawn(async move {
                if let Err(error) = person.work(ticks, end, &done).await {
                    done.send(Err(error)).ok();
                }
            });
        }
        drop(done);
        let report = Duration::from_secs_f64(self.report.unwrap_or(self.seconds));
        let (mut took, mut until) = (Vec::new(), began + report);
        while let Some(round) = rounds.recv().await {
            let (due, time) = round?;
            while due >= until {
                println!("{}", super::times(std::mem::take(&mut took)));
                until += report;
            }
            took.push(time);
        }
        println!("{}", super::times(took));
        Ok(())
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
    /// Tells of each round when it was due, and its time from then.
    async fn work(
        &mut self,
        mut ticks: Ticks,
        end: Instant,
        done: &UnboundedSender<Result<(Instant, Duration)>>,
    ) -> Result<()> {
        loop {
            let due = ticks.tick().await?;
            if due >= end {
                return Ok(());
            }
            self.round().await?;
            done.send(Ok((due, due.elapsed())))?;
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
