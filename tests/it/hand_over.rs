//! The proxy's program is replaced, and its limits change, while people work.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use tests::mark::{Mark, send};
use tests::specola::Options;
use tests::{Specola, need, place, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(30);
const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Answers requests, and echoes in websockets.
async fn upstream() -> Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let serve = async |mut stream: TcpStream| -> Result<()> {
        while let Some(head) = head(&mut stream).await? {
            if !head.to_ascii_lowercase().contains("upgrade: websocket") {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
                continue;
            }
            stream.write_all(SWITCH).await?;
            let mut byte = [0];
            while stream.read(&mut byte).await? > 0 {
                stream.write_all(&byte).await?;
            }
            return Ok(());
        }
        Ok(())
    };
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move { drop(serve(stream).await) });
        }
    });
    Ok((address, task))
}

/// The next head; `None` at the end.
async fn head(stream: &mut TcpStream) -> Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(None);
        }
        head.extend(byte);
    }
    Ok(Some(String::from_utf8(head)?))
}

async fn ask(port: u16, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(request.as_bytes()).await?;
    head(&mut stream).await?.context("no answer")
}

async fn echoes(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(b"x").await?;
    let mut byte = [0];
    stream.read_exact(&mut byte).await.context("the websocket is cut")?;
    ensure!(byte == *b"x");
    Ok(())
}

/// A proxy on a ground of its own, of a file that can be replaced.
struct Ground {
    folder: tempfile::TempDir,
    port: u16,
    mark: Mark,
}

impl Ground {
    fn new() -> Result<Ground> {
        let ground = Ground { folder: tempfile::tempdir()?, port: place::free_port()?, mark: Mark::default() };
        fs::write(ground.path("token"), "secret")?;
        ground.install()?;
        Ok(ground)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts the program where it is run from, as an installation does.
    fn install(&self) -> Result<()> {
        fs::copy(place::binary()?, self.path("new"))?;
        fs::rename(self.path("new"), self.path("specola"))?;
        Ok(())
    }

    fn command(&self, program: &Path, upstream: SocketAddr) -> Result<Command> {
        let mut command = Command::new(program);
        command
            .args(["proxy", "--listen", &format!("127.0.0.1:{}", self.port), "--token-file"])
            .arg(self.path("token"))
            .arg("--admin-socket")
            .arg(self.path("admin.sock"))
            .args(["--default-target", &format!("http://{upstream}")])
            .env_remove("SPECOLA_CONFIG");
        self.launch(command)
    }

    fn launch(&self, mut command: Command) -> Result<Command> {
        let log = File::options().create(true).append(true).open(self.path("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.mark.put_on(&mut command);
        Ok(command)
    }

    async fn answers(&self) -> Result<()> {
        until("answer of the proxy", PATIENCE, async || {
            ask(self.port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
            Ok(Some(()))
        })
        .await
        .with_context(|| fs::read_to_string(self.path("log")).unwrap_or_default())
    }

    /// Who answers at the admin socket.
    async fn process(&self) -> Result<u32> {
        let mut stream = tokio::net::UnixStream::connect(self.path("admin.sock")).await?;
        stream.write_all(b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let body: serde_json::Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).context("a body")?)?;
        Ok(u32::try_from(body["pid"].as_u64().context("a pid")?)?)
    }
}

fn ended(child: &mut Child) -> Result<bool> {
    Ok(child.try_wait()?.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_program_takes_over_and_no_request_fails() -> Result<()> {
    let (up, _task) = upstream().await?;
    let ground = Ground::new()?;
    let notify = UnixDatagram::bind(ground.path("notify"))?;
    notify.set_read_timeout(Some(PATIENCE))?;
    let mut command = ground.command(&ground.path("specola"), up)?;
    let mut old = command.env("NOTIFY_SOCKET", ground.path("notify")).spawn()?;
    ground.answers().await?;
    let told = || -> Result<String> {
        let mut text = [0; 200];
        let length = notify.recv(&mut text)?;
        Ok(String::from_utf8(text[..length].to_vec())?)
    };
    ensure!(told()?.contains(&format!("MAINPID={}", old.id())));
    let mut websocket = TcpStream::connect((Ipv4Addr::LOCALHOST, ground.port)).await?;
    websocket.write_all(HANDSHAKE.as_bytes()).await?;
    ensure!(head(&mut websocket).await?.context("a switch")?.starts_with("HTTP/1.1 101 "));

    let (stop, count, port) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), ground.port);
    let hammers: Vec<JoinHandle<Result<()>>> = (0..4)
        .map(|_| {
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let answer = ask(port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.context("a request failed")?;
                    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                    count.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            })
        })
        .collect();
    let more = async |some: usize| {
        let wanted = count.load(Ordering::SeqCst) + some;
        until("more requests", PATIENCE, async || {
            if hammers.iter().any(JoinHandle::is_finished) {
                return Ok(Some(()));
            }
            Ok((count.load(Ordering::SeqCst) >= wanted).then_some(()))
        })
        .await
    };
    more(100).await?;
    ground.install()?;
    send(old.id().cast_signed(), Signal::SIGUSR2);
    let next = until("the next proxy", PATIENCE, async || {
        let process = ground.process().await?;
        Ok((process != old.id()).then_some(process))
    })
    .await
    .with_context(|| fs::read_to_string(ground.path("log")).unwrap_or_default())?;
    more(400).await?;
    stop.store(true, Ordering::SeqCst);
    for hammer in hammers {
        hammer.await??;
    }
    let program = fs::read_link(format!("/proc/{next}/exe"))?;
    ensure!(program == ground.path("specola").canonicalize()?, "the new file runs: {}", program.display());
    ensure!(fs::read_link(format!("/proc/{}/exe", old.id()))?.display().to_string().ends_with(" (deleted)"));
    ensure!(told()?.contains(&format!("MAINPID={next}")), "the service manager knows the new one");
    echoes(&mut websocket).await?;
    ensure!(!ended(&mut old)?, "the old one keeps its websocket");
    drop(websocket);
    until("the end of the old one", PATIENCE, async || Ok(ended(&mut old)?.then_some(()))).await?;
    ground.answers().await?;
    send(next.cast_signed(), Signal::SIGTERM);
    until("the closed door", PATIENCE, async || {
        Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err().then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_next_program_that_does_not_start_changes_nothing() -> Result<()> {
    let (up, _task) = upstream().await?;
    let ground = Ground::new()?;
    let mut old = ground.command(&ground.path("specola"), up)?.spawn()?;
    ground.answers().await?;
    fs::write(ground.path("new"), "nonsense")?;
    fs::rename(ground.path("new"), ground.path("specola"))?;
    send(old.id().cast_signed(), Signal::SIGUSR2);
    until("a word about it", PATIENCE, async || {
        Ok(fs::read_to_string(ground.path("log"))?.contains("cannot start").then_some(()))
    })
    .await?;
    ensure!(ground.process().await? == old.id() && !ended(&mut old)?);
    ground.answers().await?;
    send(old.id().cast_signed(), Signal::SIGTERM);
    until("the end", PATIENCE, async || Ok(ended(&mut old)?.then_some(()))).await
}

#[tokio::test]
async fn a_listener_that_systemd_passes_is_used() -> Result<()> {
    need!(place::command("systemd-socket-activate"), "systemd", "SPECOLA_REQUIRE_SYSTEMD");
    let (up, _task) = upstream().await?;
    let ground = Ground::new()?;
    let inner = ground.command(&place::binary()?, up)?;
    let mut outer = Command::new("systemd-socket-activate");
    outer.arg("-l").arg(format!("127.0.0.1:{}", ground.port)).arg(inner.get_program()).args(inner.get_args());
    let mut child = ground.launch(outer)?.spawn()?;
    // It binds, and starts the program with the first connection; had the proxy bound anew, it would have failed.
    ground.answers().await?;
    ensure!(ground.process().await? == child.id(), "the same process, by exec");
    send(child.id().cast_signed(), Signal::SIGTERM);
    until("the end", PATIENCE, async || Ok(ended(&mut child)?.then_some(()))).await
}

#[tokio::test]
async fn a_proxy_reads_its_limits_again_and_keeps_them_when_they_are_wrong() -> Result<()> {
    let mut specola = Specola::start(Options::default().set("proxy", "header_bytes", "\"64K\"")).await?;
    let proxy = specola.proxy()?.id;
    let long = format!("GET /hub/health HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let port = specola.ground.port;
    let status =
        async || -> Result<String> { Ok(ask(port, &long).await?.split(' ').nth(1).unwrap_or_default().to_owned()) };
    ensure!(status().await? == "200");
    let file = specola.ground.folder.join("specola.toml");
    let text = fs::read_to_string(&file)?;
    fs::write(&file, text.replace("header_bytes = \"64K\"", "header_bytes = \"16K\""))?;
    send(proxy, Signal::SIGHUP);
    until("the smaller limit", PATIENCE, async || Ok((status().await? == "431").then_some(()))).await?;
    fs::write(&file, text.replace("header_bytes = \"64K\"", "header_bytes = \"many\""))?;
    send(proxy, Signal::SIGHUP);
    until("a word about it", PATIENCE, async || {
        let log = fs::read_to_string(specola.ground.folder.join("proxy/proxy.log"))?;
        Ok(log.contains("the limits stay as they are").then_some(()))
    })
    .await?;
    ensure!(status().await? == "431" && specola.proxy()?.id == proxy);
    fs::write(&file, text)?;
    specola.stop_hub()?;
    Ok(())
}

#[tokio::test]
async fn a_proxy_serves_no_more_at_once_than_there_are_open_files_for() -> Result<()> {
    let ground = Ground::new()?;
    // For two clients, each with a server, beside what a proxy has for itself.
    let few = ground.path("few");
    fs::write(&few, format!("#!/bin/sh\nulimit -n 212\nexec {} \"$@\"\n", ground.path("specola").display()))?;
    fs::set_permissions(&few, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let _child = ground.command(&few, SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))?.spawn()?;
    let healthy = "GET /_chp_healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let connect = async || -> Result<TcpStream> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, ground.port)).await?;
        stream.write_all(healthy.as_bytes()).await?;
        Ok(stream)
    };
    until("the proxy", PATIENCE, async || Ok(ask(ground.port, healthy).await.ok())).await?;
    let (mut first, mut second) = (connect().await?, connect().await?);
    ensure!(head(&mut first).await?.is_some() && head(&mut second).await?.is_some());
    let mut third = connect().await?;
    ensure!(tokio::time::timeout(Duration::from_millis(200), third.readable()).await.is_err(), "there is room for two");
    drop(first);
    ensure!(head(&mut third).await?.is_some());
    let log = fs::read_to_string(ground.path("log"))?;
    ensure!(log.contains("212 open files are enough for 2 connections at once, not for 8192"), "{log}");
    Ok(())
}

/// Ends with the first head that speaks of a path. Whoever else tries a port of this machine says other things.
async fn hears_of(listener: TcpListener, path: &str) -> Result<String> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        if let Ok(Some(head)) = head(&mut stream).await
            && head.contains(path)
        {
            return Ok(head);
        }
    }
}

#[tokio::test]
async fn the_port_of_a_dead_lab_leads_nobody_to_who_has_it_then() -> Result<()> {
    let specola = Specola::start(Options::default().small_lab("quick.py")?).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    alice.get("/user/alice/x").await?.expect(&[200])?;
    let lab = specola.labs().into_iter().next().context("a lab")?;
    let url = lab.variable("JUPYTERHUB_SERVICE_URL").context("its address")?.to_owned();
    let port: u16 = url.rsplit(':').next().and_then(|rest| rest.split('/').next()?.parse().ok()).context("its port")?;
    lab.kill();
    // A connection that was open before may break first (502), which says nothing of the port.
    until("the first refused connection", PATIENCE, async || {
        let answer = alice.get("/user/alice/x").await?;
        Ok((answer.status != 200 && answer.status != 502).then_some(()))
    })
    .await?;
    let stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let watched = tokio::spawn(hears_of(stranger, "/user/alice/"));
    // The hub finds out and takes the route away; until then nobody is led there.
    until("the end of the server", PATIENCE, async || {
        let answer = alice.get("/user/alice/x").await?;
        if watched.is_finished() {
            bail!("somebody was led to the stranger");
        }
        Ok((answer.status != 503).then_some(()))
    })
    .await?;
    ensure!(!watched.is_finished(), "somebody was led to the stranger");
    watched.abort();
    Ok(())
}
