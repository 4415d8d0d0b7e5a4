//! Pebble, Let's Encrypt's own small ACME authority for tests, and a name server that leads every name here.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinHandle,
};

use crate::{client::until, secure::Authority};

/// Where `tests/run` has put the program, or a note that there is none.
pub fn program() -> Option<PathBuf> {
    let given = std::env::var_os("SPECOLA_PEBBLE").map(PathBuf::from);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tests/go/bin/pebble");
    let found = given.into_iter().chain([kept]).find(|path| path.is_file());
    if found.is_none() {
        assert!(std::env::var_os("SPECOLA_REQUIRE_PEBBLE").is_none(), "pebble is promised and missing");
        eprintln!("SKIPPED: pebble is missing");
    }
    found
}

pub struct Pebble {
    pub directory: String,
    /// Whom to believe when asking it.
    pub authority: Authority,
    process: Child,
    names: JoinHandle<()>,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.names.abort();
    }
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

impl Pebble {
    /// Starts one that looks for proofs at these ports and signs for so many seconds.
    pub async fn start(program: &Path, http: u16, tls: u16, seconds: u32) -> Self {
        let authority = Authority::new();
        let files = authority.sign("pebble", &["localhost", "127.0.0.1"]);
        let (port, management) = (free_port().await, free_port().await);
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": files.certificate,
            "privateKey": files.key,
            "httpPort": http,
            "tlsPort": tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "retryAfter": {"authz": 1, "order": 1},
            "profiles": {"default": {"description": "for tests", "validityPeriod": seconds}},
        }});
        let file = authority.folder.path().join("pebble.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let (server, names) = name_server().await;
        let log = std::fs::File::create(authority.folder.path().join("pebble.log")).unwrap();
        let process = Command::new(program)
            .arg("-config")
            .arg(&file)
            .args(["-dnsserver", &server.to_string()])
            // Its own tricks, such as refusing good nonces now and then, are left on; only the wait is shortened.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let pebble = Self { directory: format!("https://127.0.0.1:{port}/dir"), authority, process, names };
        until("pebble", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        pebble
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.authority.folder.path().join("pebble.log")).unwrap_or_default()
    }

    /// Holds it still, as a machine that hangs.
    pub fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Answers every question for an IPv4 address with this machine, and says of all others that there is nothing.
async fn name_server() -> (SocketAddr, JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut asked = [0; 512];
        loop {
            let Ok((count, peer)) = socket.recv_from(&mut asked).await else { continue };
            let Some(answer) = answer(&asked[..count]) else { continue };
            let _ = socket.send_to(&answer, peer).await;
        }
    });
    (address, task)
}

fn answer(asked: &[u8]) -> Option<Vec<u8>> {
    let name = asked.get(12..)?.iter().position(|&byte| byte == 0)?;
    let end = 12 + name + 5;
    let question = asked.get(12..end)?;
    let is_ipv4 = question.get(name + 1..name + 3)? == [0, 1];
    let mut answer = asked.get(..2)?.to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_ipv4), 0, 0, 0, 0]);
    answer.extend(question);
    if is_ipv4 {
        answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

