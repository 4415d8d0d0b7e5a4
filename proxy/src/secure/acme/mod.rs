//! Certificates from an ACME authority (RFC 8555), such as Let's Encrypt.
//!
//! The account and the last certificate are kept in a folder of the authority's own, or in a place that several proxies
//! share. Of those one orders at a time; all show what it is to show, and take up what it got. While the authority or that
//! place cannot be asked, or the authority refuses, the old certificate stays in use and the order is tried again, later
//! each time.

mod order;
mod proof;
mod store;
mod web;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::ensure;
use chrono::{DateTime, TimeDelta, Utc};
use instant_acme::ChallengeType;
use tokio::time::Instant;

use self::{
    proof::Proof,
    store::{CERTIFICATE, Kept, Store, Turn},
    web::Web,
};
use super::{
    identity::{self, Identity},
    keyring::Keyring,
    self_signed,
};
use crate::{options::Limits, reload::Follower, tls::Trust};

pub(super) use self::proof::Proofs;
pub use self::store::{Entries, Storage};

/// The longest wait between two looks at the clock: timers stand still while a machine sleeps.
const LOOK: Duration = Duration::from_secs(3600);
/// How long an order may take.
const ORDER: Duration = Duration::from_secs(300);
/// After so long a proxy that orders is taken for gone: a minute for clocks that differ.
const TURN: TimeDelta = TimeDelta::seconds(360);

/// From whom, for what, and how it is shown that the names are ours.
#[derive(Clone, Debug)]
pub struct AcmeOptions {
    /// The address of the authority's directory.
    pub directory: String,
    /// Host names, or addresses where the authority takes them. One certificate is for all of them.
    pub domains: Vec<String>,
    /// Where the authority may write to.
    pub email: Option<String>,
    /// Authorities (PEM) to believe when asking, beside those of this machine.
    pub ca_file: Option<PathBuf>,
    /// Where account and certificate are kept; with `shared` a copy of the certificate, for a start without it.
    pub folder: PathBuf,
    /// Where several proxies of these names keep account and certificate.
    pub shared: Option<Arc<dyn Storage>>,
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
    /// The authority's name, of letters, digits, `-`, `_` and `.`.
    fn authority(&self) -> String {
        let name = self.directory.trim_start_matches("https://").trim_end_matches('/');
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' };
        name.chars().map(plain).collect()
    }

    /// Each authority has a folder of its own, so that a trial with one leaves nothing behind for another.
    fn own_folder(&self) -> PathBuf {
        self.folder.join(self.authority())
    }

    /// The certificate of an earlier run, if it is for these names.
    fn at_hand(&self) -> Option<Identity> {
        match identity::read(&self.own_folder().join(CERTIFICATE)) {
            Ok(kept) => kept.filter(|kept| kept.is_for_all(&self.domains)),
            Err(problem) => {
                tracing::warn!(problem = format!("{problem:#}"), "the kept certificate is of no use");
                None
            }
        }
    }
}

/// The certificate of an earlier run if it is for these names, else one that only keeps the port answering.
pub(super) fn kept_or_stopgap(options: &AcmeOptions) -> anyhow::Result<Identity> {
    ensure!(!options.domains.is_empty(), "there is no name to ask a certificate for");
    match options.at_hand() {
        Some(kept) => Ok(kept),
        None => self_signed::stopgap(&options.domains),
    }
}

/// The certificate that proxies share, for one that has none yet. None, with a word in the log, if it cannot be had.
pub(super) async fn shared(options: &AcmeOptions) -> Option<Identity> {
    if options.shared.is_none() || options.at_hand().is_some() {
        return None;
    }
    match Store::new(options).load().await {
        Ok(kept) => {
            let pem = kept.certificate?;
            Identity::from_pem(&pem, &pem).ok().filter(|found| found.is_for_all(&options.domains))
        }
        Err(problem) => {
            tracing::warn!(problem = format!("{problem:#}"), "the certificate of all proxies cannot be had yet");
            None
        }
    }
}

/// Keeps the certificate current.
pub(super) struct Keeper {
    options: AcmeOptions,
    store: Store,
    /// What this proxy is called among those that share a store.
    name: String,
    keyring: Arc<Keyring>,
    proofs: Proofs,
    reload: Follower,
    limits: Limits,
    web: Web,
    current: Option<Identity>,
    /// What was found in the store last.
    seen: (Option<Vec<u8>>, Vec<Proof>),
    /// Whether the store could not be had when it was looked at last.
    cut_off: bool,
}

impl Keeper {
    pub(super) fn new(
        options: AcmeOptions,
        keyring: Arc<Keyring>,
        proofs: Proofs,
        reload: Follower,
        limits: &Limits,
    ) -> anyhow::Result<Self> {
        let mut name = [0; 16];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut name)
            .map_err(|_| anyhow::anyhow!("there is no randomness"))?;
        let web = Web { limits: limits.clone(), trust: Trust::new(options.ca_file.clone()) };
        Ok(Self {
            store: Store::new(&options),
            name: name.iter().map(|byte| format!("{byte:02x}")).collect(),
            current: options.at_hand(),
            options,
            keyring,
            proofs,
            reload,
            limits: limits.clone(),
            web,
            seen: Default::default(),
            cut_off: false,
        })
    }

    /// Orders when two thirds of the certificate's life are over, or there is none. After a refusal it waits twice as
    /// long each time; being told to reload ends the wait.
    pub(super) async fn run(mut self) {
        let mut told = false;
        loop {
            let looked = self.look(told).await;
            if self.cut_off != looked.is_err() {
                self.cut_off = looked.is_err();
                match &looked {
                    Ok(_) => tracing::info!("account and certificate can be had again"),
                    Err(problem) => tracing::warn!(
                        problem = format!("{problem:#}"),
                        "account and certificate cannot be had; what is shown stays in use"
                    ),
                }
            }
            let (often, seldom) = if self.store.is_shared() {
                (self.limits.acme_look, self.limits.acme_look)
            } else {
                (LOOK, self.limits.acme_retry)
            };
            let wait = looked.map_or(seldom, |wait| wait.min(often));
            told = tokio::time::timeout(wait, self.reload.told()).await.is_ok();
        }
    }

    /// Takes up what others did, and orders if it is time to and nobody else does. Returns when it is time for that.
    /// Errors: what is kept cannot be had.
    async fn look(&mut self, told: bool) -> anyhow::Result<Duration> {
        let mut kept = self.store.load().await?;
        self.take_up(&kept);
        let now = Utc::now();
        let mut due = self.current.as_ref().map_or(now, Identity::renew_at);
        if !told || !kept.turn.holder.is_empty() {
            due = due.max(kept.turn.until);
        }
        if let Ok(wait) = (due - now).to_std()
            && !wait.is_zero()
        {
            return Ok(wait);
        }
        kept.turn = Turn { holder: self.name.clone(), until: now + TURN, pause: kept.turn.pause, proofs: Vec::new() };
        if !self.store.save(&mut kept).await? {
            return Ok(self.limits.acme_look);
        }
        Ok(self.take_turn(&mut kept).await)
    }

    /// Orders, and lets others know when it is time to again. Returns how long that is.
    async fn take_turn(&mut self, kept: &mut Kept) -> Duration {
        let began = Instant::now();
        let ordered = tokio::time::timeout(ORDER, self.obtain(kept)).await;
        kept.turn.proofs.clear();
        self.show(&[]);
        let (turn, wait) = match ordered.unwrap_or_else(|_| Err(anyhow::anyhow!("not done within {ORDER:?}"))) {
            Ok(identity) => {
                let domains = self.options.domains.join(" ");
                tracing::info!(domains, ends = %identity.ends, took = ?began.elapsed(), "the authority gave a certificate");
                self.take_up(kept);
                // A life too short to wait for must not become a flood of orders.
                let wait = self.limits.acme_pause;
                (Turn { until: after(wait), ..Turn::default() }, wait)
            }
            Err(problem) => {
                let pause = Duration::try_from_secs_f64(kept.turn.pause * 2.0).unwrap_or_default();
                let next = pause.clamp(self.limits.acme_retry, self.limits.acme_retry_max);
                tracing::warn!(
                    problem = format!("{problem:#}"),
                    directory = self.options.directory,
                    ?next,
                    "no certificate from the authority; the old one stays in use"
                );
                (Turn { until: after(next), pause: next.as_secs_f64(), ..Turn::default() }, next)
            }
        };
        if let Err(problem) = self.change(kept, |kept| kept.turn.clone_from(&turn)).await {
            tracing::warn!(problem = format!("{problem:#}"), "nobody orders until this proxy's turn has run out");
        }
        wait
    }

    /// Shows the certificate in the store if it is newer than that in use, and what the authority looks for.
    fn take_up(&mut self, kept: &Kept) {
        if let Some(pem) = &kept.certificate
            && self.seen.0.as_ref() != Some(pem)
        {
            self.seen.0 = Some(pem.clone());
            match Identity::from_pem(pem, pem) {
                Ok(found) if !found.is_for_all(&self.options.domains) => {}
                Ok(found) if self.current.as_ref().is_some_and(|current| current.begins >= found.begins) => {}
                Ok(found) => self.adopt(found, pem),
                Err(problem) => {
                    tracing::warn!(problem = format!("{problem:#}"), "the kept certificate is of no use");
                }
            }
        }
        if kept.turn.proofs != self.seen.1 {
            self.show(&kept.turn.proofs);
        }
    }

    fn adopt(&mut self, identity: Identity, pem: &[u8]) {
        self.keyring.set(vec![identity.clone()]);
        self.current = Some(identity);
        if self.store.is_shared() {
            let file = self.options.own_folder().join(CERTIFICATE);
            if let Err(problem) = identity::write_private(&file, pem) {
                tracing::warn!(problem = format!("{problem:#}"), "no copy of the certificate is kept here");
            }
        }
    }

    /// Shows these proofs, and none of before.
    fn show(&mut self, proofs: &[Proof]) {
        self.seen.1 = proofs.to_vec();
        self.proofs.set(proofs);
        self.keyring.forget_proofs();
        for proof in proofs {
            match proof.certificate() {
                Ok((name, certificate)) => self.keyring.prove(&name, certificate),
                Err(problem) => tracing::warn!(problem = format!("{problem:#}"), name = proof.name, "no proof"),
            }
        }
    }

    /// Keeps a change. What others changed meanwhile stays, unless one of them has taken the turn.
    async fn change(&self, kept: &mut Kept, change: impl Fn(&mut Kept)) -> anyhow::Result<()> {
        loop {
            change(kept);
            if self.store.save(kept).await? {
                return Ok(());
            }
            *kept = self.store.load().await?;
            ensure!(kept.turn.holder == self.name, "another proxy orders by now");
        }
    }
}

fn after(wait: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(wait).ok().and_then(|wait| Utc::now().checked_add_signed(wait)).unwrap_or_default()
}
