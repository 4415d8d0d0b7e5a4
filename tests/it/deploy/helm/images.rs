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
        let ours = images.iter().filter(|image| **image != "busybox:1").collect::<Vec<_>>();
        let expected = ["iptables:1", "lab:3", "one:1", "base:1", "large:2", "more:1"];
        assert_eq!(ours, expected.map(|image| format!("registry.example.org/{image}")).each_ref(), "{puller}");
        assert_eq!(images[1], "busybox:1", "what runs before a server: {images:?}");
        assert_eq!(pod.pointer("/spec/template/spec/nodeSelector"), Some(&json!({"pool": "labs"})));
    }
    // Whatever place an image has, its container is called the same: what the hub says later is merged with this by name.
    let named = |puller: &str| -> Result<Vec<String>> {
        let set = rendered.get("DaemonSet", puller)?;
        let containers =
            set.pointer("/spec/template/spec/containers").and_then(Value::as_array).context("containers")?;
        Ok(containers.iter().map(|one| format!("{} {}", one["name"], one["image"])).collect())
    };
    let names = named("lab-continuous-image-puller")?;
    ensure!(names.contains(&r#""image-765f8750" "busybox:1""#.to_owned()), "{names:?}");
    // The hub may change that one daemon set, and knows what else it is to fetch.
    let text = rendered.get("ConfigMap", "lab-hub")?["data"]["specola.toml"].as_str().context("a text")?;
    let config: Value = serde_json::to_value(text.parse::<toml::Table>()?)?;
    assert_eq!(
        config["spawner"]["kubernetes"]["image_puller"],
        json!({ "daemon_set": "labs/lab-continuous-image-puller", "extra_images": ["registry.example.org/more:1"] })
    );
    let role = &rendered.get("Role", "lab-continuous-image-puller")?["rules"];
    assert_eq!(
        role,
        &json!([{ "apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["get", "patch"],
            "resourceNames": ["lab-continuous-image-puller"] }])
    );
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
    assert_eq!(few.len(), 4, "what runs before and beside servers is none of a profile");
    Ok(())
}

#[test]
fn images_of_all_that_the_hub_may_make_are_fetched() -> Result<()> {
    let helm = helm!();
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("values.json");
    let container = |image: &str| json!([{ "name": image, "image": image }]);
    let choices = json!({ "a": { "kubespawner_override": { "image": "choice" } } });
    let values = json!({
        "singleuser": {
            "initContainers": { "b": { "name": "b", "image": "second" }, "a": { "name": "a", "image": "first" } },
            "extraContainers": container("beside"),
            "profileList": [{ "display_name": "hidden by hub.config", "kubespawner_override": { "image": "hidden" } }],
        },
        "hub": { "config": {
            "spawner": { "kubernetes": { "image": "lab" } },
            "options": {
                "profile_list": [
                    { "display_name": "A", "kubespawner_override": {
                        "image": "profile", "init_containers": container("before"), "extra_containers": container("helper"),
                    } },
                    { "display_name": "B", "profile_options": { "image": { "choices": choices } } },
                ],
                "images": [{ "name": "i", "image": "offered" }],
                "flavours": [{ "name": "f", "spawner_override": { "image": "flavour" } }],
            },
        } },
        "prePuller": { "extraImages": { "x": { "name": "more", "tag": 1 } } },
    });
    std::fs::write(&file, values.to_string())?;
    let rendered = helm.render(&[], &["--values", &file.display().to_string()])?;
    let puller = rendered.get("DaemonSet", "hook-image-puller")?;
    let containers =
        puller.pointer("/spec/template/spec/containers").and_then(Value::as_array).context("containers")?;
    let images: Vec<&str> = containers.iter().filter_map(|one| one["image"].as_str()).collect();
    assert_eq!(
        images,
        ["first", "second", "lab", "beside", "before", "profile", "helper", "choice", "offered", "flavour", "more:1"]
    );
    Ok(())
}

#[test]
fn who_waits_for_images_finds_the_api_server_as_the_hub_does() -> Result<()> {
    let helm = helm!();
    let more = [
        "--set",
        "hub.config.spawner.kubernetes.k8s_api_host=https://api.example.org:6443",
        "--set",
        "hub.extraPodSpec.hostAliases[0].ip=192.0.2.1",
    ];
    let rendered = helm.render(&[], &more)?;
    let pod = rendered.get("Job", "hook-image-awaiter")?.pointer("/spec/template/spec").context("a pod")?;
    let arguments = pod.pointer("/containers/0/args").and_then(Value::as_array).context("arguments")?;
    ensure!(arguments.contains(&json!("--k8s-api-host=https://api.example.org:6443")), "{arguments:?}");
    assert_eq!(pod.pointer("/hostAliases/0/ip"), Some(&json!("192.0.2.1")));
    Ok(())
}
