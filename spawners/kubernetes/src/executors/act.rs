//! Makes what executors need before their server starts, and takes it away with it.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Pod as Object, ServiceAccount};
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use spawners::{Identity, Plan, Record, StartError, Unreachable};

use super::make::{self, EXECUTORS};
use super::{ExecutorNamespaces, Executors, Place};
use crate::driver::Parts;
use crate::label;
use crate::make::{Recipe, unclear};
use crate::pod::Pod;
use crate::refusal;

/// A namespace without a pod is left alone for so long: a start makes it first.
const BEGINNING: Duration = Duration::from_secs(600);
/// How often it is looked whether older executors have gone.
const SOON: Duration = Duration::from_millis(500);
/// How many seconds executors have to end, if the hub may say so.
const GRACE: u32 = 5;

impl Parts {
    /// Makes the namespace of this start with all that bounds it, and the account of the server. Cut off anywhere, it is
    /// gone through again.
    pub(crate) async fn prepare_executors(
        &self,
        recipe: &Recipe,
        plan: &Plan,
        record: &dyn Record,
    ) -> Result<(), StartError> {
        let (Some(place), Some(executors), Some(namespaces)) =
            (&recipe.executors, &recipe.shape.executors, &self.config.executor_namespaces)
        else {
            return Ok(());
        };
        self.furnish_place(recipe, plan, record, place, executors, namespaces).await
    }

    async fn furnish_place(
        &self,
        recipe: &Recipe,
        plan: &Plan,
        record: &dyn Record,
        place: &Place,
        executors: &Executors,
        namespaces: &ExecutorNamespaces,
    ) -> Result<(), StartError> {
        let server = &plan.identity;
        self.outlive_older_executors(server, record).await?;
        let space = make::space(namespaces, place, &recipe.namespace, server).map_err(unclear)?;
        self.make_place(&space, server).await?;
        // The bounds come before whom they bound.
        self.put(&make::quota(executors, place).map_err(unclear)?, "make a quota for executors").await?;
        self.put(&make::quota_of_critical(place).map_err(unclear)?, "make a quota for executors").await?;
        if let Some(policy) = make::policy(namespaces, &place.namespace, server).map_err(unclear)? {
            self.put(&policy, "make a network policy for executors").await?;
        }
        self.put(&make::secret(place, plan).map_err(unclear)?, "make the secret of executors").await?;
        let account = make::account(place, &recipe.namespace, server, &recipe.shape.common_labels);
        let account = account.map_err(unclear)?;
        if !self.put(&account, "make a service account").await? {
            self.check_account(&recipe.namespace, place, server).await?;
        }
        let binding = make::binding(namespaces, place, &recipe.namespace).map_err(unclear)?;
        self.put(&binding, "bind the role of executors").await.map(drop)
    }

    /// One that is there already is of the same start, or nobody's to use.
    async fn make_place(&self, wanted: &Namespace, server: &Identity) -> Result<(), StartError> {
        let api: Api<Namespace> = Api::all(self.cluster.client().await?);
        let parameters = PostParams::default();
        let fault = match self.cluster.insist(|| api.create(&parameters, wanted)).await {
            Ok(_) => return Ok(()),
            Err(fault) if fault.status() == Some(409) => fault,
            Err(fault) => return Err(refusal::of(fault, "make a namespace for executors")),
        };
        let name = wanted.metadata.name.as_deref().unwrap_or_default();
        let found = self.cluster.insist(|| api.get_opt(name)).await;
        let found = found.map_err(|fault| refusal::of(fault, "look at a namespace for executors"))?;
        let is_own = found.is_some_and(|found| {
            found.metadata.deletion_timestamp.is_none()
                && identity(&found)
                    .is_some_and(|identity| identity.marker() == server.marker() && !identity.is_anothers(server))
        });
        if is_own { Ok(()) } else { Err(refusal::of(fault, "make a namespace for executors")) }
    }

    /// The name of an account may be taken by something that is not the server's.
    async fn check_account(&self, namespace: &str, place: &Place, server: &Identity) -> Result<(), StartError> {
        let found: Option<ServiceAccount> = self
            .find_within(namespace, &place.account)
            .await
            .map_err(|fault| refusal::of(fault, "look at a service account"))?;
        let labels = found.and_then(|found| found.metadata.labels).unwrap_or_default();
        if label::of_owner(server).iter().all(|(name, value)| labels.get(name) == Some(value)) {
            return Ok(());
        }
        tracing::error!(account = place.account, namespace, "the service account is not this server's");
        Err(StartError::refused(
            "name_taken",
            "There is another service account with the name of this server's in the cluster. Ask the people who run this hub.",
        ))
    }

    /// Makes something; `false` when it is there.
    async fn put<K>(&self, wanted: &K, doing: &str) -> Result<bool, StartError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug,
        K: Serialize + DeserializeOwned,
    {
        let namespace = wanted.meta().namespace.as_deref().unwrap_or_default();
        let api: Api<K> = self.cluster.of(namespace).await?;
        let parameters = PostParams::default();
        match self.within(namespace, || api.create(&parameters, wanted)).await {
            Ok(_) => Ok(true),
            Err(fault) if fault.status() == Some(409) => Ok(false),
            Err(fault) => Err(refusal::of(fault, doing)),
        }
    }

    /// Takes the executors of a start away, or of all starts of a server, with all that was made for them.
    pub(crate) async fn clear_executors(&self, server: &Identity, every_start: bool) -> Result<(), Unreachable> {
        if self.config.executor_namespaces.is_none() {
            return Ok(());
        }
        for space in self.places(&label::selector_of(&server.marker())).await? {
            let is_of = |identity: Identity| identity.generation == server.generation;
            if every_start || identity(&space).is_some_and(is_of) {
                self.remove_place(&space).await?;
            }
        }
        Ok(())
    }

    /// Takes away what older starts of a server have left, and waits until it has gone: the bounds of each are its own, so
    /// with both a server would have more than its quota. The deadline of the start ends the wait.
    async fn outlive_older_executors(&self, server: &Identity, record: &dyn Record) -> Result<(), StartError> {
        let mut is_told = false;
        loop {
            let mut older = self.places(&label::selector_of(&server.marker())).await?;
            older.retain(|space| {
                identity(space).is_some_and(|other| other.generation < server.generation || other.is_anothers(server))
            });
            if older.is_empty() {
                return Ok(());
            }
            for space in &older {
                self.remove_place(space).await?;
            }
            if !is_told {
                record.progress(10, "Waiting for the executors of the last start to end").await;
                is_told = true;
            }
            tokio::time::sleep(SOON).await;
        }
    }

    /// Takes away the account of a server that is deleted for good.
    pub(crate) async fn forget_account(&self, server: &Identity) -> Result<(), Unreachable> {
        if self.config.executor_namespaces.is_none() {
            return Ok(());
        }
        let hub_namespace = self.cluster.namespace().await?;
        let Some(namespace) = crate::make::space_of(&self.config, server, hub_namespace) else { return Ok(()) };
        let api: Api<ServiceAccount> = self.cluster.of(&namespace).await?;
        let selector = format!("{},{EXECUTORS}", label::selector_of(&server.marker()));
        let parameters = ListParams::default().labels(&selector);
        let listed = match self.within(&namespace, || api.list(&parameters)).await {
            Ok(listed) => listed,
            Err(fault) if fault.status() == Some(404) => return Ok(()),
            Err(fault) => return Err(fault.unreachable()),
        };
        let gone = DeleteParams::default();
        for name in listed.items.iter().filter_map(|account| account.metadata.name.as_deref()) {
            let deleted = self.within(&namespace, || api.delete(name, &gone)).await;
            deleted.map(drop).or_else(|fault| match fault.status() {
                Some(404) => Ok(()),
                _ => Err(fault.unreachable()),
            })?;
        }
        Ok(())
    }

    /// Takes away what no server is there for any more: it went without the hub. `pods` are all that there are where this
    /// driver looks; executors of servers elsewhere, such as those of another site in the same cluster, are not its to judge.
    pub(crate) async fn sweep_executors(&self, pods: &[Arc<Pod>]) -> Result<(), Unreachable> {
        if self.config.executor_namespaces.is_none() {
            return Ok(());
        }
        let now = k8s_openapi::jiff::Timestamp::now();
        let own = self.cluster.namespace().await?;
        for space in self.places(&label::selector(&self.config.hub)).await? {
            let Some(identity) = identity(&space) else { continue };
            let made = space.metadata.creation_timestamp.as_ref();
            let age = made.and_then(|made| Duration::try_from(now.duration_since(made.0)).ok()).unwrap_or_default();
            let labs = space.metadata.annotations.as_ref().and_then(|annotations| annotations.get(make::LABS));
            let is_seen = labs.is_some_and(|labs| self.config.enable_user_namespaces || labs == own);
            if !is_seen || age < BEGINNING || pods.iter().any(|pod| pod.is_of(&identity)) {
                continue;
            }
            // The watch may be late.
            if !self.family(&identity).await?.iter().any(|pod| pod.is_of(&identity)) {
                tracing::warn!(namespace = space.metadata.name, "executors without their server are removed");
                self.remove_place(&space).await?;
            }
        }
        Ok(())
    }

    /// The namespaces for executors that a selector leads to.
    async fn places(&self, selector: &str) -> Result<Vec<Namespace>, Unreachable> {
        let api: Api<Namespace> = Api::all(self.cluster.client().await?);
        let parameters = ListParams::default().labels(&format!("{selector},{EXECUTORS}"));
        let listed = self.cluster.insist(|| api.list(&parameters)).await.map_err(|fault| fault.unreachable())?;
        let name = |space: &Namespace| space.metadata.name.clone().unwrap_or_default();
        Ok(listed.items.into_iter().filter(|space| super::is_namespace(&name(space))).collect())
    }

    /// Ends the pods in a namespace soon, if the hub may. Otherwise they have the time that they give themselves.
    async fn hurry_pods(&self, namespace: &str) -> Result<(), Unreachable> {
        if self.config.executor_namespaces.as_ref().is_none_or(|namespaces| namespaces.hub_user.is_none()) {
            return Ok(());
        }
        let api: Api<Object> = self.cluster.of(namespace).await?;
        let (soon, all) = (DeleteParams::default().grace_period(GRACE), ListParams::default());
        if let Err(fault) = self.cluster.insist(|| api.delete_collection(&soon, &all)).await {
            tracing::warn!(namespace, "executors end in their own time: {}", fault.unreachable());
        }
        Ok(())
    }

    /// Deletes this very namespace, with all that is in it.
    async fn remove_place(&self, space: &Namespace) -> Result<(), Unreachable> {
        if space.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        let api: Api<Namespace> = Api::all(self.cluster.client().await?);
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: space.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        let name = space.metadata.name.as_deref().unwrap_or_default();
        self.hurry_pods(name).await?;
        match self.cluster.insist(|| api.delete(name, &parameters)).await {
            Ok(_) => Ok(()),
            Err(fault) if matches!(fault.status(), Some(404 | 409)) => Ok(()),
            Err(fault) => Err(fault.unreachable()),
        }
    }
}

/// Whose executors are in a namespace.
fn identity(space: &Namespace) -> Option<Identity> {
    label::identity(space.metadata.labels.as_ref(), space.metadata.annotations.as_ref())
}
