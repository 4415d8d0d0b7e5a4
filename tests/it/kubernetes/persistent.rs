//! The persistent lab of a cluster, as a physicist meets it: signs in at the institute's provider, picks a profile that a
//! group may have, works in JupyterLab in a pod, and finds the files again in the next pod.

use anyhow::{Result, ensure};
use http::Method;
use serde_json::json;
use tests::docker::lab_image;
use tests::kubernetes::{Cluster, kubeconfig};
use tests::provider::{self, Provider};
use tests::specola::Options;
use tests::{Body, Browser, need, until};

use super::{SOON, nothing_is_left};
use crate::flow;
use crate::oidc::{Entry, House};
use crate::workstation::sign_in;

/// A home that outlives pods, and a profile for everybody beside one of a group.
fn options(cluster: &Cluster, image: &str) -> Result<Options> {
    let profiles = r#"[
      { display_name = "Plain", slug = "plain", kubespawner_override = { mem_limit = "512M" } },
      { display_name = "CYGNO", slug = "cygno", allowed_groups = ["/users/cygno"], kubespawner_override = { mem_limit = "768M", environment = { EXPERIMENT = "cygno" } } },
    ]"#;
    Ok(cluster
        .options(image)?
        .set("spawner", "cmd", "[]")
        .set("spawner", "default_url", "\"/lab\"")
        .set("spawner", "start_timeout", "180")
        .set("spawner", "http_timeout", "120")
        .set("spawner.kubernetes", "fs_gid", "1000")
        .set("spawner.kubernetes", "storage_pvc_ensure", "true")
        .set("spawner.kubernetes", "storage_capacity", "\"1Gi\"")
        .set(
            "spawner.kubernetes",
            "volumes",
            r#"[{ name = "home", persistentVolumeClaim = { claimName = "{pvc_name}" } }]"#,
        )
        .set("spawner.kubernetes", "volume_mounts", r#"[{ name = "home", mountPath = "/home/jovyan" }]"#)
        .set("options", "profile_list", &profiles.replace('\n', " ")))
}

/// From the home page through the form into JupyterLab.
async fn start(browser: &Browser, profile: &str) -> Result<()> {
    browser.click("#start").await?;
    browser.arrives("the questions", |url| url.path().starts_with("/hub/spawn")).await?;
    browser.click(&format!("label.choice:has(input[value={profile}])")).await?;
    browser.click("#start").await?;
    browser.arrives("the lab", |url| url.path().starts_with("/user/anna/lab")).await.map(drop)
}

#[tokio::test]
async fn a_file_written_in_jupyterlab_in_a_pod_of_a_groups_profile_is_there_in_the_next_pod() -> Result<()> {
    let cluster = Cluster::new(&need!(kubeconfig(), "a Kubernetes cluster", "SPECOLA_REQUIRE_KUBERNETES"))?;
    let image = need!(lab_image(), "an image with JupyterLab", "SPECOLA_LAB_IMAGE");
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let _volumes = cluster.volumes(&["claim-anna".to_owned()])?;
    let more = options(&cluster, &image)?;
    // Another site than the hub's, as the institute's provider is to a browser.
    let provider = Provider::called("localhost", &installed).await?;
    let house = House::at(provider, &Entry::by_group(), |entry| entry.and(more)).await?;
    house.provider.set_user("carl", json!({ "groups": ["users"] })).await?;

    // Whose groups say nothing of it may not have the profile, and is given no pod.
    let mut carl = house.signed_in("carl").await?;
    let asked = Body::Json(json!({ "user_options": { "profile": "cygno" } }));
    let refused = carl.api(Method::POST, "/users/carl/server", asked).await?.expect(&[400, 403])?.json()?;
    assert_eq!(refused["code"], "not_offered", "{refused}");
    nothing_is_left(&cluster).await?;

    sign_in(&house, &browser, "anna").await?;
    start(&browser, "cygno").await?;
    flow::open_notebook(&browser).await?;
    flow::run_cell(&browser, "import os; print(os.environ['EXPERIMENT'], os.getuid())", "cygno 1000").await?;
    flow::run_cell(&browser, "print(open('/home/jovyan/kept.txt', 'w').write('from the first'))", "14").await?;
    let pod = |path: &str| cluster.kubectl(&["get", "pod", "jupyter-anna", "-o", &format!("jsonpath={path}")]);
    assert_eq!(pod("{.spec.containers[0].resources.limits.memory}")?, "805306368");
    let first = pod("{.metadata.uid}")?;
    let claim = ["get", "pvc", "claim-anna", "-o", "jsonpath={.metadata.uid} {.status.phase}"];
    let kept = cluster.kubectl(&claim)?;
    ensure!(kept.ends_with(" Bound"), "{kept}");

    browser.go(&format!("{}/hub/home", house.specola.origin())).await?;
    browser.click("#stop").await?;
    until("the end of the first pod", SOON, async || Ok(cluster.pods()?.is_empty().then_some(()))).await?;
    browser.shown(".start-server").await?;
    assert_eq!(cluster.kubectl(&claim)?, kept, "the claim outlives its pod");

    start(&browser, "plain").await?;
    // Without the notebook that was open: it has the first lab's output.
    browser.go(&format!("{}/user/anna/lab?reset", house.specola.origin())).await?;
    flow::open_notebook(&browser).await?;
    flow::run_cell(&browser, "import os; print(os.environ.get('EXPERIMENT'))", "None").await?;
    flow::run_cell(&browser, "print(open('/home/jovyan/kept.txt').read() * 2)", "from the firstfrom the first").await?;
    assert_eq!(pod("{.spec.containers[0].resources.limits.memory}")?, "536870912");
    assert_ne!(pod("{.metadata.uid}")?, first);
    Ok(())
}
