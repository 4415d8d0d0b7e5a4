//! Certificates from an ACME authority (RFC 8555), such as Let's Encrypt.
//!
//! The account and the last certificate are kept in a folder of the authority's own. While the authority cannot be
//! asked or refuses, the old certificate stays in use and the order is tried again, later each time.

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use chrono::Utc;
use http::{Request, Response, header::HOST};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, HttpClient,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tokio::time::Instant;
use tokio_rustls::rustls::sign::CertifiedKey;

use super::{
    identity::{self, Identity},
    keyring::Keyring,
    self_signed,
};
use crate::{activity::lock, dial, options::Limits, reload::Follower, target::Target, tls::Trust};

/// Key and chain.
const CERTIFICATE: &str = "certificate.pem";
/// Who we are for the authority.
const ACCOUNT: &str = "account.json";
/// What an authority says is no longer than this.
const ANSWER: usize = 1024 * 1024;
/// How long an authority may take to look for proofs, and to sign.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest wait between two looks at the clock: timers stand still while a machine sleeps.
const LOOK: Duration = Duration::from_secs(3600);

/// From whom, for what, and how it is shown that the names are ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeOptions {
    /// The address of the authority's directory.
    pub directory: String,
    /// Host names, or addresses where the authority takes them. One certificate is for all of them.
    pub domains: Vec<String>,
    /// Where the authority may write to.
    pub email: Option<String>,
    /// Authorities (PEM) to believe when asking, beside those of this machine.
    pub ca_file: Option<PathBuf>,
    /// Where account and certificate are kept.
    pub folder: PathBuf,
    /// How the names are shown to be ours.
    pub challenge: Challenge,
}

/// Where the authority looks for proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// In a handshake at port 443 (RFC 8737).
    TlsAlpn01,
    /// At port 80, where the redirect listens.
    Http01,
}

impl Challenge {
    fn kind(self) -> ChallengeType {
        match self {
            Self::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Self::Http01 => ChallengeType::Http01,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }
}

impl AcmeOptions {
    /// Each authority has a folder of its own, so that a trial with one leaves nothing behind for another.
    fn own_folder(&self) -> PathBuf {
        let name = self.directory.trim_start_matches("https://").trim_end_matches('/');
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' };
        self.folder.join(name.chars().map(plain).collect::<String>())
    }
}

/// What authorities find at port 80, by token.
#[derive(Clone, Default)]
pub(super) struct Proofs(Arc<Mutex<HashMap<String, String>>>);

impl Proofs {
    pub(super) fn get(&self, token: &str) -> Option<String> {
        lock(&self.0).get(token).cloned()
    }

    fn put(&self, token: &str, proof: &str) {
        lock(&self.0).insert(token.to_owned(), proof.to_owned());
    }

    fn clear(&self) {
        lock(&self.0).clear();
    }
}

/// The certificate of an earlier run if it is for these names, else one that only keeps the port answering.
pub(super) fn kept_or_stopgap(options: &AcmeOptions) -> anyhow::Result<Identity> {
    ensure!(!options.domains.is_empty(), "there is no name to ask a certificate for");
    match kept(options) {
        Some(kept) => Ok(kept),
        None => self_signed::stopgap(&options.domains),
    }
}

fn kept(options: &AcmeOptions) -> Option<Identity> {
    match identity::read(&options.own_folder().join(CERTIFICATE)) {
        Ok(kept) => kept.filter(|kept| kept.is_for_all(&options.domains)),
        Err(problem) => {
            tracing::warn!(problem = format!("{problem:#}"), "the kept certificate is of no use");
            None
        }
    }
}

/// Keeps the certificate current.
pub(super) struct Keeper {
    options: AcmeOptions,
    keyring: Arc<Keyring>,
    proofs: Proofs,
    reload: Follower,
    limits: Limits,
    web: Web,
}

impl Keeper {
    pub(super) fn new(
        options: AcmeOptions,
        keyring: Arc<Keyring>,
        proofs: Proofs,
        reload: Follower,
        limits: &Limits,
    ) -> Self {
        let web = Web { limits: limits.clone(), trust: Trust::new(options.ca_file.clone()) };
        Self { options, keyring, proofs, reload, limits: limits.clone(), web }
    }

    /// Orders when two thirds of the certificate's life are over, or there is none. After a refusal it waits twice as
    /// long each time; being told to reload ends the wait.
    pub(super) async fn run(mut self) {
        let mut pause = Duration::ZERO;
        let mut current = kept(&self.options);
        loop {
            let due = current.as_ref().map_or(Duration::ZERO, |identity| {
                (identity.renew_at() - Utc::now()).to_std().unwrap_or(Duration::ZERO)
            });
            let wait = due.max(pause);
            if !wait.is_zero() {
                let slept = tokio::time::timeout(wait.min(LOOK), self.reload.told()).await;
                if slept.is_ok() {
                    pause = Duration::ZERO;
                    continue;
                }
                if wait > LOOK {
                    pause = pause.saturating_sub(LOOK);
                    continue;
                }
            }
            let began = Instant::now();
            let obtained = self.obtain().await;
            self.proofs.clear();
            self.keyring.forget_proofs();
            match obtained {
                Ok(identity) => {
                    let domains = self.options.domains.join(" ");
                    tracing::info!(domains, ends = %identity.ends, took = ?began.elapsed(), "the authority gave a certificate");
                    self.keyring.set(vec![identity.clone()]);
                    current = Some(identity);
                    // A life too short to wait for must not become a flood of orders.
                    pause = self.limits.acme_pause;
                }
                Err(problem) => {
                    let next = (pause * 2).clamp(self.limits.acme_retry, self.limits.acme_retry_max);
                    tracing::warn!(
                        problem = format!("{problem:#}"),
                        directory = self.options.directory,
                        ?next,
                        "no certificate from the authority; the old one stays in use"
                    );
                    pause = next;
                }
            }
        }
    }

    async fn obtain(&self) -> anyhow::Result<Identity> {
        let account = self.account().await?;
        let options = &self.options;
        let names: Vec<Identifier> = options.domains.iter().map(|name| identifier(name)).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await.context("the order")?;
        self.prove(&mut order).await?;
        let patience = RetryPolicy::new().timeout(PATIENCE);
        match order.poll_ready(&patience).await.context("waiting for the authority to look")? {
            OrderStatus::Ready | OrderStatus::Valid => {}
            status => {
                let why = why(&mut order).await;
                bail!("the authority does not find that the names are ours ({status:?}): {why}");
            }
        }
        let key = KeyPair::generate()?;
        let mut wanted = CertificateParams::new(options.domains.as_slice())?;
        wanted.distinguished_name = DistinguishedName::new();
        let request = wanted.serialize_request(&key)?;
        order.finalize_csr(request.der()).await.context("asking for the signature")?;
        let chain = order.poll_certificate(&patience).await.context("waiting for the certificate")?;
        let key = key.serialize_pem();
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).context("what the authority gave")?;
        ensure!(identity.is_for_all(&options.domains), "the authority gave a certificate for other names");
        // Kept before it is used, so that what people see after a restart is never older.
        let file = options.own_folder().join(CERTIFICATE);
        identity::write_private(&file, format!("{key}{chain}").as_bytes())?;
        Ok(identity)
    }

    /// Lays out what the authority looks for, and tells it to look.
    async fn prove(&self, order: &mut Order) -> anyhow::Result<()> {
        let challenge = self.options.challenge;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.context("what the authority wants to see")?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => bail!("the authority's question is {status:?} already"),
            }
            let mut asked = authorization
                .challenge(challenge.kind())
                .with_context(|| format!("the authority does not offer {}", challenge.name()))?;
            let name = match asked.identifier().identifier {
                Identifier::Dns(name) => name.clone(),
                Identifier::Ip(address) => reverse_name(*address),
                other => bail!("the authority asks for {other:?}"),
            };
            let proof = asked.key_authorization();
            match challenge {
                Challenge::Http01 => self.proofs.put(&asked.token, proof.as_str()),
                Challenge::TlsAlpn01 => {
                    let shown = match asked.identifier().identifier {
                        Identifier::Ip(address) => address.to_string(),
                        _ => name.clone(),
                    };
                    self.keyring.prove(&name, proof_certificate(&shown, proof.digest().as_ref())?);
                }
            }
            asked.set_ready().await.context("telling the authority to look")?;
        }
        Ok(())
    }

    /// The account of an earlier run, else a new one.
    async fn account(&self) -> anyhow::Result<Account> {
        let options = &self.options;
        let file = options.own_folder().join(ACCOUNT);
        let builder = Account::builder_with_http(Box::new(self.web.clone()));
        if let Some(credentials) = known_account(&file)? {
            return builder.from_credentials(credentials).await.context("the authority is not reached");
        }
        let contact = options.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) =
            builder.create(&new, options.directory.clone(), None).await.context("a new account at the authority")?;
        identity::write_private(&file, &serde_json::to_vec(&credentials)?)?;
        Ok(account)
    }
}

fn known_account(file: &Path) -> anyhow::Result<Option<AccountCredentials>> {
    match std::fs::read(file) {
        Ok(text) => {
            let read = serde_json::from_slice(&text);
            read.map(Some).with_context(|| format!("{} holds no account; remove it for a new one", file.display()))
        }
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(problem) => Err(problem).with_context(|| format!("cannot read {}", file.display())),
    }
}

fn identifier(name: &str) -> Identifier {
    name.parse().map_or_else(|_| Identifier::Dns(name.to_owned()), Identifier::Ip)
}

/// How a handshake names an address (RFC 8738, 6).
fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let digits = format!("{:032x}", address.to_bits());
            let turned: Vec<String> = digits.chars().rev().map(String::from).collect();
            format!("{}.ip6.arpa", turned.join("."))
        }
    }
}

/// The certificate that shows a proof in a handshake (RFC 8737, 3).
fn proof_certificate(name: &str, digest: &[u8]) -> anyhow::Result<Arc<CertifiedKey>> {
    let mut wanted = CertificateParams::new(vec![name.to_owned()])?;
    wanted.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = wanted.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    // Not by `from_der`, which reads the certificate and refuses the critical extension that makes it a proof.
    let key = super::provider().key_provider.load_private_key(key)?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}

/// What the authority says of the names it did not find to be ours.
async fn why(order: &mut Order) -> String {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let problems = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        reasons.extend(problems.map(ToString::to_string));
    }
    if reasons.is_empty() { "it does not say why".to_owned() } else { reasons.join("; ") }
}

/// One connection a request; authorities are asked a dozen times in two months.
#[derive(Clone)]
struct Web {
    limits: Limits,
    trust: Trust,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_can_be_made_for_names_and_addresses() {
        for name in ["hub.example", "192.0.2.7"] {
            assert_eq!(proof_certificate(name, &[7; 32]).unwrap().cert.len(), 1, "{name}");
        }
    }

    #[test]
    fn addresses_are_named_in_reverse() {
        assert_eq!(reverse_name("192.0.2.7".parse().unwrap()), "7.2.0.192.in-addr.arpa");
        let six = reverse_name("2001:db8::1".parse().unwrap());
        assert_eq!(six, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    }
}
