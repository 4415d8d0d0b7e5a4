//! Accounts of labs for working together (`[[collaboration]]`): made at the start, told from people, and signed in as by
//! nobody.
//!
//! A name alone tells nothing: somebody may have had it before there was a lab, or come with it from a provider after the
//! lab was taken out of the configuration. So the database keeps the instant under which an account was made.

use anyhow::Context;
use chrono::SubsecRound;
use hub_core::clock::Time;
use hub_core::token;
use hub_store::{Store, StoreError, User};
use serde_json::json;

use crate::audit::{self, Act};
use crate::config::{CollaborationConfig, Config};

/// Makes the accounts that are not there yet. One that is somebody's is refused: the lab would open their files to others.
pub async fn ensure(store: &Store, config: &Config, now: Time) -> anyhow::Result<()> {
    for one in &config.collaboration {
        let user = account(store, one, now).await.with_context(|| format!("the account {}", one.name))?;
        anyhow::ensure!(
            is_account(store, &user).await?,
            "collaboration: {:?} is the name of somebody who was here before, and their server would be everybody's. \
             Use another name",
            one.name
        );
    }
    Ok(())
}

/// Whether a user is such an account, whatever the configuration says today.
pub async fn is_account(store: &Store, user: &User) -> Result<bool, StoreError> {
    let made = store.meta(&fact(&user.name)).await?;
    Ok(made.is_some_and(|made| user.created.map(written).as_ref() == Some(&made)))
}

async fn account(store: &Store, one: &CollaborationConfig, now: Time) -> Result<User, StoreError> {
    let name = &one.name;
    if let Some(user) = store.user(name).await? {
        return Ok(user);
    }
    // Before the account: a crash between the two, or another hub that starts at this moment, makes the same one.
    let kept = store.ensure_meta(&fact(name), &written(now)).await?;
    let made = chrono::DateTime::parse_from_rfc3339(&kept)
        .map_err(|_| StoreError::Corrupt(format!("specola_meta holds no readable {}", fact(name))))?
        .to_utc();
    match store.create_user(name, false, &token::generate_id(&mut rand::rng()), made).await {
        Err(StoreError::Conflict(context)) => store.user(name).await?.ok_or(StoreError::Conflict(context)),
        Ok(user) => {
            audit::by_config(store, now, Act::UserCreate, name, json!({ "collaboration": true })).await;
            Ok(user)
        }
        Err(error) => Err(error),
    }
}

fn fact(name: &str) -> String {
    format!("collaboration {name}")
}

/// An instant as databases keep it.
fn written(at: Time) -> String {
    at.trunc_subsecs(6).to_rfc3339()
}
