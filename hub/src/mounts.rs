//! Buckets as folders of servers, as the hub sets them up: the driver around the driver, and who gives it keys.

use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};

use anyhow::{Context, Result};
use async_trait::async_trait;
use hub_core::clock::Clock;
use hub_store::StoreError;
use spawner_mounts::{Credentials, Keys, Mounted, NoKeys};
use spawners::{Identity, ObjectStore, Spawner};

use crate::app::App;
use crate::config::Config;
use crate::storage::Refused;
use crate::upstream;

/// Gives keys by the person's token of their identity provider, once the hub is put together.
#[derive(Default)]
pub struct Keyring(OnceLock<Weak<App>>);

/// What there is when buckets are mounted.
pub struct Mounts {
    /// The driver with folders.
    pub driver: Mounted,
    keyring: Arc<Keyring>,
}

impl Mounts {
    /// Wraps a driver; nothing where mounts are not enabled.
    pub fn new(config: &Config, epoch: &str, driver: Arc<dyn Spawner>, clock: Arc<dyn Clock>) -> Result<Option<Self>> {
        let mounts = &config.spawner.mounts;
        if !mounts.enabled {
            return Ok(None);
        }
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let cache = mounts.cache_dir.clone().unwrap_or_else(|| absolute(&config.hub.data_dir).join("mounts"));
        let settings = spawner_mounts::Config {
            target: mounts.target.clone().into(),
            cache_bytes: mounts.cache_size.0,
            drain_timeout: mounts.drain_timeout.duration(),
            mount_timeout: mounts.mount_timeout.duration(),
            rclone: mounts.rclone.clone(),
            args: mounts.args.clone(),
            owner: (config.folders.uid, config.folders.gid),
            ..spawner_mounts::Config::new(epoch, &mounts.dir, cache)
        };
        let keyring = Arc::new(Keyring::default());
        let driver = Mounted::open(driver, settings, keyring.clone(), clock)
            .context("[spawner.mounts]: the hub has to run as root, beside the servers, and may mount")?;
        Ok(Some(Self { driver, keyring }))
    }

    /// Lets keys be asked for.
    pub fn begin(&self, app: &Arc<App>) {
        // A second call would be another hub in the same process, with a keyring of its own.
        let _ = self.keyring.0.set(Arc::downgrade(app));
    }
}

#[async_trait]
impl Credentials for Keyring {
    async fn keys(&self, server: &Identity, store: &ObjectStore) -> Result<Keys, NoKeys> {
        let starting = || NoKeys("The hub is starting.".to_owned());
        let app = self.0.get().and_then(Weak::upgrade).ok_or_else(starting)?;
        let user = user_of(&app, server).await.map_err(|error| {
            tracing::warn!(server = %server.marker(), "whose keys are wanted is not known: {error}");
            NoKeys("The hub's database does not answer.".to_owned())
        })?;
        let user = user.ok_or_else(|| NoKeys("The person of this server was deleted.".to_owned()))?;
        let keys =
            app.storage.keys(&app, &user, &store.name).await.map_err(|refused| NoKeys(sentence(refused, store)))?;
        Ok(Keys {
            access_key: keys.id,
            secret_key: keys.secret,
            session_token: Some(keys.token),
            expires_at: Some(keys.ends),
        })
    }
}

/// By the server's row, as names change; by name where the server was deleted and its uploads go on.
async fn user_of(app: &App, server: &Identity) -> Result<Option<hub_store::User>, StoreError> {
    match app.store.server_by_id(server.spawner).await? {
        Some(row) => app.store.user_by_id(row.user_id).await,
        None => app.store.user(&server.user).await,
    }
}

fn sentence(refused: Refused, store: &ObjectStore) -> String {
    if let Refused::Token(upstream::Refused::Failed(failure)) = &refused {
        return failure.sentence.clone();
    }
    let problem = crate::api::storage::problem(refused, &store.name);
    problem.message().map_or_else(|| format!("The storage {} gives no keys.", store.name), str::to_owned)
}
