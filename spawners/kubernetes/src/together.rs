//! Asks for the claims of all who start at the same moment at once: for each such list an API server goes through all claims
//! of the namespace.

use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::PersistentVolumeClaim as Claim;
use kube::Api;
use kube::api::ListParams;
use tokio::sync::oneshot;

use crate::cluster::{Cluster, Fault};
use crate::label;

/// So many accounts are asked for with one request.
const TOGETHER: usize = 100;

/// Who waits to be asked for.
#[derive(Debug, Default)]
pub(crate) struct Together {
    waiting: Mutex<Vec<Waiting>>,
    /// Held while the API server is asked; meanwhile the next ones gather.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Waiting {
    namespace: String,
    account: String,
    answer: oneshot::Sender<Result<Vec<Claim>, Fault>>,
}

impl Together {
    /// The claims that an account of this hub's has in a namespace, as far as the API server remembers.
    pub async fn claims(
        &self,
        cluster: &Cluster,
        hub: &str,
        namespace: &str,
        account: &str,
    ) -> Result<Vec<Claim>, Fault> {
        let (answer, mut answered) = oneshot::channel();
        let waiting = Waiting { namespace: namespace.to_owned(), account: account.to_owned(), answer };
        self.lock().push(waiting);
        let _turn = self.turn.lock().await;
        // Whoever had the turn before has asked for this one too, unless its start was cut off.
        if let Ok(answer) = answered.try_recv() {
            return answer;
        }
        let others = self.take(namespace);
        let mut accounts: Vec<&str> = others.iter().map(|waiting| waiting.account.as_str()).collect();
        accounts.push(account);
        accounts.sort_unstable();
        accounts.dedup();
        let api: Api<Claim> = cluster.of(namespace).await.map_err(Fault::Unheard)?;
        let selector = label::selector_of_accounts(hub, &accounts);
        let parameters = ListParams::default().labels(&selector).match_any();
        let found = cluster.insist(|| api.list(&parameters)).await.map(|listed| listed.items);
        let of = |account: &str| match &found {
            Ok(claims) => Ok(claims.iter().filter(|claim| is_of(claim, account)).cloned().collect()),
            Err(fault) => Err(fault.told()),
        };
        for other in others {
            // Who waits no longer is no loss.
            let _ = other.answer.send(of(&other.account));
        }
        of(account)
    }

    /// Takes out those who wait for the same namespace, but no more than are asked for together.
    fn take(&self, namespace: &str) -> Vec<Waiting> {
        let mut waiting = self.lock();
        waiting.retain(|waiting| !waiting.answer.is_closed());
        let mut left = TOGETHER;
        let taken = |waiting: &mut Waiting| {
            let is_taken = left > 0 && waiting.namespace == namespace;
            left -= usize::from(is_taken);
            is_taken
        };
        waiting.extract_if(.., taken).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_of(claim: &Claim, account: &str) -> bool {
    claim.metadata.labels.as_ref().and_then(|labels| labels.get(label::USER)).is_some_and(|written| written == account)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::task::Poll;

    use fake_kubernetes::{Fake, Options};
    use futures_util::poll;
    use serde_json::json;
    use tempfile::NamedTempFile;

    use super::*;
    use crate::config::Config;

    /// Whoever asks for others too may be cut off.
    #[tokio::test]
    async fn whoever_is_left_by_the_one_who_asked_asks_again() {
        let fake = Fake::begin(Options::default()).await.unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(fake.kubeconfig("labs").to_string().as_bytes()).unwrap();
        let mut config = Config::new("mark");
        config.access.kubeconfig = Some(file.path().to_owned());
        for account in ["5-1", "5-2", "5-3"] {
            let labels = json!({ label::HUB: "mark", label::USER: account });
            let metadata = json!({ "name": format!("of-{account}"), "namespace": "labs", "labels": labels });
            fake.put("persistentvolumeclaims", json!({ "metadata": metadata }));
        }
        let (cluster, together) = (Cluster::new(&config), Together::default());
        let of = |account: &'static str| Box::pin(together.claims(&cluster, "mark", "labs", account));
        let (mut first, mut second, mut third) = (of("5-1"), of("5-2"), of("5-3"));
        assert!(matches!(poll!(&mut first), Poll::Pending), "it asks");
        assert!(matches!((poll!(&mut second), poll!(&mut third)), (Poll::Pending, Poll::Pending)), "they wait");
        drop(first);
        assert!(matches!(poll!(&mut second), Poll::Pending), "it asks for both");
        assert!(together.lock().is_empty());
        drop(second);
        let names: Vec<_> = third.await.unwrap().into_iter().filter_map(|claim| claim.metadata.name).collect();
        assert_eq!(names, ["of-5-3"], "of what is found only its own");
    }
}
