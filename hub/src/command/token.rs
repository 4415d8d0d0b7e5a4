//! `specola token`: a new API token for somebody, printed once.

use anyhow::{Result, anyhow};
use chrono::TimeDelta;
use clap::Args;
use hub_core::secret::Secret;
use hub_core::{role, token};
use hub_store::{HUB_CLIENT, NewToken, TokenOwner};

use super::database::{self, Hub};
use crate::audit::{Act, Object};

/// Make an API token for a user and print it. It may do whatever the user may.
#[derive(Debug, Args)]
pub struct Token {
    #[command(flatten)]
    hub: Hub,
    /// The user.
    name: String,
    /// What it is for; shown beside it on the token page.
    #[arg(long, value_name = "TEXT", default_value = "command-line generated")]
    note: String,
    /// For how many seconds it is good; for ever without it, as far as the hub allows.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    expires_in: Option<u32>,
}

/// Runs the command. Only the token goes to standard output, for use in scripts.
pub async fn run(arguments: Token) -> Result<()> {
    let config = arguments.hub.load()?;
    let lifetime = lifetime(arguments.expires_in, config.hub.token_expires_in_max_seconds)?;
    let store = database::open(&config).await?;
    let user = database::find(&config, &store, &arguments.name).await?;
    let now = database::now();
    let secret = token::generate(&mut rand::rng());
    let hashed = token::hash(secret.expose(), token::GENERATED_ROUNDS, &mut rand::rng());
    let note = arguments.note.clone();
    let id = store
        .insert_token(&NewToken {
            owner: TokenOwner::User(user.id),
            hashed: Secret::new(hashed),
            prefix: token::prefix(secret.expose()).to_owned(),
            client_id: HUB_CLIENT.to_owned(),
            session_id: None,
            note: arguments.note,
            scopes: role::TOKEN.scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            expires_at: lifetime.map(|lifetime| now + lifetime),
            now,
        })
        .await?;
    let detail = serde_json::json!({ "made": format!("a{id}"), "note": note });
    database::audited(&store, Act::TokenCreate, Object::User(&user.name), detail).await?;
    store.close().await;
    println!("{}", secret.expose());
    Ok(())
}

/// For how long: as asked, and never longer than the hub allows. 0 is no bound.
fn lifetime(asked: Option<u32>, most: u64) -> Result<Option<TimeDelta>> {
    let seconds = match (asked.map(u64::from), most) {
        (Some(asked), most) if most > 0 && asked > most => {
            return Err(anyhow!("this hub's tokens last {most} seconds at most (hub.token_expires_in_max_seconds)"));
        }
        (Some(asked), _) => asked,
        (None, 0) => return Ok(None),
        (None, most) => most,
    };
    // A bound of centuries is as good as none, and no date could hold more.
    Ok(i64::try_from(seconds)
        .ok()
        .and_then(TimeDelta::try_seconds)
        .map(|lifetime| lifetime.min(TimeDelta::days(36_500))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_lasts_longer_than_the_hub_allows() {
        let seconds =
            |asked, most| lifetime(asked, most).map(|lifetime| lifetime.map(|lifetime| lifetime.num_seconds()));
        assert_eq!(seconds(None, 0).unwrap(), None);
        assert_eq!(seconds(None, 60).unwrap(), Some(60));
        assert_eq!(seconds(Some(30), 60).unwrap(), Some(30));
        assert_eq!(seconds(Some(30), 0).unwrap(), Some(30));
        assert!(seconds(Some(61), 60).is_err());
        assert!(seconds(None, u64::MAX).is_ok());
    }
}
