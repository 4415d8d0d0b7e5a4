//! The database, looked at without changing it.

use std::time::Duration;

use hub_store::{Candidate, OpenError, OpenOptions};

use super::finding::Finding;
use crate::command::database::{now, sqlite_file};
use crate::config::{Config, rules};

const ABOUT: &str = "database";
/// A server that does not take a connection for longer is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens it as a hub would that is to take it over, and says what is in it.
pub async fn check(config: &Config) -> Vec<Finding> {
    let url = config.hub.database_url();
    if let Some(file) = sqlite_file(url.expose())
        && !file.exists()
    {
        return vec![Finding::good(ABOUT, format!("{} will be made at the first start", file.display()))];
    }
    let options = OpenOptions { connections: 1, ..OpenOptions::new(now()) };
    let mut strange = Vec::new();
    let found = match tokio::time::timeout(PATIENCE, Candidate::open(url.expose(), &options)).await {
        Ok(Ok(mut candidate)) => {
            strange = of_policies(config, &mut candidate).await;
            let (revision, release) = candidate.schema();
            let said = format!("answers, with tables of {release} ({revision})");
            candidate.close().await;
            Finding::good(ABOUT, said)
        }
        Ok(Err(OpenError::Nothing(_))) => Finding::good(ABOUT, "answers; its tables will be made at the first start"),
        Ok(Err(error)) => {
            Finding::bad(ABOUT, format!("{error}"), "Is it running, and are hub.db_url and the password right?")
        }
        Err(_) => {
            let said = format!("does not answer within {} s", PATIENCE.as_secs());
            Finding::bad(ABOUT, said, "Is it running, and does no firewall stand between?")
        }
    };
    std::iter::once(found).chain(strange).collect()
}

/// Policies about groups that there never were. What is wrong in the options themselves is told elsewhere.
async fn of_policies(config: &Config, candidate: &mut Candidate) -> Vec<Finding> {
    let Ok(Some(rules)) = config.rules() else { return Vec::new() };
    match candidate.groups().await {
        Ok(groups) => {
            let told = rules::strange_groups(&rules, &groups);
            told.into_iter().map(|said| Finding::note("options.policies", said, "")).collect()
        }
        Err(error) => vec![Finding::bad(ABOUT, format!("its groups cannot be read: {error}"), "")],
    }
}
