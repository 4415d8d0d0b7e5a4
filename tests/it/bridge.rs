//! Classes that were written for JupyterHub, behind the bridge: batchspawner on a real Slurm, ldapauthenticator on a
//! real slapd.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use tests::account::SystemUser;
use tests::slapd::Slapd;
use tests::slurm::Slurm;
use tests::specola::Options;
use tests::{Body, Specola, need, place, slapd, slurm, until};

const PATIENCE: Duration = Duration::from_secs(60);

/// The bridge as `specola bridge` writes it out, with a configuration of JupyterHub's beside it.
fn bridge(folder: &Path, configuration: &str) -> Result<PathBuf> {
    let written = Command::new(place::binary()?).arg("bridge").output()?;
    ensure!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    fs::write(folder.join("bridge.py"), written.stdout)?;
    fs::write(folder.join("jupyterhub_config.py"), configuration)?;
    Ok(folder.join("bridge.py"))
}

fn list(words: &[&str]) -> String {
    format!("{words:?}")
}

const SLURM: &str = r#"
c.JupyterHub.spawner_class = "batchspawner:SlurmSpawner"
c.SlurmSpawner.exec_prefix = "setpriv --reuid={username} --regid={username} --init-groups"
c.SlurmSpawner.req_srun = ""
c.Spawner.env_keep = ["PATH", "SLURM_CONF"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn batchspawner_starts_a_real_lab_through_slurm_and_the_hub_may_restart_meanwhile() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    need!(slurm::is_here(), "Slurm, and root to run it", "SPECOLA_REQUIRE_SLURM");
    let (slurm, person, folder) = (Slurm::start()?, SystemUser::add("spbatch")?, tempfile::tempdir()?);
    let script = bridge(folder.path(), SLURM)?.display().to_string();
    let file = folder.path().join("jupyterhub_config.py").display().to_string();
    let notes = folder.path().join("notes");
    let state = notes.display().to_string();
    let interpreter = python.display().to_string();
    let command = [&*interpreter, &script, "spawner", "--config", &file, "--state", &state];
    let options = Options::default()
        .real_lab(&python)
        .set("spawner", "driver", "\"external\"")
        .set("spawner", "poll_interval", "2")
        .set("spawner.external", "command", &list(&command))
        .set("spawner.external.environment", "SLURM_CONF", &format!("{:?}", slurm.config().display().to_string()));
    let mut specola = Specola::start(options).await?;
    let mut browser = specola.logged_in(person.name()).await?;
    let (name, server) = (person.name().to_owned(), format!("/users/{}/server", person.name()));

    // The hub dies while the job waits in the queue, and the next one finds it there.
    slurm.let_jobs_start(false)?;
    let mut other = browser.clone();
    let path = server.clone();
    let asking = tokio::spawn(async move { other.api(Method::POST, &path, Body::Empty).await });
    until("a job in the queue", PATIENCE, async || Ok((slurm.jobs()? == [format!("{name} PENDING")]).then_some(())))
        .await?;
    specola.kill_hub();
    asking.await?.ok();
    slurm.let_jobs_start(true)?;
    specola.run().await?;
    until("a ready lab", PATIENCE * 2, async || {
        let model = browser.api(Method::GET, &format!("/users/{name}"), Body::Empty).await?.expect(&[200])?.json()?;
        Ok((model["servers"][""]["ready"] == true).then_some(()))
    })
    .await
    .with_context(|| specola.log())?;
    assert_eq!(slurm.jobs()?, [format!("{name} RUNNING")], "one start, one job");

    // Opened through the proxy, also after another hub has taken over.
    browser.follow(&format!("/user/{name}/lab")).await?.1.expect(&[200])?;
    specola.kill_hub();
    specola.run().await?;
    let status = browser.get(&format!("/user/{name}/api/status")).await?.expect(&[200])?.json()?;
    assert!(status["started"].is_string(), "{status}");
    assert_eq!(slurm.jobs()?, [format!("{name} RUNNING")]);

    browser.api(Method::DELETE, &server, Body::Empty).await?.expect(&[202, 204])?;
    until("an empty queue", PATIENCE, async || Ok(slurm.jobs()?.is_empty().then_some(()))).await?;
    browser.server_stopped(&name).await?;
    assert!(fs::read_dir(&notes)?.flatten().all(|entry| entry.path().extension().is_none_or(|kind| kind != "json")));

    // A job that is cancelled in the queue by somebody else is noticed, and told.
    slurm.let_jobs_start(false)?;
    browser.api(Method::POST, &server, Body::Empty).await?.expect(&[201, 202])?;
    until("a job in the queue", PATIENCE, async || Ok((!slurm.jobs()?.is_empty()).then_some(()))).await?;
    slurm.run("scancel", &["--partition=main"])?;
    browser.server_stopped(&name).await?;
    let (_, page) = browser.follow(&format!("/hub/spawn-pending/{name}")).await?;
    assert!(page.text().contains("The Jupyter batch job has disappeared"), "{}", page.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ldapauthenticator_lets_in_who_a_real_directory_knows() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    need!(slapd::is_here(), "slapd", "SPECOLA_REQUIRE_SLAPD");
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    let mut directory = Slapd::start()?;
    let script = bridge(
        folder.path(),
        &format!(
            r#"
c.JupyterHub.authenticator_class = "ldapauthenticator:LDAPAuthenticator"
c.LDAPAuthenticator.server_address = "127.0.0.1"
c.LDAPAuthenticator.server_port = {}
c.LDAPAuthenticator.tls_strategy = "insecure"
c.LDAPAuthenticator.bind_dn_template = ["uid={{username}},ou=people,{suffix}"]
c.LDAPAuthenticator.allowed_groups = ["cn=physics,ou=groups,{suffix}"]
c.LDAPAuthenticator.group_search_filter = "(member={{userdn}})"
c.LDAPAuthenticator.group_attributes = ["member"]
c.LDAPAuthenticator.admin_users = {{"alice"}}
"#,
            directory.port(),
            suffix = slapd::SUFFIX
        ),
    )?
    .display()
    .to_string();
    let file = folder.path().join("jupyterhub_config.py").display().to_string();
    let interpreter = python.display().to_string();
    let command = [&*interpreter, &script, "authenticator", "--config", &file, "--groups-from", "ldap_groups"];
    let options = Options::default()
        .set("auth", "authenticator", "\"external\"")
        .set("auth", "admin_users", "[\"root-of-the-hub\"]")
        .set("auth", "allow_all", "true")
        .set("auth", "manage_groups", "true")
        .set("auth.external", "command", &list(&command));
    let specola = Specola::start(options).await?;
    let log_in = async |name: &str, password: &str| specola.session()?.log_in(name, password).await;

    for (name, password) in [("alice", "wrong"), ("nobody", "wonderland"), ("*", "wonderland"), ("carol", "tea")] {
        let text = log_in(name, password).await?.expect(&[403])?.text();
        assert!(text.contains("Invalid username or password"), "{name}: {text}");
    }
    let mut alice = specola.session()?;
    alice.log_in("alice", "wonderland").await?.expect(&[302, 303])?;
    let model = alice.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?.json()?;
    let group = format!("cn=physics,ou=groups,{}", slapd::SUFFIX);
    assert_eq!((&model["name"], &model["admin"], &model["groups"]), (&json!("alice"), &json!(true), &json!([group])));

    directory.stop();
    let text = log_in("alice", "wonderland").await?.expect(&[503])?.text();
    assert!(text.contains("Logging in does not work at the moment"), "{text}");
    let known = alice.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?.json()?;
    assert_ne!(known["name"], Value::Null, "who is in stays in");
    Ok(())
}
