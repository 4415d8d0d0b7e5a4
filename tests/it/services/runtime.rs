//! Services that come and go while the hub runs, and those the configuration names no longer.

use std::time::Duration;

use anyhow::Result;
use http::Method;
use serde_json::json;
use tests::specola::Options;
use tests::{Body, Session, Specola, until};

use super::configured;
use crate::likeness::services::listen;

const TOKEN: &str = "a-token-of-a-service";

async fn asks(specola: &Specola, token: &str) -> Result<u16> {
    let mut session = specola.session()?.with_token(token);
    Ok(session.api(Method::GET, "/user", Body::Empty).await?.status.as_u16())
}

/// The page of a service behind the proxy.
async fn page(specola: &Specola, name: &str) -> Result<(u16, String)> {
    let answer = specola.session()?.get(&format!("/services/{name}/page")).await?;
    Ok((answer.status.as_u16(), answer.text()))
}

/// Waits until the proxy leads to a service, or does not any more.
async fn served(specola: &Specola, name: &str, wanted: bool) -> Result<()> {
    let is_so = async || Ok(((page(specola, name).await?.0 == 200) == wanted).then_some(()));
    until("route of a service", Duration::from_secs(10), is_so).await
}

async fn names(admin: &mut Session) -> Result<Vec<String>> {
    let services = admin.api(Method::GET, "/services", Body::Empty).await?.expect(&[200])?.json()?;
    Ok(services.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect())
}

#[tokio::test]
async fn a_service_made_by_the_api_is_served_until_it_is_deleted() -> Result<()> {
    let listener = listen().await?;
    let mut specola = Specola::start(Options::default()).await?;
    let mut admin = specola.logged_in("admin").await?;
    assert_ne!(page(&specola, "late").await?.0, 200);
    let body = json!({ "url": listener, "api_token": TOKEN, "info": { "description": "Comes late" } });
    admin.api(Method::POST, "/services/late", Body::Json(body)).await?.expect(&[201])?;
    served(&specola, "late", true).await?;
    assert_eq!(page(&specola, "late").await?.1, "hi");
    assert_eq!(asks(&specola, TOKEN).await?, 200);
    let taken = json!({ "url": listener, "api_token": TOKEN });
    admin.api(Method::POST, "/services/thief", Body::Json(taken)).await?.expect(&[400])?;
    assert_eq!(names(&mut admin).await?, ["late"], "nothing of what was refused is there");

    // Another hub on the same database knows it.
    specola.kill_hub();
    specola.run().await?;
    assert_eq!(names(&mut admin).await?, ["late"]);
    served(&specola, "late", true).await?;
    assert_eq!(asks(&specola, TOKEN).await?, 200);

    admin.api(Method::DELETE, "/services/late", Body::Empty).await?.expect(&[200])?;
    served(&specola, "late", false).await?;
    assert_eq!(asks(&specola, TOKEN).await?, 403);
    Ok(())
}

#[tokio::test]
async fn what_the_configuration_names_no_longer_is_gone_with_route_and_tokens() -> Result<()> {
    let listener = listen().await?;
    let service = format!("name = \"kept\", url = {listener:?}, api_token = {TOKEN:?}");
    let mut specola = Specola::start(configured(Options::default(), &[service])).await?;
    let mut admin = specola.logged_in("admin").await?;
    served(&specola, "kept", true).await?;
    assert_eq!(asks(&specola, TOKEN).await?, 200);
    admin.api(Method::DELETE, "/services/kept", Body::Empty).await?.expect(&[405])?;

    specola.reconfigure(Options::default()).await?;
    assert_eq!(names(&mut admin).await?, Vec::<String>::new());
    assert_eq!(asks(&specola, TOKEN).await?, 403);
    served(&specola, "kept", false).await?;
    // A token for a name alone, as in `service_tokens`.
    let tokens = format!("[{{ name = \"bare\", token = {TOKEN:?} }}]");
    specola.reconfigure(Options::default().set("hub", "service_tokens", &tokens)).await?;
    assert_eq!((asks(&specola, TOKEN).await?, names(&mut admin).await?), (200, vec!["bare".to_owned()]));
    Ok(())
}
