//! One order: an account, proofs, and the certificate that comes of it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use instant_acme::{Account, AuthorizationStatus, Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::{
    Keeper,
    proof::{Proof, identifier},
    store::Kept,
};
use crate::secure::identity::Identity;

/// How long an authority may take to look for proofs, and to sign.
const PATIENCE: Duration = Duration::from_secs(120);

impl Keeper {
    /// A new certificate, which is kept by then.
    pub(super) async fn obtain(&mut self, kept: &mut Kept) -> anyhow::Result<Identity> {
        let account = self.account(kept).await?;
        let names: Vec<Identifier> = self.options.domains.iter().map(|name| identifier(name)).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await.context("the order")?;
        self.prove(&mut order, kept).await?;
        let patience = RetryPolicy::new().timeout(PATIENCE);
        match order.poll_ready(&patience).await.context("waiting for the authority to look")? {
            OrderStatus::Ready | OrderStatus::Valid => {}
            status => {
                let why = why(&mut order).await;
                bail!("the authority does not find that the names are ours ({status:?}): {why}");
            }
        }
        let domains = &self.options.domains;
        let key = KeyPair::generate()?;
        let mut wanted = CertificateParams::new(domains.as_slice())?;
        wanted.distinguished_name = DistinguishedName::new();
        let request = wanted.serialize_request(&key)?;
        order.finalize_csr(request.der()).await.context("asking for the signature")?;
        let chain = order.poll_certificate(&patience).await.context("waiting for the certificate")?;
        let key = key.serialize_pem();
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).context("what the authority gave")?;
        ensure!(identity.is_for_all(domains), "the authority gave a certificate for other names");
        // Kept before it is used, so that what people see after a restart is never older.
        let pem = format!("{key}{chain}").into_bytes();
        self.insist(kept, |kept| kept.certificate = Some(pem.clone())).await?;
        Ok(identity)
    }

    /// Lays out what the authority looks for, and tells it to look.
    async fn prove(&mut self, order: &mut Order, kept: &mut Kept) -> anyhow::Result<()> {
        let challenge = self.options.challenge;
        let mut proofs = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.context("what the authority wants to see")?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => bail!("the authority's question is {status:?} already"),
            }
            let asked = authorization
                .challenge(challenge.kind())
                .with_context(|| format!("the authority does not offer {}", challenge.name()))?;
            let name = match asked.identifier().identifier {
                Identifier::Dns(name) => name.clone(),
                Identifier::Ip(address) => address.to_string(),
                other => bail!("the authority asks for {other:?}"),
            };
            let authorization = asked.key_authorization().as_str().to_owned();
            proofs.push(Proof { name, token: asked.token.clone(), authorization });
        }
        if proofs.is_empty() {
            return Ok(());
        }
        self.show(&proofs);
        self.change(kept, |kept| kept.turn.proofs.clone_from(&proofs)).await?;
        if self.store.is_shared() {
            // The authority may come to any proxy: each has looked by then.
            tokio::time::sleep(self.limits.acme_look * 2).await;
        }
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.context("what the authority wants to see")?;
            if authorization.status == AuthorizationStatus::Pending
                && let Some(mut asked) = authorization.challenge(challenge.kind())
            {
                asked.set_ready().await.context("telling the authority to look")?;
            }
        }
        Ok(())
    }

    /// The account of an earlier run, else a new one.
    async fn account(&self, kept: &mut Kept) -> anyhow::Result<Account> {
        let options = &self.options;
        let builder = Account::builder_with_http(Box::new(self.web.clone()));
        if let Some(account) = &kept.account {
            let credentials = serde_json::from_slice(account);
            let credentials = credentials.context("what is kept is no account; remove it for a new one")?;
            return builder.from_credentials(credentials).await.context("the authority is not reached");
        }
        let contact = options.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) =
            builder.create(&new, options.directory.clone(), None).await.context("a new account at the authority")?;
        let credentials = serde_json::to_vec(&credentials)?;
        self.insist(kept, |kept| kept.account = Some(credentials.clone())).await?;
        Ok(account)
    }

    /// Keeps what the authority would not give again for nothing: as long as the turn lasts, also if the place cannot be had
    /// at once.
    async fn insist(&self, kept: &mut Kept, change: impl Fn(&mut Kept)) -> anyhow::Result<()> {
        loop {
            match self.change(kept, &change).await {
                Err(problem) if self.store.is_shared() && kept.turn.holder == self.name => {
                    tracing::warn!(problem = format!("{problem:#}"), "what the authority gave cannot be kept yet");
                    tokio::time::sleep(self.limits.acme_look).await;
                }
                done => return done,
            }
        }
    }
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
