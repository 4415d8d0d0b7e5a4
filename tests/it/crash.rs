//! The hub dies at each named place of a start and of a stop. After a restart all is as if it had not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use tests::specola::Options;
use tests::{Body, Session, Specola, place, until};

const SOON: Duration = Duration::from_secs(30);

/// Asks for a start or a stop; the hub may die before it answers.
async fn ask(session: &mut Session, method: Method) {
    let _ = session.api(method, "/users/alice/server", Body::Empty).await;
}

/// Runs the hub as far as the breakpoint in a start (or a stop), and tells whether it died there.
async fn die_at(specola: &mut Specola, token: &str, breakpoint: &str, method: Method) -> Result<bool> {
    specola.kill_hub();
    specola.launch(&[("SPECOLA_BREAKPOINT", breakpoint)])?;
    specola.answers().await?;
    let mut session = specola.session()?.with_token(token);
    let starting = method == Method::POST;
    let asked = {
        let mut session = session.clone();
        tokio::spawn(async move { ask(&mut session, method).await })
    };
    let died = until("end of the hub or of its work", SOON, async || {
        if specola.has_ended()?.is_some() {
            return Ok(Some(true));
        }
        let Ok(answer) = session.api(Method::GET, "/users/alice", Body::Empty).await else { return Ok(None) };
        let model = answer.expect(&[200])?.json()?;
        let ready = model["servers"][""]["ready"] == true;
        let stopped = model["servers"].as_object().is_some_and(|servers| servers.is_empty());
        Ok(if starting { ready } else { stopped && asked.is_finished() }.then_some(false))
    })
    .await?;
    // The last places come after the work is seen to be done.
    let died = died || until("end of the hub", Duration::from_secs(1), async || Ok(specola.has_ended()?)).await.is_ok();
    asked.abort();
    if died {
        ensure!(specola.log().contains(&format!("breakpoint {breakpoint} reached")), "{}", specola.log());
    }
    Ok(died)
}

/// Starts the hub again without breakpoints and waits for the end state, asked for once more as a person would.
async fn recover(specola: &mut Specola, token: &str, running: bool) -> Result<()> {
    specola.kill_hub();
    specola.run().await?;
    let mut session = specola.session()?.with_token(token);
    if running {
        ask(&mut session, Method::POST).await;
        session.server_ready("alice").await?;
        session.get("/user/alice/x").await?.expect(&[200])?;
    } else {
        ask(&mut session, Method::DELETE).await;
        session.server_stopped("alice").await?;
    }
    let wanted = usize::from(running);
    until("right number of labs", SOON, async || {
        let labs = specola.labs();
        ensure!(labs.len() == wanted, "{} labs run: {labs:?}", labs.len());
        Ok(Some(()))
    })
    .await
}

async fn die_everywhere(method: Method, part: &str) -> Result<()> {
    let running = method == Method::POST;
    let names: Vec<String> = place::breakpoints()?;
    let mut specola = Specola::start(Options::default().small_lab("quick.py")?).await?;
    let token = specola.logged_in("alice").await?.new_token("alice").await?;
    let mut reached = Vec::new();
    for name in &names {
        recover(&mut specola, &token, !running).await.with_context(|| format!("before {name}"))?;
        if !die_at(&mut specola, &token, name, method.clone()).await.with_context(|| format!("at {name}"))? {
            continue;
        }
        reached.push(name.as_str());
        recover(&mut specola, &token, running).await.with_context(|| format!("after a death at {name} of {part}"))?;
    }
    let wanted: Vec<&str> = names.iter().map(String::as_str).filter(|name| belongs(name) == running).collect();
    assert_eq!(reached, wanted, "the places passed in {part}");
    Ok(())
}

/// Whether a breakpoint lies in a start; the others lie in a stop.
fn belongs(name: &str) -> bool {
    !["intent.stop", "unroute", "stop", "finish"].iter().any(|part| name.starts_with(&format!("{part}.")))
}

#[tokio::test]
async fn a_hub_that_dies_anywhere_in_a_start_loses_nothing() -> Result<()> {
    die_everywhere(Method::POST, "a start").await
}

#[tokio::test]
async fn a_hub_that_dies_anywhere_in_a_stop_loses_nothing() -> Result<()> {
    die_everywhere(Method::DELETE, "a stop").await
}
