//! Two sites: servers of either are reached from both, and whatever dies at one, the other goes on and nothing is lost.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt, StreamExt};
use http::Method;
use serde_json::{Value, json};
use tests::fake_kubernetes::Pace;
use tests::jupyterhub::PASSWORD;
use tests::postgres::{Postgres, programs};
use tests::sites::{BARI, CNAF, NAMES};
use tests::{Body, Session, TwoSites, until};
use tokio::sync::{Mutex, MutexGuard};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

const SOON: Duration = Duration::from_secs(90);

/// One pair of sites is enough for a machine at a time.
static ONE: Mutex<()> = Mutex::const_new(());

/// Both sites, and somebody with a token for each; None where PostgreSQL or haproxy is missing.
async fn two_sites(pace: Pace) -> Result<Option<(TwoSites, [Session; 2], MutexGuard<'static, ()>)>> {
    let Some(programs) = programs() else {
        ensure!(std::env::var_os("SPECOLA_REQUIRE_POSTGRES").is_none(), "PostgreSQL is missing");
        eprintln!("SKIPPED: PostgreSQL is missing");
        return Ok(None);
    };
    if !std::path::Path::new("/usr/sbin/haproxy").exists() {
        ensure!(std::env::var_os("SPECOLA_REQUIRE_PEERS").is_none(), "haproxy is missing");
        eprintln!("SKIPPED: haproxy is missing");
        return Ok(None);
    }
    let one = ONE.lock().await;
    let sites = TwoSites::start(Postgres::start(&programs)?, pace).await?;
    let mut people = Vec::new();
    for name in ["anna", "bea"] {
        let mut session = Session::logged_in(&sites.origin, name, PASSWORD).await?;
        let token = session.new_token(name).await?;
        people.push(session.with_token(&token));
    }
    let people = <[Session; 2]>::try_from(people).ok().context("two people")?;
    Ok(Some((sites, people, one)))
}

/// Asks a hub for a server at a site.
async fn wish(sites: &TwoSites, hub: usize, session: &Session, user: &str, site: usize) -> Result<()> {
    let mut there = session.at(&sites.hub_origin(hub)?)?;
    let wish = Body::Json(json!({ "site": NAMES[site] }));
    there.api(Method::POST, &format!("/users/{user}/server"), wish).await?.expect(&[201, 202])?;
    Ok(())
}

async fn model(session: &mut Session, user: &str) -> Result<Value> {
    session.api(Method::GET, &format!("/users/{user}"), Body::Empty).await?.expect(&[200])?.json()
}

/// Waits for a server; a start that was given up is an error.
async fn ready(session: &mut Session, user: &str) -> Result<()> {
    until("a ready server", SOON, async || {
        let model = model(session, user).await?;
        ensure!(model["servers"][""].is_object(), "the start was given up: {model}");
        Ok((model["servers"][""]["ready"] == true).then_some(()))
    })
    .await
}

async fn stopped(session: &mut Session, user: &str) -> Result<()> {
    until("a stopped server", SOON, async || {
        Ok(model(session, user).await?["servers"].as_object().is_some_and(serde_json::Map::is_empty).then_some(()))
    })
    .await
}

async fn pods(sites: &TwoSites) -> Result<[usize; 2]> {
    Ok([sites.clusters[CNAF].pods().await?.len(), sites.clusters[BARI].pods().await?.len()])
}

/// A websocket to somebody's lab sends back what it is sent, after the name of the pod.
async fn echoes(origin: &str, user: &str) -> Result<()> {
    let address = origin.replacen("http", "ws", 1);
    let (mut socket, _) = connect_async(format!("{address}/user/{user}/socket")).await?;
    for words in [format!("jupyter-{user}"), "what is sent".to_owned()] {
        let heard = socket.next().await.context("the websocket ended")??;
        ensure!(heard == Message::text(words.clone()), "{heard} instead of {words}");
        socket.send(Message::text("what is sent")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_server_at_either_site_is_reached_from_both_through_the_proxy_of_its_own() -> Result<()> {
    let Some((mut sites, [mut anna, mut bea], _one)) = two_sites(Pace::default()).await? else { return Ok(()) };
    // Each is asked for at the hub of the other site.
    wish(&sites, BARI, &anna, "anna", CNAF).await?;
    wish(&sites, CNAF, &bea, "bea", BARI).await?;
    ready(&mut anna, "anna").await?;
    ready(&mut bea, "bea").await?;
    ensure!(pods(&sites).await? == [1, 1]);
    for (session, user) in [(&anna, "anna"), (&bea, "bea")] {
        let heard = [sites.lab(session, user, CNAF).await?, sites.lab(session, user, BARI).await?];
        for (said, site) in heard.iter().zip([CNAF, BARI]) {
            ensure!(said["user"] == user && said["pod_uid"] == heard[0]["pod_uid"], "{said}");
            let headers = &said["headers"];
            ensure!(headers["x-forwarded-for"] == "127.0.0.1", "{headers}");
            let host = sites.origin_at(site).replace("http://", "");
            ensure!(headers["host"] == host.as_str() && headers["x-forwarded-host"] == host.as_str(), "{headers}");
            ensure!(headers["x-specola-proxy"].is_null(), "{headers}");
        }
        for site in [CNAF, BARI] {
            echoes(sites.origin_at(site), user).await?;
        }
    }

    // Without the proxy of its site a server is not reached from the other, however well it runs, and is not taken for dead.
    sites.kill_proxy(CNAF);
    let mut at_bari = anna.at(sites.origin_at(BARI))?;
    let begun = Instant::now();
    let away = at_bari.get("/user/anna/").await?.expect(&[503])?;
    ensure!(begun.elapsed() < Duration::from_secs(5), "after {:?}", begun.elapsed());
    ensure!(away.headers.contains_key("retry-after"), "{:?}", away.headers);
    sites.lab(&bea, "bea", BARI).await?;
    // Meanwhile servers come and go, and are surveyed every second.
    for _ in 0..2 {
        bea.stop_server("bea").await?;
        wish(&sites, BARI, &bea, "bea", BARI).await?;
        ready(&mut bea, "bea").await?;
        at_bari.get("/user/anna/").await?.expect(&[503])?;
    }
    ensure!(model(&mut anna, "anna").await?["servers"][""]["ready"] == true);
    sites.new_proxy_at(CNAF).await?;
    until("the way to it", SOON, async || Ok(sites.lab(&anna, "anna", BARI).await.ok())).await?;
    for (session, user) in [(&mut anna, "anna"), (&mut bea, "bea")] {
        session.stop_server(user).await?;
    }
    until("no pod is left", SOON, async || Ok((pods(&sites).await? == [0, 0]).then_some(()))).await
}

#[tokio::test]
async fn a_start_and_a_stop_of_a_site_whose_hub_has_died_are_completed_by_the_other() -> Result<()> {
    let Some((mut sites, [mut anna, mut bea], _one)) = two_sites(Pace::default()).await? else { return Ok(()) };
    wish(&sites, CNAF, &bea, "bea", CNAF).await?;
    ready(&mut bea, "bea").await?;
    // Nothing goes on at the cluster, so that both are under way.
    sites.clusters[CNAF].idle(true).await?;
    wish(&sites, CNAF, &anna, "anna", CNAF).await?;
    let mut at_cnaf = bea.at(&sites.hub_origin(CNAF)?)?;
    at_cnaf.api(Method::DELETE, "/users/bea/server", Body::Empty).await?.expect(&[202])?;
    until("a pod that comes and one that goes", SOON, async || {
        let pods = sites.clusters[CNAF].pods().await?;
        Ok((pods.len() == 2 && pods.iter().any(|pod| pod.leaving)).then_some(()))
    })
    .await?;
    sites.hubs[CNAF].kill_hub();
    sites.clusters[CNAF].idle(false).await?;
    ready(&mut anna, "anna").await?;
    stopped(&mut bea, "bea").await?;
    ensure!(pods(&sites).await? == [1, 0]);
    for site in [CNAF, BARI] {
        ensure!(sites.lab(&anna, "anna", site).await?["user"] == "anna");
    }
    anna.stop_server("anna").await?;
    ensure!(pods(&sites).await? == [0, 0]);
    Ok(())
}

#[tokio::test]
async fn a_cluster_that_is_away_costs_nobody_a_server_and_the_other_site_goes_on() -> Result<()> {
    let Some((mut sites, [mut anna, mut bea], _one)) = two_sites(Pace::default()).await? else { return Ok(()) };
    wish(&sites, CNAF, &anna, "anna", CNAF).await?;
    ready(&mut anna, "anna").await?;
    let before = sites.lab(&anna, "anna", BARI).await?;
    sites.clusters[CNAF].away(true).await?;
    // A hub that begins now has never seen it.
    sites.hubs[BARI].kill_hub();
    sites.hubs[BARI].launch(&[])?;
    sites.answers(BARI).await?;
    until("a survey that does not reach it", SOON, async || {
        Ok(sites.hubs[BARI].log().contains("what runs there is not known").then_some(()))
    })
    .await?;
    for _ in 0..2 {
        wish(&sites, BARI, &bea, "bea", BARI).await?;
        ready(&mut bea, "bea").await?;
        ensure!(sites.lab(&bea, "bea", CNAF).await?["user"] == "bea");
        bea.stop_server("bea").await?;
    }
    for hub in [CNAF, BARI] {
        let mut there = anna.at(&sites.hub_origin(hub)?)?;
        ensure!(model(&mut there, "anna").await?["servers"][""]["ready"] == true, "it was taken for dead");
    }
    for site in [CNAF, BARI] {
        ensure!(sites.lab(&anna, "anna", site).await?["pod_uid"] == before["pod_uid"]);
    }
    // A stop waits for it.
    anna.api(Method::DELETE, "/users/anna/server", Body::Empty).await?.expect(&[202])?;
    ensure!(pods(&sites).await? == [1, 0]);
    sites.clusters[CNAF].away(false).await?;
    stopped(&mut anna, "anna").await?;
    until("no pod is left", SOON, async || Ok((pods(&sites).await? == [0, 0]).then_some(()))).await
}

async fn change(sites: &TwoSites, site: usize, change: Value) -> Result<Value> {
    let mut admin = Session::logged_in(&sites.origin, "admin", PASSWORD).await?;
    let token = admin.new_token("admin").await?;
    let (mut admin, path) = (admin.with_token(&token), format!("/sites/{}", NAMES[site]));
    admin.api(Method::PATCH, &path, Body::Json(change)).await?.expect(&[200])?.json()
}

#[tokio::test]
async fn people_of_a_site_that_is_given_up_go_on_at_the_other_and_it_comes_back_clean() -> Result<()> {
    let Some((sites, [mut anna, _], _one)) = two_sites(Pace::default()).await? else { return Ok(()) };
    wish(&sites, CNAF, &anna, "anna", CNAF).await?;
    ready(&mut anna, "anna").await?;
    sites.clusters[CNAF].away(true).await?;
    change(&sites, CNAF, json!({ "lost": true })).await?;
    stopped(&mut anna, "anna").await?;
    let mut browser = Session::logged_in(&sites.origin, "anna", PASSWORD).await?;
    let page = browser.get("/hub/home").await?.expect(&[200])?.text();
    ensure!(page.contains("Your server was at cnaf, which is out of service."), "{page}");
    for hub in [CNAF, BARI] {
        until("a hub that has heard of it", SOON, async || {
            let mut there = anna.at(&sites.hub_origin(hub)?)?;
            let wish = Body::Json(json!({ "site": NAMES[CNAF] }));
            let refused = there.api(Method::POST, "/users/anna/server", wish).await?.expect(&[403])?;
            Ok(refused.text().contains("site_closed").then_some(()))
        })
        .await?;
    }
    // Who chooses nothing is where there is a place.
    anna.api(Method::POST, "/users/anna/server", Body::Empty).await?.expect(&[201, 202])?;
    ready(&mut anna, "anna").await?;
    ensure!(pods(&sites).await? == [1, 1], "what is cut off runs on");
    let before = sites.lab(&anna, "anna", CNAF).await?;
    sites.clusters[CNAF].away(false).await?;
    change(&sites, CNAF, json!({ "lost": false })).await?;
    until("the site without what is over", SOON, async || Ok((pods(&sites).await? == [0, 1]).then_some(()))).await?;
    for site in [CNAF, BARI] {
        ensure!(sites.lab(&anna, "anna", site).await?["pod_uid"] == before["pod_uid"]);
    }
    Ok(())
}

#[tokio::test]
async fn servers_of_a_site_are_stopped_when_its_maintenance_begins_and_start_at_the_other() -> Result<()> {
    let Some((sites, [mut anna, mut bea], _one)) = two_sites(Pace::default()).await? else { return Ok(()) };
    wish(&sites, BARI, &anna, "anna", CNAF).await?;
    wish(&sites, CNAF, &bea, "bea", BARI).await?;
    ready(&mut anna, "anna").await?;
    ready(&mut bea, "bea").await?;
    let window = |begins: &str| json!({ "maintenance": { "begins": begins, "ends": "2126-01-02", "text": "New disks", "stops_servers": true } });
    change(&sites, CNAF, window("2126-01-01")).await?;
    let mut browser = Session::logged_in(&sites.origin, "anna", PASSWORD).await?;
    until("word of what is to come", SOON, async || {
        Ok(browser.get("/hub/home").await?.expect(&[200])?.text().contains("New disks").then_some(()))
    })
    .await?;
    ensure!(model(&mut anna, "anna").await?["servers"][""]["ready"] == true, "it has not begun");
    change(&sites, CNAF, window("2020-01-01")).await?;
    stopped(&mut anna, "anna").await?;
    anna.api(Method::POST, "/users/anna/server", Body::Empty).await?.expect(&[201, 202])?;
    ready(&mut anna, "anna").await?;
    ensure!(pods(&sites).await? == [0, 2]);
    ensure!(model(&mut bea, "bea").await?["servers"][""]["ready"] == true, "it is not at the site");
    Ok(())
}

#[tokio::test]
async fn when_the_standby_is_promoted_labs_of_both_sites_are_as_they_were() -> Result<()> {
    let Some((mut sites, [mut anna, mut bea], _one)) = two_sites(Pace::default()).await? else { return Ok(()) };
    wish(&sites, CNAF, &anna, "anna", CNAF).await?;
    wish(&sites, BARI, &bea, "bea", BARI).await?;
    ready(&mut anna, "anna").await?;
    ready(&mut bea, "bea").await?;
    let before = [sites.lab(&anna, "anna", CNAF).await?, sites.lab(&bea, "bea", BARI).await?];
    // The first site loses its hub and the database.
    sites.hubs[CNAF].kill_hub();
    sites.database.kill();
    for (session, user) in [(&anna, "anna"), (&bea, "bea")] {
        for site in [CNAF, BARI] {
            ensure!(sites.lab(session, user, site).await?["user"] == user, "labs need no database");
        }
    }
    sites.standby.promote()?;
    until("an answer with the new database", SOON, async || {
        let mut there = anna.at(&sites.hub_origin(BARI)?)?;
        Ok(there.api(Method::GET, "/users/anna", Body::Empty).await?.expect(&[200]).ok())
    })
    .await?;
    for (session, user) in [(&mut anna, "anna"), (&mut bea, "bea")] {
        ready(session, user).await?;
    }
    let after = [sites.lab(&anna, "anna", BARI).await?, sites.lab(&bea, "bea", CNAF).await?];
    for (before, after) in before.iter().zip(&after) {
        ensure!(before["pod_uid"] == after["pod_uid"], "{after}");
    }
    // The hub that is left works for both sites.
    for (session, user, site) in [(&mut anna, "anna", CNAF), (&mut bea, "bea", BARI)] {
        session.stop_server(user).await?;
        wish(&sites, BARI, session, user, site).await?;
        ready(session, user).await?;
        for seen_from in [CNAF, BARI] {
            ensure!(sites.lab(session, user, seen_from).await?["user"] == user);
        }
    }
    ensure!(pods(&sites).await? == [1, 1]);
    Ok(())
}
