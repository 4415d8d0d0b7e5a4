//! `specola user`: people, from the command line.

mod list;
mod password;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use hub_core::life::Phase;
use hub_core::secret::Secret;
use hub_store::{Store, User as Row};
use serde_json::{Value, json};

use super::database::{self, Hub};
use crate::audit::{Act, Object};
use crate::config::Config;
use crate::config::auth::Authenticator;
use crate::folders::volumes::{Away, Volumes};
use crate::folders::{people, trash};
use crate::keeper::folders::own;
use crate::login::Passwords;
use crate::login::password::{invitation, one_time};

/// Add and list users, and give them passwords. Works whether the hub runs or not.
#[derive(Debug, Args)]
pub struct User {
    #[command(flatten)]
    hub: Hub,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Add a user and print a one-time password, to be changed at the first login.
    Add {
        /// The name to log in with.
        name: String,
        /// Let the user administer the hub.
        #[arg(long)]
        admin: bool,
        /// Print a link to choose a password with, instead of a password.
        #[arg(long)]
        invite: bool,
    },
    /// List all users: rights, last activity, running servers.
    List,
    /// Set a user's password, typed or from standard input. Ends the user's sessions.
    Password {
        /// The user.
        name: String,
        /// Set a new one-time password and print it, instead of asking for one.
        #[arg(long)]
        reset: bool,
    },
    /// Print a link with which a user chooses a password, once.
    Invite {
        /// The user.
        name: String,
    },
    /// Let a user administer the hub, or not any more.
    Admin {
        /// The user.
        name: String,
        /// Take the right away.
        #[arg(long)]
        off: bool,
    },
    /// Delete a user with tokens and settings. Folders and volumes go to the trash.
    Delete {
        /// The user.
        name: String,
    },
}

/// Runs the command.
pub async fn run(arguments: User) -> Result<()> {
    let config = arguments.hub.load()?;
    let store = database::open(&config).await?;
    let done = act(&config, &store, arguments.what).await;
    store.close().await;
    done
}

async fn act(config: &Config, store: &Store, what: What) -> Result<()> {
    match what {
        What::Add { name, admin, invite } => add(config, store, &name, admin, invite).await,
        What::List => list::print(store).await,
        What::Password { name, reset: true } => {
            reset(config, store, &database::find(config, store, &name).await?).await
        }
        What::Password { name, reset: false } => set(config, store, &database::find(config, store, &name).await?).await,
        What::Invite { name } => invite(config, store, &database::find(config, store, &name).await?).await,
        What::Admin { name, off } => {
            let user = database::find(config, store, &name).await?;
            store.set_admin(user.id, !off).await?;
            let act = if off { Act::AdminRevoke } else { Act::AdminGrant };
            database::audited(store, act, Object::User(&user.name), Value::Null).await?;
            println!("{} {} administer the hub.", user.name, if off { "does not" } else { "may" });
            Ok(())
        }
        What::Delete { name } => delete(config, store, &database::find(config, store, &name).await?).await,
    }
}

async fn add(config: &Config, store: &Store, name: &str, admin: bool, link: bool) -> Result<()> {
    let name = database::parse_name(config, name)?;
    let user = database::create(store, &name, admin).await?;
    database::audited(store, Act::UserCreate, Object::User(&user.name), json!({ "admin": admin })).await?;
    println!("Added {}{}.", user.name, if admin { ", who may administer the hub" } else { "" });
    match config.auth.authenticator {
        Authenticator::Password if link => invite(config, store, &user).await,
        Authenticator::Password => reset(config, store, &user).await,
        Authenticator::Pam | Authenticator::External | Authenticator::Demo | Authenticator::Oidc => Ok(()),
    }
}

async fn reset(config: &Config, store: &Store, user: &Row) -> Result<()> {
    let password = one_time(&mut rand::rng());
    passwords(config)?.reset(store, user.id, &password, database::now()).await?;
    database::audited(store, Act::PasswordSet, Object::User(&user.name), json!({ "one_time": true })).await?;
    database::end_sessions(store, user).await?;
    println!("The one-time password of {} is {}", user.name, password.expose());
    println!("It has to be changed at the first login.");
    Ok(())
}

async fn set(config: &Config, store: &Store, user: &Row) -> Result<()> {
    let passwords = passwords(config)?;
    let password: Secret = password::ask(&user.name)?;
    passwords.set(store, user.id, &password, false, database::now()).await?;
    database::audited(store, Act::PasswordSet, Object::User(&user.name), Value::Null).await?;
    database::end_sessions(store, user).await?;
    println!("The password of {} is set.", user.name);
    Ok(())
}

async fn invite(config: &Config, store: &Store, user: &Row) -> Result<()> {
    let token = invitation(&mut rand::rng());
    let until = passwords(config)?.invite(store, user.id, &token, database::now()).await?;
    database::audited(store, Act::PasswordInvite, Object::User(&user.name), Value::Null).await?;
    println!("{}", invite_url(config, &token));
    println!("With this link {} chooses a password, once, until {} UTC.", user.name, until.format("%Y-%m-%d %H:%M"));
    Ok(())
}

fn invite_url(config: &Config, token: &Secret) -> String {
    let hub = &config.hub;
    let origin = match &hub.public_url {
        Some(url) => url.origin().to_owned(),
        None => hub.bind_url.local_url(),
    };
    format!("{origin}{}hub/invite?code={}", hub.base_path().as_str(), token.expose())
}

async fn delete(config: &Config, store: &Store, user: &Row) -> Result<()> {
    // What runs would be left to itself: only a running hub can stop it.
    let servers = store.servers_of(&[user.id]).await?;
    if servers.iter().any(|server| server.phase != Phase::Stopped) {
        return Err(anyhow!("{} has a running server; stop it first", user.name));
    }
    let folders = &config.folders;
    let entry = match &folders.root {
        Some(root) => {
            let paths = own(folders, &user.name);
            trash::put(root, &paths, (&user.name, user.id), database::now(), folders.retention_days)?
        }
        None => None,
    };
    let now = database::now();
    let name = entry.as_ref().map_or_else(|| trash::name_of(&user.name, now), |entry| entry.name.clone());
    let had: Vec<String> = servers.iter().map(|server| server.name.clone()).collect();
    let remove_at = trash::end(now, folders.retention_days);
    let away = Away { user: &user.name, user_id: user.id, servers: &had, entry: &name, now, remove_at, keep: &[] };
    let put = match Volumes::of(config) {
        Some(volumes) => volumes.put(store, &away).await,
        None => Ok(Vec::new()),
    };
    let deleted = match put {
        Ok(volumes) => store.delete_user(user.id).await.map(|_| volumes),
        Err(error) => Err(error),
    };
    let volumes = match deleted {
        Ok(volumes) => volumes,
        Err(error) => {
            let mut told = format!("{} is not deleted: {error}", user.name);
            // Each whatever became of the other.
            if let (Some(root), Some(entry)) = (&folders.root, &entry)
                && let Err(error) = trash::restore(root, &entry.name)
            {
                told.push_str(&format!("\nThe folders stay in the trash as {}: {error:#}", entry.name));
            }
            if let Err(error) = store.restore_volumes(&name).await {
                told.push_str(&format!("\nIf there are volumes, they stay in the trash as {name}: {error}"));
            }
            return Err(anyhow!(told));
        }
    };
    if !volumes.is_empty() {
        let detail = json!({ "entry": name, "remove_at": remove_at, "volumes": volumes });
        database::audited(store, Act::FoldersTrash, Object::User(&user.name), detail).await?;
    }
    if let Some(entry) = &entry {
        database::audited(store, Act::FoldersTrash, Object::User(&user.name), people::detail(entry)).await?;
    }
    database::audited(store, Act::UserDelete, Object::User(&user.name), Value::Null).await?;
    println!("Deleted {}.", user.name);
    if entry.is_some() || !volumes.is_empty() {
        let until = remove_at.map(|end| format!(", and are removed for good on {}", end.format("%Y-%m-%d")));
        println!("Their files are in the trash as {name}{}.", until.unwrap_or_default());
    }
    Ok(())
}

fn passwords(config: &Config) -> Result<Passwords> {
    if config.auth.authenticator != Authenticator::Password {
        let method = config.auth.authenticator.as_str();
        return Err(anyhow!("people log in with {method:?} here (auth.authenticator), not with passwords of the hub"));
    }
    Ok(Passwords::new(&config.auth.password)?)
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, Executor};

    use super::*;

    /// A database that fails in the middle costs nobody their files, and what stays where is told.
    #[tokio::test]
    async fn who_cannot_be_deleted_has_their_folders_back_though_the_database_fails_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (data, root) = (folder.path().join("data"), folder.path().join("srv"));
        std::fs::create_dir_all(&data).unwrap();
        let areas = json!([{ "kind": "private", "target": "/home/{username}" }]);
        let written = json!({ "hub": { "data_dir": data }, "folders": { "root": root, "areas": areas } });
        let config: Config = serde_json::from_value(written).unwrap();
        let options = hub_store::OpenOptions::new(database::now());
        let store = Store::open(config.hub.database_url().expose(), options).await.unwrap();
        let anna = store.create_user("anna", false, "cookie", database::now()).await.unwrap();
        let home = root.join(&own(&config.folders, "anna")[0]);
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("diary"), "hers").unwrap();
        let url = format!("sqlite://{}", data.join("jupyterhub.sqlite").display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        connection
            .execute(
                "CREATE TRIGGER refuse BEFORE DELETE ON users BEGIN SELECT RAISE(ABORT, 'there is no room'); END;
                 ALTER TABLE specola_trash RENAME TO elsewhere",
            )
            .await
            .unwrap();
        let told = delete(&config, &store, &anna).await.unwrap_err().to_string();
        assert_eq!(std::fs::read_to_string(home.join("diary")).unwrap(), "hers");
        assert!(trash::list(&root).unwrap().is_empty());
        assert!(told.contains("anna is not deleted") && told.contains("no room"), "{told}");
        assert!(told.contains("If there are volumes, they stay in the trash as"), "{told}");
        assert!(store.user("anna").await.unwrap().is_some());
    }
}
