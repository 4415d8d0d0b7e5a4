//! What differs on purpose, each with the reason. What differs no more has to be taken out.

use serde_json::Value;

use super::compare::Difference;

/// What a difference has to be, to be the one that is meant.
#[derive(Clone, Copy)]
enum Kind {
    /// Only here.
    Ours,
    /// Only with KubeSpawner.
    Theirs,
    /// One writes an empty value, and the other nothing.
    Empty,
    /// The same amount, written as a number or as a text.
    Amount,
    /// Both have it, each its own.
    Each,
    /// KubeSpawner's text, and ours.
    Instead(&'static str, &'static str),
}
use Kind::{Amount, Each, Empty, Instead, Ours, Theirs};

/// A difference that is meant.
pub(super) struct Purpose {
    /// Where it is; `*` stands for anything.
    pub path: &'static str,
    kind: Kind,
    /// Why it is so.
    pub why: &'static str,
}

const fn of(path: &'static str, kind: Kind, why: &'static str) -> Purpose {
    Purpose { path, kind, why }
}

pub(super) const ON_PURPOSE: &[Purpose] = &[
    // What both mean the same by.
    of("*/pod/spec/containers/notebook/resources/*", Amount, "amounts are texts"),
    of("*/pod/spec/containers/notebook/lifecycle", Empty, "nothing is said by either"),
    of("*/pod/spec/nodeSelector", Empty, "nothing is said by either"),
    of("*/pod/spec/initContainers", Empty, "nothing is said by either"),
    of("*/pod/spec/affinity", Empty, "nothing is said by either"),
    of("*/pod/spec/tolerations", Empty, "nothing is said by either"),
    of("*/pod/spec/securityContext", Empty, "nothing is said by either"),
    of("*/service/apiVersion", Ours, "a service is of v1"),
    of("*/space/apiVersion", Ours, "a namespace is of v1"),
    of("*/space/kind", Ours, "a namespace is one"),
    of("*/secret/type", Ours, "the default"),
    of("*/ownerReferences/*/controller", Theirs, "the default"),
    // Whose something is.
    of("*/labels/specola.*", Ours, "tells whose it is"),
    of("*/annotations/specola.*", Ours, "tells any hub how the server is reached"),
    of("*/service/metadata/labels/hub.jupyter.org/servername", Ours, "tells whose it is"),
    of("*/secret/metadata/labels/hub.jupyter.org/servername", Ours, "tells whose it is"),
    of("*/space/metadata/annotations/hub.jupyter.org/username", Ours, "a namespace is only taken by whose it is"),
    of("*/metadata/annotations/hub.jupyter.org/*-version", Theirs, "starts are told apart by specola.generation"),
    of("*/labels/app.kubernetes.io/managed-by", Instead("kubespawner", "specola"), "who made it"),
    of(
        "names-that-cannot-be-changed/pod/metadata/*/hub.jupyter.org/username",
        Instead("x", "anna"),
        "whose it is cannot be said otherwise",
    ),
    of("*/state/kubespawner_version", Each, "the version whose ways are followed, whichever was asked"),
    // The life of a server.
    of("*/pod/spec/terminationGracePeriodSeconds", Ours, "a server has the same time to end, whoever removes it"),
    of(
        "*/pod/spec/restartPolicy",
        Instead("OnFailure", "Never"),
        "whose server ended is told why, and starts it again with a new token",
    ),
    of("*/service/spec/selector/specola.*", Ours, "a service leads to the pod of one start"),
    of("*/service/spec/selector/*", Theirs, "a service leads to the pod of one start"),
    of(
        "*/service/metadata/ownerReferences/*/blockOwnerDeletion",
        Theirs,
        "needs rights to finalizers in some clusters",
    ),
    of(
        "internal-ssl/secret/metadata/ownerReferences",
        Theirs,
        "the secret is there first, and the pod's once there is one",
    ),
    // What is not safe, or does not work.
    of(
        "internal-ssl/pod/spec/volumes/jupyterhub-internal-certs/secret/defaultMode",
        Theirs,
        "a key is not for everybody to write and run",
    ),
    of(
        "internal-ssl/pod/spec/containers/notebook/volumeMounts/jupyterhub-internal-certs/readOnly",
        Ours,
        "as every secret is",
    ),
    of(
        "privileged/pod/spec/containers/notebook/securityContext/allowPrivilegeEscalation",
        Theirs,
        "Kubernetes refuses both together",
    ),
    of(
        "references-in-command/pod/spec/containers/notebook/args/2",
        Instead("exec lab --at $(WHERE) $HOME", "exec lab --at $$(WHERE) $$HOME"),
        "words of a command are words, as with every driver",
    ),
    of(
        "references-to-what-is-not-there/pod/spec/containers/notebook/env/order/*",
        Each,
        "what is not there is not waited for",
    ),
    of(
        "*/claim/metadata/annotations/volume.beta.kubernetes.io/storage-class",
        Theirs,
        "storageClassName says it since Kubernetes 1.6",
    ),
    of(
        "chosen-lists-and-tables/pod/spec/containers/notebook/securityContext",
        Ours,
        "null is as if nothing was written, and then a server gains no rights",
    ),
    // What a server needs is added to, and taken from nobody.
    of("more-of-the-container/pod/spec/containers/notebook/env/*", Ours, "a server needs its own too"),
    of("more-of-the-container/pod/spec/containers/notebook/volumeMounts/a", Ours, "others may be added"),
    of("more-of-the-container/pod/spec/volumes/a", Ours, "others may be added"),
    of(
        "more-of-the-container/pod/spec/containers/notebook/command/1",
        Instead("{username}", "anna"),
        "templates are filled in there too",
    ),
];

impl Purpose {
    pub fn is_of(&self, difference: &Difference) -> bool {
        let Difference { path, theirs, ours } = difference;
        let is_kind = match (self.kind, theirs, ours) {
            (Ours, None, Some(_)) | (Theirs, Some(_), None) | (Each, Some(_), Some(_)) => true,
            (Empty, Some(only), None) | (Empty, None, Some(only)) => is_empty(only),
            (Instead(of_theirs, own), Some(theirs), Some(ours)) => theirs == of_theirs && ours == own,
            (Amount, Some(theirs), Some(ours)) => amount(theirs).is_some() && amount(theirs) == amount(ours),
            _ => false,
        };
        is_kind && matches(self.path, path)
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(|table| table.is_empty()) || value.as_array().is_some_and(Vec::is_empty)
}

/// Thousandths.
fn amount(value: &Value) -> Option<i64> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (number, factor) = text.strip_suffix('m').map_or((text.as_str(), 1000.0), |number| (number, 1.0));
    number.parse::<f64>().ok().map(|number| (number * factor).round() as i64)
}

fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((before, after)) => path.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(after, &rest[at..]))
        }),
    }
}
