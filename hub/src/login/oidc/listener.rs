//! A listener on this machine in place of a provider, for tests: it answers what it was told to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Made for tests; it opens nothing.
pub const KEY: &str = include_str!("test_key.pem");
/// Its public half.
const MODULUS: &str = "ucJRpG9TyqP2WxoC6xmu0HXYeib9aeqvpRfk9BtX4QsDCt9sXIOMgXIzRIHiH1833LiUHJKn5smifOSTaV7sGgNwr7Kj-M2SxwV70fTFVgDBO71zDBLa4Hh7gY7CnDS-UW_jaIrJwlmBFcnUhVQ0nZ1cruX9UfdJnGT3U71dQCDPl5UKvgVJKSjq8j3VGVjHgz7QJC0Z0Vxsn2yK-_3d2Dzjju8T6flVcGRti2w0RsOVNAW7hwU9gx0qnHqs0ES7p1PaQS5oCf1f7s56k1iCvLvGCbIfB7wYrIDfSPN4CRHnbTJo_OYFPiodTvk68tnv8p6DeIm4kSnv8AeEBaT9Lw";

/// The public key, as providers tell theirs.
pub fn keys() -> Value {
    json!({ "keys": [{ "kty": "RSA", "use": "sig", "alg": "RS256", "n": MODULUS, "e": "AQAB", "kid": "k1" }] })
}

/// A token with these claims, signed by the key.
pub fn signed(claims: &Value) -> String {
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encoded(&json!({ "alg": "RS256", "kid": "k1" })), encoded(claims));
    let key = any_supported_type(&PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap()).unwrap();
    let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signer.sign(text.as_bytes()).unwrap()))
}

/// Answers by path, and keeps what it was asked: the first line, the headers in small letters, and the body.
pub struct Listener {
    /// Where it listens.
    pub origin: String,
    answers: Arc<Mutex<HashMap<String, Given>>>,
    asked: Arc<Mutex<Vec<String>>>,
    held: Arc<Mutex<HashMap<String, Arc<Notify>>>>,
}

/// Status, more headers, body.
type Given = (u16, String, String);

impl Listener {
    /// Each path has its status and body; any other is 404.
    pub async fn new(answers: Vec<(&str, u16, Value)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let told: Arc<Mutex<HashMap<String, Given>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let held: Arc<Mutex<HashMap<String, Arc<Notify>>>> = Arc::default();
        let (kept, known, waiting) = (asked.clone(), told.clone(), held.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = Vec::new();
                let mut piece = [0; 4096];
                while !is_whole(&bytes) {
                    let read = stream.read(&mut piece).await.unwrap();
                    assert!(read > 0, "it broke off");
                    bytes.extend_from_slice(&piece[..read]);
                }
                let request = String::from_utf8(bytes).unwrap();
                let path = request.split(' ').nth(1).unwrap().to_owned();
                kept.lock().unwrap().push(request);
                let hold = waiting.lock().unwrap().remove(&path);
                if let Some(hold) = hold {
                    hold.notified().await;
                }
                let given = known.lock().unwrap().get(&path).cloned();
                let (status, more, body) = given.unwrap_or((404, String::new(), "{}".to_owned()));
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{more}connection: close\r\n\r\n");
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            }
        });
        let listener = Self { origin, answers: told, asked, held };
        answers.into_iter().for_each(|(path, status, body)| listener.answer(path, status, "", body));
        listener
    }

    /// Answers so from now on. `headers` are whole lines; `ORIGIN` is the listener's own address.
    pub fn answer(&self, path: &str, status: u16, headers: &str, body: Value) {
        let own = |text: String| text.replace("ORIGIN", &self.origin);
        let given = (status, own(headers.to_owned()), own(body.to_string()));
        self.answers.lock().unwrap().insert(path.to_owned(), given);
    }

    /// Keeps the next question to a path, and those after it, waiting until it is told to go on.
    pub fn hold(&self, path: &str) -> Arc<Notify> {
        let hold = Arc::new(Notify::new());
        self.held.lock().unwrap().insert(path.to_owned(), hold.clone());
        hold
    }

    /// The requests whose path begins so.
    pub fn asked(&self, path: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|request| request.split(' ').nth(1).is_some_and(|own| own.starts_with(path)))
            .cloned()
            .collect()
    }
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0)
}
