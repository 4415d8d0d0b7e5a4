//! A message of a websocket there and back over the loopback, all in one thread: with nothing between, through a tunnel of
//! ours, through tokio's copy of bytes, and through a relay of frames.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    (client, server)
}

/// A binary message, as a client sends it or as a server does (RFC 6455, 5.2).
fn frame(size: usize, is_masked: bool) -> Vec<u8> {
    let masked = if is_masked { 0x80 } else { 0 };
    let mut frame = vec![0x82];
    match size {
        0..126 => frame.push(masked | size as u8),
        _ => {
            frame.push(masked | 127);
            frame.extend((size as u64).to_be_bytes());
        }
    }
    // A mask of zeros changes nothing, and relays put another.
    frame.extend(vec![0; if is_masked { 4 } else { 0 } + size]);
    frame
}

#[derive(Clone, Copy)]
enum Between {
    Nothing,
    Tunnel,
    Copy,
    Frames,
}

async fn relay(between: Between, mut browser: TcpStream, mut upstream: TcpStream) {
    match between {
        Between::Nothing => {}
        Between::Tunnel => specola_proxy::fuzzing::bench::join(browser, upstream).await,
        Between::Copy => drop(copy_bidirectional(&mut browser, &mut upstream).await),
        Between::Frames => {
            let browser = WebSocketStream::from_raw_socket(browser, Role::Server, None).await;
            let upstream = WebSocketStream::from_raw_socket(upstream, Role::Client, None).await;
            let ((to_browser, from_browser), (to_upstream, from_upstream)) = (browser.split(), upstream.split());
            let _ = tokio::join!(from_browser.forward(to_upstream), from_upstream.forward(to_browser));
        }
    }
}

/// How long so many messages take.
async fn exchange(between: Between, size: usize, count: u64) -> Duration {
    let (mut browser, inside) = pair().await;
    let mut server = match between {
        Between::Nothing => inside,
        _ => {
            let (outside, server) = pair().await;
            tokio::spawn(relay(between, inside, outside));
            server
        }
    };
    let (message, answer) = (frame(size, true), frame(size, false));
    let length = message.len();
    tokio::spawn(async move {
        let mut read = vec![0; length];
        while server.read_exact(&mut read).await.is_ok() {
            server.write_all(&answer).await.unwrap();
        }
    });
    let mut read = vec![0; length - 4];
    let began = Instant::now();
    for _ in 0..count {
        browser.write_all(&message).await.unwrap();
        browser.read_exact(&mut read).await.unwrap();
    }
    began.elapsed()
}

fn messages(criterion: &mut Criterion) {
    for (size, what) in [(64, "64 B"), (64 * 1024, "64 KB")] {
        for (between, through) in [
            (Between::Nothing, "with nothing between"),
            (Between::Tunnel, "through a tunnel"),
            (Between::Copy, "through copy_bidirectional"),
            (Between::Frames, "through tokio-tungstenite"),
        ] {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            criterion.bench_function(&format!("message of {what} {through}"), |bencher| {
                bencher.iter_custom(|count| runtime.block_on(exchange(between, size, count)));
            });
        }
    }
}

criterion_group! {
    name = all;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = messages
}
criterion_main!(all);
