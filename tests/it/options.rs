//! What people may start, by the policies of their groups: by the form, by REST, by links, and by requests that no form makes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use tests::jupyterhub::PASSWORD;
use tests::specola::Options;
use tests::{Body, Browser, Session, Specola, need, place, until};

const PATIENCE: Duration = Duration::from_secs(30);

const GROUPS: &str = r#"{ "/users/a" = { users = ["alice"] }, "/users/b" = { users = ["bob"] } }"#;

const FLAVOURS: &str = r#"[
  { name = "small", display_name = "Small", cpu = 1, memory = "1G" },
  { name = "large", display_name = "Large and fast", cpu = 4, memory = "4G" },
]"#;

const POLICIES: &str = r#"[
  { name = "everybody", grant = { flavours = ["small"] }, limit = { cpu = 1, memory = "1G" },
    greeting = "You are logged in as default user." },
  { name = "a", groups = ["/users/a/**"], grant = { flavours = ["large"] }, limit = { cpu = 4, memory = "4G" } },
]"#;

/// A value of several lines of TOML on one line.
fn toml(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace(", ]", "]")
}

fn flavours() -> Result<Options> {
    Ok(Options::default()
        .small_lab("quick.py")?
        .set("hub", "load_groups", GROUPS)
        .set("options", "flavours", &toml(FLAVOURS))
        .set("options", "policies", &toml(POLICIES)))
}

async fn refused(session: &mut Session, method: Method, path: &str, body: Value) -> Result<Value> {
    session.api(method, path, Body::Json(body)).await?.expect(&[400, 403])?.json()
}

/// H5: one judgement of what was chosen, whichever way it comes.
#[tokio::test]
async fn a_member_starts_the_flavour_of_the_group_and_another_cannot_by_form_rest_link_or_crafted_request() -> Result<()>
{
    let specola = Specola::start(flavours()?).await?;
    let (mut alice, mut bob) = (specola.logged_in("alice").await?, specola.logged_in("bob").await?);

    let page = alice.get("/hub/spawn").await?.expect(&[200])?.text();
    assert!(page.contains("Large and fast"), "{page}");
    let page = bob.get("/hub/spawn").await?.expect(&[200])?.text();
    assert!(!page.contains("Large and fast") && page.contains("Small"), "{page}");
    assert!(page.contains("You are logged in as default user."), "{page}");

    // By the form.
    let answer = bob.submit("/hub/spawn", &[("flavour", "large")]).await?.expect(&[403])?;
    assert!(answer.text().contains("“large” is not among the choices you have."), "{}", answer.text());
    // By REST, in both of its forms, and for a server that does not exist.
    for body in [json!({"user_options": {"flavour": "large"}}), json!({"flavour": ["large"]})] {
        let told = refused(&mut bob, Method::POST, "/users/bob/server", body).await?;
        let message = "“large” is not among the choices you have.";
        let expected = json!({"status": 403, "message": message, "code": "not_offered", "field": "flavour"});
        assert_eq!(told, expected);
    }
    // By a link.
    let answer = bob.get("/hub/spawn?opt-flavour=large").await?.expect(&[403])?;
    assert!(answer.text().contains("not among the choices"), "{}", answer.text());
    // By what no form has.
    for (options, status, code) in [
        (json!({"cpu": 64}), 403, "not_offered"),
        (json!({"gpu": 1}), 403, "not_offered"),
        (json!({"img": "evil.example/x"}), 403, "not_offered"),
        (json!({"privileged": true}), 400, "unknown_option"),
        (json!({"cpu_limit": 64}), 400, "unknown_option"),
        (json!({"flavour": {"$ne": 1}}), 400, "bad_value"),
        (json!({"flavour": ["small", "large"]}), 400, "bad_value"),
    ] {
        let told = refused(&mut bob, Method::POST, "/users/bob/server", json!({"user_options": options})).await?;
        assert_eq!((&told["status"], &told["code"]), (&json!(status), &json!(code)), "{options}: {told}");
    }
    // An administrator who starts it for him gives him no more than he has.
    let mut admin = specola.logged_in("admin").await?;
    let told = refused(&mut admin, Method::POST, "/users/bob/server", json!({"flavour": "large"})).await?;
    assert_eq!(told["code"], "not_offered");

    assert_eq!(specola.labs().len(), 0, "nothing was started");
    let model =
        bob.api(Method::GET, "/users/bob?include_stopped_servers", Body::Empty).await?.expect(&[200])?.json()?;
    let default = &model["servers"][""];
    assert_eq!((&default["user_options"], &default["last_activity"]), (&json!({}), &Value::Null), "nothing was stored");
    let audited = admin.api(Method::GET, "/audit?action=server.refuse&actor=user:bob", Body::Empty).await?;
    let audited = audited.expect(&[200])?.json()?;
    let codes: Vec<&str> =
        audited.as_array().context("a list")?.iter().filter_map(|act| act["detail"]["code"].as_str()).collect();
    for code in ["not_offered", "unknown_option", "bad_value"] {
        ensure!(codes.contains(&code), "{code} was audited: {audited}");
    }
    ensure!(audited.as_array().is_some_and(|acts| acts.iter().all(|act| act["object"] == "server:bob/")), "{audited}");
    let by_admin = admin.api(Method::GET, "/audit?action=server.refuse&actor=user:admin", Body::Empty).await?;
    ensure!(by_admin.expect(&[200])?.json()?[0]["detail"]["field"] == "flavour");

    // What is one's own starts, with the limits of the choice, and is kept.
    alice.submit("/hub/spawn", &[("flavour", "large")]).await?.expect(&[303])?;
    alice.server_ready("alice").await?;
    let lab = specola.labs().into_iter().next().context("a lab")?;
    assert_eq!((lab.variable("CPU_LIMIT"), lab.variable("MEM_LIMIT")), (Some("4.0"), Some("4294967296")));
    let model = alice.api(Method::GET, "/users/alice", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(model["servers"][""]["user_options"], json!({"flavour": "large"}));
    bob.start_server("bob").await?;
    let model = bob.api(Method::GET, "/users/bob", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(model["servers"][""]["user_options"], json!({"flavour": "small"}));
    alice.stop_server("alice").await?;
    bob.stop_server("bob").await
}

#[tokio::test]
async fn the_last_choice_is_chosen_again_as_long_as_it_is_offered() -> Result<()> {
    let mut specola = Specola::start(flavours()?).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.submit("/hub/spawn", &[("flavour", "large")]).await?.expect(&[303])?;
    alice.server_ready("alice").await?;
    alice.stop_server("alice").await?;
    let page = alice.get("/hub/spawn").await?.expect(&[200])?.text();
    assert!(
        page.contains(r#"value="large" checked"#) && page.contains("Start Large and fast, 4 cores, 4 GB"),
        "{page}"
    );
    let home = alice.get("/hub/home").await?.expect(&[200])?.text();
    assert!(home.contains(r#"href="/hub/spawn/alice""#), "home leads to the questions: {home}");

    specola.reconfigure(flavours()?.set("hub", "load_groups", "{ other = { users = [\"alice\"] } }")).await?;
    let mut admin = specola.logged_in("admin").await?;
    // A group that the configuration does not name any more keeps its members: they are taken out by hand.
    admin.api(Method::DELETE, "/groups/%2Fusers%2Fa", Body::Empty).await?.expect(&[204])?;
    let page = alice.get("/hub/spawn").await?.expect(&[200])?.text();
    assert!(page.contains("“large” is not among the choices you have."), "{page}");
    assert!(page.contains(r#"value="small" checked"#), "{page}");
    // It is no dead end: without options the usual choice starts.
    alice.start_server("alice").await?;
    let lab = specola.labs().into_iter().next().context("a lab")?;
    assert_eq!(lab.variable("CPU_LIMIT"), Some("1.0"));
    alice.stop_server("alice").await
}

#[tokio::test]
async fn starts_side_by_side_never_take_more_than_the_quota() -> Result<()> {
    let policies = r#"[{ name = "all", quota = { cpu = 2 } }]"#;
    let options = Options::default()
        .small_lab("quick.py")?
        .set("hub", "allow_named_servers", "true")
        .set("options", "cores", "[1, 2]")
        .set("options", "policies", policies);
    let specola = Specola::start(options).await?;
    let alice = specola.logged_in("alice").await?;
    let mut asking = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        let mut alice = alice.clone();
        asking.push(tokio::spawn(async move {
            let path = format!("/users/alice/servers/{name}");
            alice.api(Method::POST, &path, Body::Json(json!({"user_options": {"cpu": 1}}))).await
        }));
    }
    let mut running = Vec::new();
    for (name, task) in ["a", "b", "c", "d", "e"].into_iter().zip(asking) {
        let answer = task.await??.expect(&[201, 202, 403])?;
        if answer.status.as_u16() == 403 {
            let told = answer.json()?;
            assert_eq!(told["code"], "over_quota", "{told}");
            let message = "Your quota is 2 cores: 2 cores in use, and this server takes 1 core.";
            assert_eq!(told["message"], message);
        } else {
            running.push(name);
        }
    }
    assert_eq!(running.len(), 2, "{running:?}");
    let mut alice = alice;
    let model = alice.api(Method::GET, "/users/alice?include_stopped_servers", Body::Empty).await?.json()?;
    let servers = model["servers"].as_object().context("servers")?;
    // The default one is listed also when it was never made.
    assert_eq!(servers.len(), 3, "a refusal leaves no server behind: {model}");
    // What is stopped is free again.
    let path = format!("/users/alice/servers/{}", running[0]);
    alice.api(Method::DELETE, &path, Body::Empty).await?.expect(&[202, 204])?;
    until("the quota to be free", PATIENCE, async || {
        let answer = alice.api(Method::POST, "/users/alice/servers/z", Body::Json(json!({"user_options": {"cpu": 1}})));
        Ok((answer.await?.expect(&[201, 202, 403])?.status.as_u16() != 403).then_some(()))
    })
    .await
}

/// A driver that only notes what it is asked to start.
fn noting(folder: &Path) -> Result<Options> {
    let script = place::package().join("hooks/driver.py");
    let words = [place::plain_python()?, script, folder.join("notes")].map(|word| word.display().to_string());
    Ok(Options::default()
        .set("spawner", "driver", "\"external\"")
        .set("spawner.external", "command", &format!("{words:?}"))
        .set("hub", "load_groups", GROUPS))
}

/// Starts a server with options, and gives what the driver was asked.
async fn asked_to_start(folder: &Path, session: &mut Session, name: &str, options: Value) -> Result<Value> {
    let notes = folder.join("notes");
    fs::remove_file(&notes).or_else(|error| if notes.exists() { Err(error) } else { Ok(()) })?;
    let path = format!("/users/{name}/server");
    session.api(Method::POST, &path, Body::Json(json!({ "user_options": options }))).await?.expect(&[202, 400])?;
    session.server_stopped(name).await?;
    let text = fs::read_to_string(&notes)?;
    let mut asked = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let start = asked.find(|question| question["call"] == "start").context("a start")?;
    Ok(start["start"].clone())
}

#[tokio::test]
async fn a_server_has_a_gpu_when_its_flavour_has_one_and_an_image_from_where_it_may_come() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let policies = r#"[
      { name = "all", grant = { images = ["base"] }, limit = { gpu = 0 } },
      { name = "a", groups = ["/users/a"], limit = { gpu = 1 }, grant = { images = ["*"], own_images = ["quay.io/a"] } },
    ]"#;
    let images =
        r#"[{ name = "base", image = "quay.io/lab/base:1" }, { name = "cuda", image = "quay.io/lab/cuda:1" }]"#;
    let options = noting(folder.path())?.set("options", "images", images).set("options", "gpus", "[0, 1]").set(
        "options",
        "policies",
        &toml(policies),
    );
    let specola = Specola::start(options).await?;
    let (mut alice, mut bob) = (specola.logged_in("alice").await?, specola.logged_in("bob").await?);
    let with = asked_to_start(folder.path(), &mut alice, "alice", json!({"img": "cuda", "gpu": "Y"})).await?;
    assert_eq!((&with["gpus"], &with["image"]), (&json!({"nvidia.com/gpu": 1}), &json!("quay.io/lab/cuda:1")));
    let without = asked_to_start(folder.path(), &mut alice, "alice", json!({"img": "cuda", "gpu": "N"})).await?;
    assert_eq!((&without["gpus"], &without["image"]), (&json!({}), &json!("quay.io/lab/cuda:1")));
    assert_eq!(without["environment"]["JUPYTER_IMAGE_SPEC"], "quay.io/lab/cuda:1");
    let own =
        asked_to_start(folder.path(), &mut alice, "alice", json!({"img": ["other"], "img-other": ["quay.io/a/x:2"]}));
    assert_eq!(own.await?["image"], "quay.io/a/x:2");
    for (options, code) in [
        (json!({"gpu": "Y"}), "not_offered"),
        (json!({"img": "cuda"}), "not_offered"),
        (json!({"img": "quay.io/a/x:2"}), "not_offered"),
    ] {
        let told = refused(&mut bob, Method::POST, "/users/bob/server", json!({"user_options": options})).await?;
        assert_eq!(told["code"], code, "{options}");
    }
    let told = refused(&mut alice, Method::POST, "/users/alice/server", json!({"img": "quay.io/ab/x"})).await?;
    assert_eq!((&told["code"], &told["field"]), (&json!("image_not_allowed"), &json!("img")));
    Ok(())
}

/// The hub's rule for an image of one's own, and the page's: for each text the sentence of both, or none.
#[tokio::test]
async fn an_image_of_ones_own_is_checked_while_it_is_typed_as_the_hub_judges_it() -> Result<()> {
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let folder = tempfile::tempdir()?;
    let policies = r#"[{ name = "all", grant = { images = ["base"], own_images = ["quay.io/a", "localhost:5000"] } },
                       { name = "strict", grant = { own_images = ["ghcr.io"], own_images_need_digest = true } }]"#;
    let images =
        r#"[{ name = "base", image = "docker.io/lab/base:1" }, { name = "cuda", image = "quay.io/lab/cuda:1" }]"#;
    let options = noting(folder.path())?.set("options", "images", images).set("options", "policies", &toml(policies));
    let specola = Specola::start(options).await?;
    let mut alice = specola.logged_in("alice").await?;
    browser.log_in(&specola.origin(), "alice", PASSWORD).await?;
    browser.go(&format!("{}/hub/spawn", specola.origin())).await?;
    let page = "const [texts, done] = arguments; \
        const rule = JSON.parse(document.querySelector('[name=img-other]').dataset.image); \
        import('/hub/static/image.js').then(({ problem }) => done(texts.map(text => problem(text, rule))))";
    let digest = "0123456789abcdef".repeat(4);
    let (named, long) = (format!("ghcr.io/x/y@sha256:{digest}"), format!("quay.io/a/{}", "a".repeat(256)));
    let good = [
        "quay.io/a/x:2",
        "quay.io/a",
        " localhost:5000/b/c ",
        "Quay.io/a/x__y--z.1",
        named.as_str(),
        "docker.io/lab/base:1",
    ];
    let bad = [
        "Python",
        "python",
        "a//b",
        "quay.io/a/",
        "a b",
        "quay.io/a/x:",
        "quay.io/a/x:-1",
        "quay.io/a/x@sha256:abc",
        "exämple.org/a",
        "quay.io:99999/a",
        "quay.io:/a",
        "https://quay.io/a",
        "quay.io/ab/x",
        "quay.io/lab/cuda:2",
        "user@host/a",
        "-x.org/a",
        "a..b",
        "a___b",
        "/a",
        "ghcr.io/x/y:1",
        "--privileged",
        long.as_str(),
    ];
    let texts = json!(good.iter().chain(&bad).collect::<Vec<_>>());
    let told = browser.client.execute_async(page, vec![texts]).await?;
    let told = told.as_array().context("a verdict for each")?;
    let (fine, wrong) = told.split_at(good.len());
    for (text, verdict) in good.iter().zip(fine) {
        assert_eq!(*verdict, Value::Null, "{text}");
        let asked =
            asked_to_start(folder.path(), &mut alice, "alice", json!({"img": ["other"], "img-other": [text]})).await?;
        assert!(asked["image"].is_string(), "{text}: {asked}");
    }
    for (text, verdict) in bad.iter().zip(wrong) {
        let options = json!({ "img": ["other"], "img-other": [text] });
        let told = refused(&mut alice, Method::POST, "/users/alice/server", json!({ "user_options": options })).await?;
        let (hub, page) =
            (told["message"].as_str().unwrap_or_default(), verdict.as_str().with_context(|| (*text).to_owned())?);
        assert!(hub.ends_with(page) && page.len() > 20, "{text}: {hub} / {page}");
    }

    // As somebody types it.
    browser.go(&format!("{}/hub/spawn", specola.origin())).await?;
    browser.client.execute("document.querySelector('input[name=img][value=other]').click()", vec![]).await?;
    browser.fill("input[name=img-other]", "quay.io/ab/x").await?;
    browser
        .text("p.refused[role=status]", |text| text.contains("has to come from quay.io/a or localhost:5000"))
        .await?;
    let invalid = "return document.querySelector('[name=img-other]').getAttribute('aria-invalid')";
    assert_eq!(browser.client.execute(invalid, vec![]).await?, json!("true"));
    for look in tests::browser::LOOKS {
        browser.look(look).await?;
        assert!(!browser.scrolls_sideways().await?, "the form is wider than the window when {}", look.name);
        browser.screenshot(&format!("own-image-{}", look.name)).await?;
    }
    browser.look(tests::browser::LOOKS[0]).await?;
    browser.client.execute("document.querySelector('[name=img-other]').value = ''", vec![]).await?;
    browser.fill("input[name=img-other]", "quay.io/a/x:2").await?;
    browser.text("p.help[role=status]:not(.refused)", |text| text.starts_with("The name is as it has to be.")).await?;
    assert_eq!(browser.client.execute(invalid, vec![]).await?, Value::Null);
    browser.screenshots("own-image-good").await?;
    // The button says it, and is never kept from being pressed: the hub is the judge.
    browser.text("#start", |text| text == "Start quay.io/a/x:2").await?;
    Ok(())
}

const VALUES: &str = r#"
singleuser:
  profileList:
    - display_name: "Shared CPU"
      slug: cpu
      default: true
      kubespawner_override: &small {cpu_limit: 2, mem_limit: 4G, image: "quay.io/jupyter/base-notebook:1"}
      profile_options:
        image:
          display_name: Image
          choices:
            pytorch:
              display_name: PyTorch
              kubespawner_override: {image: "quay.io/jupyter/pytorch-notebook:1"}
            private:
              display_name: The private one
              allowed_groups: [/users/a]
              kubespawner_override: {image: "quay.io/a/private:1"}
          unlisted_choice:
            enabled: true
            allowed_groups: [/users/a]
            validation_regex: "quay\\.io/.+:.+"
            validation_message: Must be on quay.io, with a tag.
            kubespawner_override: {image: "{value}"}
    - display_name: GPU server
      allowed_groups: [/users/a]
      kubespawner_override:
        <<: *small
        extra_resource_limits: {nvidia.com/gpu: "1"}
        node_selector: {pool: gpu}
"#;

#[tokio::test]
async fn the_profiles_of_a_z2jh_values_file_work_as_they_stand() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let values = folder.path().join("values.yaml");
    fs::write(&values, VALUES)?;
    let file = format!("{:?}", values.display().to_string());
    let specola = Specola::start(noting(folder.path())?.set("options", "profile_list_file", &file)).await?;
    let (mut alice, mut bob) = (specola.logged_in("alice").await?, specola.logged_in("bob").await?);
    let page = alice.get("/hub/spawn").await?.expect(&[200])?.text();
    // In the order in which they are written.
    let mut rest = page.as_str();
    for part in ["Shared CPU", "GPU server", "PyTorch", "The private one", "profile-option-cpu--image--unlisted-choice"]
    {
        rest = rest.split_once(part).with_context(|| format!("{part}: {page}"))?.1;
    }
    let page = bob.get("/hub/spawn").await?.expect(&[200])?.text();
    for part in ["GPU server", "The private one", "unlisted-choice"] {
        assert!(!page.contains(part), "{part}: {page}");
    }
    let gpu = asked_to_start(folder.path(), &mut alice, "alice", json!({"profile": "gpu-server"})).await?;
    assert_eq!((&gpu["cpu_limit"], &gpu["gpus"]), (&json!(2.0), &json!({"nvidia.com/gpu": 1})));
    assert_eq!(gpu["extra"], json!({"node_selector": {"pool": "gpu"}}));
    // The first that is written counts when none is the default.
    let first = asked_to_start(folder.path(), &mut alice, "alice", json!({"profile": "cpu"})).await?;
    assert_eq!(first["image"], "quay.io/jupyter/pytorch-notebook:1");
    let form = json!({"profile": ["cpu"], "profile-option-cpu--image": ["private"]});
    assert_eq!(asked_to_start(folder.path(), &mut alice, "alice", form.clone()).await?["image"], "quay.io/a/private:1");
    let plain = asked_to_start(folder.path(), &mut bob, "bob", json!({"profile": "cpu", "image": "pytorch"})).await?;
    assert_eq!(plain["image"], "quay.io/jupyter/pytorch-notebook:1");
    for options in [form, json!({"profile": "gpu-server"}), json!({"image--unlisted-choice": "quay.io/a/x:1"})] {
        let told = refused(&mut bob, Method::POST, "/users/bob/server", json!({"user_options": options})).await?;
        assert_eq!(told["code"], "not_offered", "{options}");
    }
    let typed = json!({"user_options": {"image--unlisted-choice": "quay.io/a/x"}});
    let told = refused(&mut alice, Method::POST, "/users/alice/server", typed).await?;
    assert_eq!(told["message"], "Must be on quay.io, with a tag.");
    Ok(())
}

#[tokio::test]
async fn programs_are_told_what_may_be_asked_for_and_what_is_left() -> Result<()> {
    let policies = r#"[
      { name = "everybody", grant = { flavours = ["small"] }, greeting = "Welcome.", quota = { servers = 2, cpu = 8 } },
      { name = "a", groups = ["/users/a"], grant = { flavours = ["large"] }, ask = "Ask.", group_quota = { cpu = 8 } },
    ]"#;
    let options = flavours()?.set("options", "policies", &toml(policies)).set("hub", "allow_named_servers", "true");
    let specola = Specola::start(options).await?;
    let (mut alice, mut bob) = (specola.logged_in("alice").await?, specola.logged_in("bob").await?);
    let told = async |session: &mut Session, path: &str| {
        session.api(Method::GET, path, Body::Empty).await?.expect(&[200])?.json()
    };
    let of_bob = told(&mut bob, "/users/bob/spawn-options").await?;
    let choices = of_bob["questions"][0]["choices"].as_array().context("choices")?;
    let shown = |choice: &Value| (choice["value"].clone(), choice["selected"].clone(), choice["ask"].clone());
    assert_eq!(
        choices.iter().map(shown).collect::<Vec<_>>(),
        [
            (json!("small"), json!(true), Value::Null),
            (json!("large"), json!(false), json!("For members of users/a. Ask.")),
        ]
    );
    assert_eq!(
        (&of_bob["questions"][0]["about"], &of_bob["questions"][0]["name"]),
        (&json!("flavour"), &json!("flavour"))
    );
    assert_eq!(choices[0]["has"], json!({"servers": null, "cpu": 1000, "memory": 1u64 << 30, "gpu": null}));
    assert_eq!((&of_bob["greeting"], &of_bob["selected"]), (&json!("Welcome."), &json!({"flavour": "small"})));
    assert_eq!((&of_bob["refused"], &of_bob["devices"]), (&Value::Null, &json!({})));
    let amounts = |servers: Value, cpu: Value| json!({"servers": servers, "cpu": cpu, "memory": null, "gpu": null});
    let own = |used: [u64; 2], left: [u64; 2]| {
        json!({"group": null, "quota": amounts(json!(2), json!(8000)),
            "used": amounts(json!(used[0]), json!(used[1])), "left": amounts(json!(left[0]), json!(left[1]))})
    };
    assert_eq!(of_bob["quotas"], json!([own([0, 0], [2, 8000])]));
    bob.start_server("bob").await?;
    assert_eq!(told(&mut bob, "/users/bob/spawn-options").await?["quotas"], json!([own([1, 1000], [1, 7000])]));
    let page = bob.get("/hub/spawn/bob/second").await?.expect(&[200])?.text();
    assert!(page.contains("Left of your quota: 1 server, 7 cores."), "{page}");

    let of_alice = told(&mut alice, "/users/alice/spawn-options").await?;
    assert_eq!(of_alice["quotas"][1]["group"], "/users/a");
    assert_eq!(of_alice["quotas"][1]["left"], amounts(Value::Null, json!(8000)));
    // What was chosen last for a server is what is selected for it.
    let large = json!({"user_options": {"flavour": "large"}});
    alice.api(Method::POST, "/users/alice/servers/big", Body::Json(large)).await?.expect(&[201, 202])?;
    let of_big = told(&mut alice, "/users/alice/spawn-options?server=big").await?;
    assert_eq!(of_big["selected"], json!({"flavour": "large"}));
    assert_eq!(of_big["quotas"][1]["left"], amounts(Value::Null, json!(4000)));
    assert_eq!(told(&mut alice, "/users/alice/spawn-options").await?["selected"], json!({"flavour": "small"}));
    let token = bob.new_token("bob").await?;
    let mut other = bob.with_token(&token);
    other.api(Method::GET, "/users/alice/spawn-options", Body::Empty).await?.expect(&[404])?;
    bob.stop_server("bob").await
}

#[tokio::test]
async fn explain_tells_what_the_hub_would_do() -> Result<()> {
    let specola = Specola::start(flavours()?).await?;
    let explain = |arguments: &[&str]| -> Result<String> {
        let mut command = Command::new(place::binary()?);
        let config = specola.ground.folder.join("specola.toml");
        command.arg("explain").args(arguments).arg("--config").arg(config).current_dir(&specola.ground.folder);
        let output = command.output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let text = explain(&["bob", "--options", r#"{"flavour": "large"}"#])?;
    for part in [
        "bob: in the groups /users/b",
        "everybody  everybody",
        "cpu     1 core  limit of the policy everybody",
        "refused, not_offered (flavour): “large” is not among the choices you have.",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let text = explain(&["alice", "--options", r#"{"flavour": "large"}"#])?;
    for part in ["a          as a member of /users/a", "granted: 4 cores, 4 GB", r#"kept as {"flavour":"large"}"#] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let told: Value = serde_json::from_str(&explain(&["bob", "--json", "--group", "/users/a/deeper"])?)?;
    assert_eq!((&told["limits"]["cpu"]["amount"], &told["answer"]["granted"]), (&json!(4000), &json!(true)));
    Ok(())
}
