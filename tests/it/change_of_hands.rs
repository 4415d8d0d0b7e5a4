//! A working hub changes hands and back: two servers run, a kernel computes, a server is shared, and a script keeps
//! asking with its old token. `adoption.rs` has the simpler cases.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::json;
use tests::jupyterhub::{Ground, PASSWORD};
use tests::specola::Options;
use tests::{Body, JupyterHub, Kernel, Mark, Session, Specola, need, place, until};

/// Counts into a file for as long as its kernel lives, each line with the process that wrote it.
const COMPUTATION: &str = r#"
import itertools, os, threading, time

def compute(path):
    with open(path, "a") as file:
        for number in itertools.count():
            file.write(f"{number} {os.getpid()}\n")
            file.flush()
            time.sleep(0.02)

threading.Thread(target=compute, args=(PATH,), daemon=True).start()
"#;

/// What has to carry on.
struct Work {
    alice: Session,
    bob: Session,
    admin: Session,
    computed: PathBuf,
    labs: Vec<i32>,
}

impl Work {
    async fn begin(origin: &str, mark: &Mark, folder: &Path) -> Result<Work> {
        let mut sessions = Vec::new();
        for name in ["alice", "bob", "admin"] {
            let mut session = Session::logged_in(origin, name, PASSWORD).await?;
            let token = session.new_token(name).await?;
            sessions.push((session.with_token(&token), token));
        }
        let [(mut alice, token), (mut bob, _), (mut admin, _)] =
            <[(Session, String); 3]>::try_from(sessions).ok().context("three people")?;
        alice.start_server("alice").await?;
        bob.start_server("bob").await?;
        admin.api(Method::POST, "/groups/staff", Body::Json(json!({"users": ["bob"]}))).await?.expect(&[201])?;
        admin.api(Method::POST, "/shares/alice/", Body::Json(json!({"user": "bob"}))).await?.expect(&[200])?;
        let computed = folder.join("computed");
        let mut kernel = Kernel::start(origin, "/user/alice/", &token).await?;
        kernel.run(&COMPUTATION.replace("PATH", &format!("{:?}", computed.display().to_string()))).await?;
        let mut labs: Vec<i32> = mark.labs().iter().map(|lab| lab.id).collect();
        labs.sort_unstable();
        ensure!(labs.len() == 2, "{labs:?}");
        Ok(Work { alice, bob, admin, computed, labs })
    }

    /// Checks that everything is as it was, at whichever hub.
    async fn goes_on(&mut self, mark: &Mark) -> Result<()> {
        for (session, name) in [(&mut self.alice, "alice"), (&mut self.bob, "bob")] {
            session.server_ready(name).await?;
        }
        let mut labs: Vec<i32> = mark.labs().iter().map(|lab| lab.id).collect();
        labs.sort_unstable();
        assert_eq!(labs, self.labs, "the same processes");
        let group = self.admin.api(Method::GET, "/groups/staff", Body::Empty).await?.expect(&[200])?.json()?;
        assert_eq!(group["users"], json!(["bob"]));
        let shared = self.bob.api(Method::GET, "/users/bob/shared", Body::Empty).await?.expect(&[200])?.json()?;
        assert_eq!(shared["items"][0]["server"]["user"]["name"], "alice", "{shared}");
        // Through proxy and lab, by the right that the share gives.
        until("the shared server", Duration::from_secs(30), async || {
            let status = self.bob.get("/user/alice/api/status").await?.status;
            Ok((status == 200).then_some(()))
        })
        .await?;
        let stranger = self.alice.get("/user/bob/api/status").await?;
        assert_eq!(stranger.status, 403, "{}", stranger.text());
        let (counted, _) = self.computed()?;
        until("further results of the kernel", Duration::from_secs(30), async || {
            Ok((self.computed()?.0 > counted).then_some(()))
        })
        .await
    }

    /// How far the kernel has counted, and its process; an error if a number is missing or another process counted.
    fn computed(&self) -> Result<(usize, String)> {
        let text = std::fs::read_to_string(&self.computed)?;
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines: Vec<(&str, &str)> = whole.lines().filter_map(|line| line.split_once(' ')).collect();
        let process = lines.first().context("a result")?.1.to_owned();
        for (expected, (number, by)) in lines.iter().enumerate() {
            ensure!(*number == expected.to_string() && *by == process, "{number} by {by} at {expected}, {process}");
        }
        Ok((lines.len(), process))
    }
}

/// A script that asks without end. A failure counts unless the hub was changed between its question and its answer.
struct Script {
    /// Odd while the hub is changed.
    changes: Arc<AtomicU32>,
    answered: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<Result<()>>,
}

impl Script {
    fn start(mut session: Session) -> Script {
        let (changes, answered) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (of_task, count) = (changes.clone(), answered.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                let before = of_task.load(Ordering::SeqCst);
                let answer = session.api(Method::GET, "/users/alice", Body::Empty).await;
                let undisturbed = before % 2 == 0 && of_task.load(Ordering::SeqCst) == before;
                match answer.and_then(|answer| answer.expect(&[200])) {
                    Ok(_) => drop(count.fetch_add(1, Ordering::SeqCst)),
                    Err(error) if undisturbed => return Err(error.context("the script was not answered")),
                    Err(_) => {}
                }
            }
        });
        Script { changes, answered, task }
    }

    /// The hub is about to be changed, or has been.
    fn change(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until it was answered some more times.
    async fn is_answered(&self) -> Result<()> {
        let before = self.answered.load(Ordering::SeqCst);
        until("answers to the script", Duration::from_secs(30), async || {
            ensure!(!self.task.is_finished(), "the script has failed");
            Ok((self.answered.load(Ordering::SeqCst) >= before + 5).then_some(()))
        })
        .await
    }

    async fn end(self) -> Result<()> {
        self.task.abort();
        match self.task.await {
            Ok(failed) => failed,
            Err(_) => Ok(()),
        }
    }
}

fn adopt(ground: &Ground) -> Result<(bool, String)> {
    let output = Command::new(place::binary()?).args(["adopt", "--from", &ground.database(), "--yes"]).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

#[tokio::test]
async fn a_hub_at_work_changes_hands_and_back_while_a_script_asks() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let proxy = need!(place::configurable_http_proxy(), "configurable-http-proxy", "SPECOLA_CHP");
    let folder = tempfile::tempdir()?;
    let ground = Ground::new(folder.path())?;
    let origin = ground.origin();
    let jupyterhub = JupyterHub::start(ground.clone(), &python, &proxy, Mark::default()).await?;
    let mut work = Work::begin(&origin, jupyterhub.mark(), folder.path()).await?;
    work.goes_on(jupyterhub.mark()).await.context("at JupyterHub")?;
    let script = Script::start(work.alice.clone());
    script.is_answered().await?;

    let (adopted, said) = adopt(&ground)?;
    assert!(!adopted && said.contains("the database is in use by process"), "{said}");

    script.change();
    let mark = jupyterhub.stop();
    let (adopted, said) = adopt(&ground)?;
    assert!(adopted && said.contains("2 running") && said.contains("alice (local process)"), "{said}");
    assert!(said.contains("jupyterhub_cookie_secret"), "{said}");
    let mut specola = Specola::on(ground.clone(), Options::default().real_lab(&python), mark);
    specola.run().await?;
    script.change();
    work.goes_on(specola.mark()).await.with_context(|| specola.log())?;
    script.is_answered().await.with_context(|| specola.log())?;
    let added = work.alice.new_token("alice").await?;

    // Back, and not in peace.
    script.change();
    specola.kill_hub();
    specola.proxy()?.kill();
    let mark = specola.leave();
    let jupyterhub = JupyterHub::start(ground, &python, &proxy, mark).await?;
    script.change();
    work.goes_on(jupyterhub.mark()).await.with_context(|| jupyterhub.log())?;
    script.is_answered().await?;
    script.end().await?;
    let model = work.alice.with_token(&added).api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?.json()?;
    assert_eq!(model["name"], "alice", "a token of Specola's");
    work.alice.stop_server("alice").await?;
    work.bob.stop_server("bob").await
}
