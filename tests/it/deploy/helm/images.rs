//! Images that are fetched beforehand.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::need;

use super::helm;

#[test]
fn images_are_fetched_beforehand_in_the_order_of_their_use() -> Result<()> {
    let helm = helm!();
    let rendered = helm.render(&["everything"], &[])?;
    for puller in ["lab-hook-image-puller", "lab-continuous-image-puller"] {
        let pod = rendered.get("DaemonSet", puller)?;
        let containers =
            pod.pointer("/spec/template/spec/containers").and_then(Value::as_array).context("containers")?;
        let images: Vec<&str> = containers.iter().filter_map(|one| one["image"].as_str()).collect();
        let expected = ["iptables:1", "lab:3", "one:1", "base:1", "large:2", "more:1"];
        assert_eq!(images, expected.map(|image| format!("registry.example.org/{image}")), "{puller}");
        assert_eq!(pod.pointer("/spec/template/spec/nodeSelector"), Some(&json!({"pool": "labs"})));
    }
    let job = rendered.get("Job", "lab-hook-image-awaiter")?;
    let arguments = job.pointer("/spec/template/spec/containers/0/args").context("arguments")?;
    assert_eq!(arguments, &json!(["await-images", "--daemon-set=lab-hook-image-puller", "--timeout=600"]));
    // They come before the release, one after the other: what is waited for before who waits.
    let weight = |kind: &str, called: &str| -> Result<i64> {
        let annotations = &rendered.get(kind, called)?["metadata"]["annotations"];
        ensure!(annotations["helm.sh/hook"] == "pre-install,pre-upgrade", "{annotations}");
        Ok(annotations["helm.sh/hook-weight"].as_str().context("a weight")?.parse()?)
    };
    let secret = weight("Secret", "lab-image-pull-secret")?;
    let (puller, role) = (weight("DaemonSet", "lab-hook-image-puller")?, weight("Role", "lab-hook-image-awaiter")?);
    ensure!(secret < puller && puller < role && role < weight("Job", "lab-hook-image-awaiter")?);
    let without = helm.render(&["everything"], &["--set", "prePuller.pullProfileListImages=false"])?;
    let few = without.get("DaemonSet", "lab-continuous-image-puller")?;
    let few = few.pointer("/spec/template/spec/containers").and_then(Value::as_array).context("containers")?;
    assert_eq!(few.len(), 3);
    Ok(())
}
