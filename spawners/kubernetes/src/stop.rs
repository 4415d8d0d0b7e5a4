//! Ends a server, a step a call: asked to end, and killed when that is wanted.

use k8s_openapi::api::core::v1::Pod as Object;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use spawners::Unreachable;

use crate::driver::Parts;
use crate::pod::{Doing, Pod};

impl Parts {
    /// The step that is due for one pod. The cluster gives it its time, and kills it after that.
    pub(crate) async fn end(&self, pod: &Pod, force: bool) -> Result<(), Unreachable> {
        match pod.doing() {
            _ if force => self.kill(pod).await,
            Doing::Leaving => Ok(()),
            Doing::Ended => self.kill(pod).await,
            Doing::Coming | Doing::Running | Doing::Unknown => {
                let grace = u32::try_from(self.config.delete_grace_period.as_secs()).unwrap_or(u32::MAX);
                self.delete(pod, grace).await
            }
        }
    }

    /// Takes a pod away without giving it time.
    pub(crate) async fn kill(&self, pod: &Pod) -> Result<(), Unreachable> {
        self.delete(pod, 0).await
    }

    /// Deletes this very pod, and none that has its name by now.
    async fn delete(&self, pod: &Pod, grace: u32) -> Result<(), Unreachable> {
        let api: Api<Object> = self.cluster.of(pod.namespace()).await?;
        let parameters = DeleteParams {
            grace_period_seconds: Some(grace),
            preconditions: Some(Preconditions { uid: Some(pod.uid().to_owned()), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.within(pod.namespace(), || api.delete(pod.name(), &parameters)).await {
            Ok(_) => Ok(()),
            // It has gone meanwhile.
            Err(fault) if matches!(fault.status(), Some(404 | 409)) => Ok(()),
            Err(fault) => Err(fault.unreachable()),
        }
    }
}
