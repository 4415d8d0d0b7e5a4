//! What a scheduler says of a pod that no machine takes, in the words of Kubernetes 1.20 and of later ones: pure functions.

/// The clauses of a scheduler's message, such as `2 node(s) didn't match node selector`.
fn clauses(message: &str) -> Vec<&str> {
    let said = message.split_once("available: ").map_or("", |(_, said)| said);
    // What comes after them is about preemption, and since Kubernetes 1.34 about claims of devices.
    let said = said.split(". ").next().unwrap_or_default();
    let mut clauses: Vec<&str> = Vec::new();
    let mut rest = said.trim_end_matches('.');
    while !rest.is_empty() {
        // A clause begins with a number; there may be commas in it.
        let end = rest
            .match_indices(", ")
            .map(|(at, _)| at)
            .find(|at| rest.get(at + 2..).is_some_and(|next| next.starts_with(|first: char| first.is_ascii_digit())));
        let (clause, next) = match end {
            Some(at) => (rest.get(..at), rest.get(at + 2..)),
            None => (Some(rest), None),
        };
        clauses.extend(clause);
        rest = next.unwrap_or_default();
    }
    clauses
}

/// Whether it is for what machines are, and not for what they have left, that none will do.
pub(super) fn cannot_change(message: &str) -> bool {
    let clauses = clauses(message);
    let fixed = |clause: &&str| {
        clause.contains("didn't match node selector")
            || clause.contains("didn't match Pod's node affinity")
            || clause.contains("didn't match node affinity")
            || taint(clause).is_some_and(|taint| !passes(taint))
    };
    !clauses.is_empty() && clauses.iter().all(fixed)
}

/// The key of the taint that a clause is about, if it names one: Kubernetes 1.20 has `{key: value}, that the pod didn't
/// tolerate`, later ones `untolerated taint {key: value}`.
fn taint(clause: &str) -> Option<&str> {
    let (_, written) = clause.split_once(" taint {")?;
    Some(written.split([':', '}']).next().unwrap_or_default().trim())
}

/// Whether a taint comes and goes by itself: with the state of a machine, while it is set up, or before it is removed.
fn passes(taint: &str) -> bool {
    const OF_STATE: [&str; 5] = [
        "node.kubernetes.io/",
        "node.cloudprovider.kubernetes.io/",
        "karpenter.sh/",
        "ToBeDeletedByClusterAutoscaler",
        "DeletionCandidateOfClusterAutoscaler",
    ];
    OF_STATE.iter().any(|beginning| taint.starts_with(beginning))
        || ["not-ready", "uninitialized", "startup"].iter().any(|word| taint.contains(word))
}

/// What there is too little of.
pub(super) fn scarce(message: &str) -> Vec<&str> {
    let mut scarce: Vec<&str> = clauses(message)
        .into_iter()
        .filter_map(|clause| clause.split_once("Insufficient ").map(|(_, what)| what.trim_end_matches(['.', ' '])))
        .collect();
    scarce.dedup();
    scarce
}
