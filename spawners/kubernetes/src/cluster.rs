//! The API server: one client, made when it is first needed, with a limit on every request.

use std::future::Future;
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::{Api, Client, Resource};
use spawners::Unreachable;
use tokio::sync::OnceCell;

use crate::config::{Access, Config};
use crate::ear::{Ear, Heard};

/// The pauses before a request is tried again grow from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// So many objects are listed with one request.
const PAGE: u32 = 500;

/// What became of a request that did not succeed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The API server said no.
    Said(Box<Status>),
    /// It could not be asked, or failed.
    Unheard(Unreachable),
}

impl Fault {
    /// The status that was answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Said(said) => Some(said.code),
            Self::Unheard(_) => None,
        }
    }

    /// The same for somebody else who waits for the answer.
    pub fn told(&self) -> Self {
        match self {
            Self::Said(said) => Self::Said(said.clone()),
            Self::Unheard(unreachable) => Self::Unheard(Unreachable::new(anyhow::anyhow!("{:#}", unreachable.0))),
        }
    }

    /// For where a no says nothing about servers.
    pub fn unreachable(self) -> Unreachable {
        match self {
            Self::Said(said) => Unreachable::new(anyhow::anyhow!("{}: {}", said.code, said.message)),
            Self::Unheard(unreachable) => unreachable,
        }
    }
}

/// The API server.
#[derive(Debug)]
pub(crate) struct Cluster {
    access: Access,
    namespace: Option<String>,
    request: Duration,
    retry: Duration,
    /// No answer may be silent for longer: a watch is begun anew before that.
    silence: Duration,
    connected: OnceCell<Connected>,
    /// When the watch of pods was answered last.
    pub heard: Heard,
}

struct Connected {
    client: Client,
    namespace: String,
}

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connected").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Cluster {
    pub fn new(config: &Config) -> Self {
        Self {
            access: config.access.clone(),
            namespace: config.namespace.clone(),
            request: config.request_timeout,
            retry: config.retry_timeout,
            silence: config.watch_timeout.mul_f64(1.5).max(config.request_timeout),
            connected: OnceCell::new(),
            heard: Heard::default(),
        }
    }

    async fn connected(&self) -> Result<&Connected, Unreachable> {
        self.connected.get_or_try_init(|| self.connect()).await.map_err(Unreachable)
    }

    async fn connect(&self) -> anyhow::Result<Connected> {
        let access = &self.access;
        let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
        let found = match &access.kubeconfig {
            Some(file) => {
                let written = Kubeconfig::read_from(file)?;
                kube::Config::from_custom_kubeconfig(written, &options).await.map_err(anyhow::Error::from)
            }
            None if access.context.is_some() => {
                kube::Config::from_kubeconfig(&options).await.map_err(anyhow::Error::from)
            }
            None => kube::Config::infer().await.map_err(anyhow::Error::from),
        };
        let host = access.host.as_deref().map(str::parse::<http::Uri>).transpose()?;
        let mut config = match (found, host) {
            (Ok(config), None) => config,
            (Ok(mut config), Some(host)) => {
                config.cluster_url = host;
                config
            }
            (Err(_), Some(host)) if access.kubeconfig.is_none() => kube::Config::new(host),
            (Err(error), _) => return Err(error),
        };
        if access.ca_cert.is_some() {
            config.root_cert = None;
            config.root_cert_file.clone_from(&access.ca_cert);
        }
        config.accept_invalid_certs |= !access.verify;
        config.connect_timeout = Some(self.request);
        // Watches are long, and one that is never answered ends too. Requests have their limit here, and are tried again here.
        config.read_timeout = Some(self.silence);
        config.default_retry = false;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config)?;
        let client = Client::new(Ear { client, heard: self.heard.clone() }, namespace.clone());
        Ok(Connected { client, namespace })
    }

    pub async fn client(&self) -> Result<Client, Unreachable> {
        Ok(self.connected().await?.client.clone())
    }

    /// The client and the usual namespace, as soon as there are any.
    pub async fn in_time(&self) -> (Client, String) {
        let mut pause = PAUSES.0;
        loop {
            match self.connected().await {
                Ok(connected) => return (connected.client.clone(), connected.namespace.clone()),
                Err(error) => tracing::warn!("{error}"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Where the hub makes servers, unless people have namespaces of their own.
    pub async fn namespace(&self) -> Result<&str, Unreachable> {
        Ok(&self.connected().await?.namespace)
    }

    /// The objects of a kind in a namespace.
    pub async fn of<K>(&self, namespace: &str) -> Result<Api<K>, Unreachable>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Ok(Api::namespaced(self.client().await?, namespace))
    }

    /// Asks once, within the limit of a request.
    pub async fn ask<T, F>(&self, request: F) -> Result<T, Fault>
    where
        F: Future<Output = kube::Result<T>>,
    {
        match tokio::time::timeout(self.request, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(fault(error)),
            Err(_) => {
                let what = anyhow::anyhow!("no answer within {:?}", self.request);
                Err(Fault::Unheard(Unreachable(what)))
            }
        }
    }

    /// Asks once for a change that counts for one version of an object; None when it has another by now.
    pub async fn unless_late<T, F>(&self, request: F) -> Result<Option<T>, Unreachable>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let late = |error: &kube::Error| matches!(error, kube::Error::Api(said) if said.code == 409);
        match tokio::time::timeout(self.request, request).await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(error)) if late(&error) => Ok(None),
            Ok(Err(error)) => Err(Unreachable::new(error)),
            Err(_) => Err(Unreachable(anyhow::anyhow!("no answer within {:?}", self.request))),
        }
    }

    /// Asks again while the API server fails, is too busy or is not there, for as long as requests are tried again. What
    /// is asked for has to be harmless when it is done twice.
    pub async fn insist<T, F, R>(&self, mut request: R) -> Result<T, Fault>
    where
        R: FnMut() -> F,
        F: Future<Output = kube::Result<T>>,
    {
        let begun = Instant::now();
        let mut pause = PAUSES.0;
        loop {
            let fault = match self.ask(request()).await {
                Ok(answer) => return Ok(answer),
                Err(fault @ Fault::Said(_)) => return Err(fault),
                Err(fault) => fault,
            };
            if begun.elapsed() + pause >= self.retry {
                return Err(fault);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Lists all there is, a page at a time.
    pub async fn list<K>(&self, api: &Api<K>) -> Result<Vec<K>, Fault>
    where
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        let mut parameters = ListParams::default().limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = self.insist(|| api.list(&parameters)).await?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => parameters = parameters.continue_token(&next),
                None => return Ok(all),
            }
        }
    }

    /// Looks something up that may not be there.
    pub async fn find<K>(&self, namespace: &str, name: &str) -> Result<Option<K>, Fault>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug,
        K: serde::de::DeserializeOwned,
    {
        let api: Api<K> = self.of(namespace).await.map_err(Fault::Unheard)?;
        self.ask(api.get_opt(name)).await
    }
}

/// What an error says. Only a plain no is an answer: a server that is too busy, fails, or does not know the hub any more
/// has said nothing.
fn fault(error: kube::Error) -> Fault {
    match error {
        kube::Error::Api(said)
            if (400..500).contains(&said.code) && !matches!(said.code, 401 | 408 | 429) && !was_too_late(&said) =>
        {
            Fault::Said(said)
        }
        error => Fault::Unheard(Unreachable::new(error)),
    }
}

/// Whether something that a request leads to, such as what a quota counts, was changed by another at the same moment.
fn was_too_late(said: &Status) -> bool {
    said.code == 409 && said.reason == "Conflict" && said.message.contains("the object has been modified")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_no_is_an_answer() {
        let said = |code| kube::Error::Api(Box::new(Status { code, ..Status::default() }));
        for code in [400, 403, 404, 409, 422] {
            assert_eq!(fault(said(code)).status(), Some(code));
        }
        for code in [0, 401, 408, 429, 500, 503, 504] {
            assert_eq!(fault(said(code)).status(), None, "{code}");
        }
    }

    #[test]
    fn a_quota_that_many_count_at_once_is_no_answer_and_another_object_is() {
        let said = |message: &str| {
            let (reason, message) = ("Conflict".to_owned(), message.to_owned());
            fault(kube::Error::Api(Box::new(Status { code: 409, reason, message, ..Status::default() }))).status()
        };
        let late = "Operation cannot be fulfilled on resourcequotas \"q\": the object has been modified; please apply your \
                    changes to the latest version and try again";
        assert_eq!(said(late), None);
        let other = "Operation cannot be fulfilled on pods \"a\": Precondition failed: UID in precondition: 1, UID in object \
                     meta: 2";
        assert_eq!(said(other), Some(409), "a pod of the same name is not deleted");
    }
}
