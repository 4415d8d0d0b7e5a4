//! Object stores in labs: who gets keys of what, for how long, and that programs find them by themselves.

mod containers;
mod gateway;
mod minio;
mod programs;
mod refusals;
mod trust;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use tests::object_store::{Lab, Moto, Tools, Wanted};
use tests::specola::Options;
use tests::{Answer, Body, Provider, Session, provider};

use crate::oidc::House;

/// The life of keys here, in seconds.
const LIFE: u64 = 6;
const PATIENCE: Duration = Duration::from_secs(60);

/// One section of the configuration; `roles` are groups with the ARN they get.
pub fn storage(name: &str, endpoint: &str, roles: &[(&str, &str)], more: &str) -> String {
    let role = |(groups, arn): &(&str, &str)| format!("{{ role_arn = {arn:?}, groups = [{groups}] }}");
    let roles: Vec<String> = roles.iter().map(role).collect();
    format!("{{ name = {name:?}, endpoint = {endpoint:?}, roles = [{}], {more} }}", roles.join(", "))
}

pub fn with_storage(options: Options, sections: &[String]) -> Options {
    options.set("", "storage", &format!("[{}]", sections.join(", ")))
}

/// The environment of somebody's running lab.
fn lab_of(house: &House, name: &str) -> Result<Lab> {
    let all = house.specola.mark().processes();
    let is_lab = |process: &&tests::mark::Process| {
        process.variable("JUPYTERHUB_USER") == Some(name) && process.command.contains("quick.py")
    };
    // The agent is a parent with fewer variables: the lab itself is the last one of its kind.
    let ids: Vec<i32> = all.iter().filter(is_lab).map(|process| process.parent).collect();
    let lab = all.iter().filter(is_lab).find(|process| !ids.contains(&process.id)).context("a lab")?;
    let bytes = std::fs::read(format!("/proc/{}/environ", lab.id))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    Ok(Lab(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
}

/// Starts somebody's lab; gives the browser, the lab as a client of the hub, and its environment.
async fn start_lab(house: &House, name: &str) -> Result<(Session, Session, Lab)> {
    let mut browser = house.signed_in(name).await?;
    browser.start_server(name).await?;
    let lab = lab_of(house, name)?;
    let client = browser.with_token(lab.variable("JUPYTERHUB_API_TOKEN").context("a token")?);
    Ok((browser, client, lab))
}

async fn keys(lab: &mut Session, storage: &str) -> Result<Answer> {
    lab.api(Method::GET, &format!("/user/storage/{storage}/credentials"), Body::Empty).await
}

async fn offered(lab: &mut Session) -> Result<Vec<String>> {
    let said = lab.api(Method::GET, "/user/storage", Body::Empty).await?.expect(&[200])?.json()?;
    let names = said["storage"].as_array().context("a list")?.iter();
    names.map(|one| Ok(one["name"].as_str().context("a name")?.to_owned())).collect()
}

/// A provider, moto with two roles and a bucket, and the roles' names there.
pub async fn world(
    tools: &Tools,
    installed: &provider::Installed,
) -> Result<(Provider, Moto, BTreeMap<String, String>)> {
    let provider = Provider::start(installed).await?;
    let moto = Moto::start(tools).await?;
    let roles = furnish(tools, &moto, &provider)?;
    Ok((provider, moto, roles))
}

fn furnish(tools: &Tools, moto: &Moto, provider: &Provider) -> Result<BTreeMap<String, String>> {
    tools.administer(&Wanted {
        endpoint: &moto.endpoint(),
        keys: ("administrator", "secret"),
        issuer: provider.issuer(),
        thumbprint: None,
        roles: &[("users", &["data"]), ("cygno", &["data"])],
        buckets: &["data"],
    })
}
