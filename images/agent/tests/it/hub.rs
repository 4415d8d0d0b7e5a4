//! A hub that can be away, hang or refuse. It answers what the agent asks, each time with something new.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// The lab's own token.
pub const TOKEN: &str = "the-token-of-the-lab";

const ACCESS_TOKEN: &str = "/hub/api/user/access-token";

#[derive(Clone, Debug, PartialEq)]
pub enum Mood {
    /// Keys live for so many milliseconds.
    Gives(i64),
    /// Connections are closed without an answer.
    Away,
    /// No answer.
    Hangs,
    /// This status with this code.
    Refuses(u16, &'static str),
}

pub struct State {
    pub mood: Mood,
    /// Questions for keys.
    pub asked: u32,
    /// Questions of any kind.
    pub requests: u32,
    /// Which token it is; of the first kind it says nothing of others.
    pub token: u32,
    /// Those who wait for the next one.
    pub waiting: u32,
    /// How the lab is, as it told last.
    pub status: Option<Value>,
}

#[derive(Clone)]
pub struct Hub {
    port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Hub {
    pub fn start(mood: Mood) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new((
            Mutex::new(State { mood, asked: 0, requests: 0, token: 0, waiting: 0, status: None }),
            Condvar::new(),
        ));
        let hub = Hub { port, state };
        let serving = hub.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hub = serving.clone();
                std::thread::spawn(move || hub.serve(stream));
            }
        });
        hub
    }

    pub fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}/hub/api", self.port)
    }

    pub fn set(&self, mood: Mood) {
        self.state.0.lock().unwrap().mood = mood;
        self.state.1.notify_all();
    }

    /// Has another token from now on, and tells who waits for it.
    pub fn next_token(&self) {
        self.state.0.lock().unwrap().token += 1;
        self.state.1.notify_all();
    }

    /// Whether there is another token than the one of this mark, waited for.
    fn has_another(&self, known: &str) -> bool {
        let mut state = self.state.0.lock().unwrap();
        state.waiting += 1;
        self.state.1.notify_all();
        let patience = Duration::from_secs(30);
        let mut state = self
            .state
            .1
            .wait_timeout_while(state, patience, |state| mark(state.token) == known && state.mood != Mood::Away)
            .unwrap()
            .0;
        state.waiting -= 1;
        mark(state.token) != known
    }

    /// Waits until a question has come after which the condition holds.
    pub fn until(&self, what: &str, condition: impl Fn(&State) -> bool) {
        let state = self.state.0.lock().unwrap();
        let (_state, late) =
            self.state.1.wait_timeout_while(state, Duration::from_secs(30), |state| !condition(state)).unwrap();
        assert!(!late.timed_out(), "{what}");
    }

    pub fn asked(&self) -> u32 {
        self.state.0.lock().unwrap().asked
    }

    fn serve(&self, mut stream: TcpStream) {
        // One request a connection; the agent's client opens another.
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        if head.starts_with("PUT ") {
            return self.hear(stream, &head, &path);
        }
        let (mood, number) = {
            let mut state = self.state.0.lock().unwrap();
            state.requests += 1;
            state.asked += u32::from(path.ends_with("/credentials"));
            self.state.1.notify_all();
            (state.mood.clone(), state.requests)
        };
        let (status, body) = match mood {
            Mood::Away => return,
            Mood::Hangs => {
                let state = self.state.0.lock().unwrap();
                drop(self.state.1.wait_while(state, |state| state.mood == Mood::Hangs));
                return;
            }
            _ if !head.to_lowercase().contains(&format!("authorization: token {TOKEN}")) => (403, json!({})),
            Mood::Gives(_) if path == ACCESS_TOKEN && self.state.0.lock().unwrap().token > 0 => {
                let known =
                    head.to_lowercase().lines().find_map(|line| Some(line.strip_prefix("if-none-match: ")?.to_owned()));
                let is_news = known.is_none_or(|known| self.has_another(&known));
                let token = self.state.0.lock().unwrap().token;
                let body = json!({"access_token": format!("number-{token}"), "expires_in": 600}).to_string();
                let (status, body) = if is_news { (200, body.as_str()) } else { (304, "") };
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} Said\r\nETag: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    mark(token),
                    body.len()
                );
                return;
            }
            Mood::Refuses(status, code) => (status, json!({"status": status, "code": code, "message": "It says no."})),
            Mood::Gives(life) => (200, answer(&path, number, life)),
        };
        let body = body.to_string();
        let _ = write!(
            stream,
            "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
    }
}

impl Hub {
    /// Takes what the lab tells of itself, in the mood to give.
    fn hear(&self, mut stream: TcpStream, head: &str, path: &str) {
        let field = |name: &str| {
            let lower = head.to_lowercase();
            lower.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned())).unwrap_or_default()
        };
        let mut body = vec![0; field("content-length:").parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        let right = path == "/hub/api/user/lab-status" && field("authorization:") == format!("token {TOKEN}");
        let mut state = self.state.0.lock().unwrap();
        if !matches!(state.mood, Mood::Gives(_)) {
            return;
        }
        if right {
            state.status = Some(serde_json::from_slice(&body).unwrap());
            self.state.1.notify_all();
        }
        let status = if right { 204 } else { 403 };
        let _ = write!(stream, "HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    }

    /// Waits until the lab has told what the condition holds of.
    pub fn hears(&self, what: &str, condition: impl Fn(&Value) -> bool) {
        self.until(what, |state| state.status.as_ref().is_some_and(&condition));
    }
}

fn mark(token: u32) -> String {
    format!("\"{token}\"")
}

fn answer(path: &str, number: u32, life: i64) -> Value {
    let storage = |name: &str| {
        json!({"name": name, "dialect": "minio", "endpoint": "https://s3.example.org", "region": "us-east-1",
               "path_style": true, "certificates": null})
    };
    match path {
        ACCESS_TOKEN => json!({"access_token": format!("token-{number}"), "expires_in": 600}),
        "/hub/api/user/storage" => json!({"storage": [storage("main"), storage("other")]}),
        _ => {
            let name = path.split('/').nth(5).unwrap();
            let end = chrono::Utc::now() + chrono::TimeDelta::milliseconds(life);
            json!({"AccessKeyId": format!("{name}-{number}"), "SecretAccessKey": "s3cret", "Token": "session",
                   "Expiration": end.to_rfc3339()})
        }
    }
}
