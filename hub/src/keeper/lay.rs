//! Makes the folders of a server before it starts, and puts them into its plan.

use hub_core::id::UserId;
use hub_store::StoreError;
use nix::unistd::{Gid, Uid, User};
use spawners::Plan;

use super::folders::{self, Layout, Owner};
use super::{Inner, buckets};

/// The paths of a lab's folders that are buckets, with colons between.
const FOLDERS: &str = "SPECOLA_FOLDERS";

/// Why a server with folders cannot be started: a word for machines, and a sentence.
type Refusal = (&'static str, String);

impl Inner {
    /// Notes the volumes that a server is about to get, so that they go with its person; or why it cannot have them: they are
    /// in the trash, of somebody who had the name before.
    pub(crate) async fn note_volumes(&self, plan: &Plan, user: UserId) -> Result<Option<Refusal>, StoreError> {
        let Some(volumes) = &self.settings.layout.volumes else { return Ok(None) };
        let names = volumes.of_plan(plan);
        let Some(entry) = self.store.trash_entry_of(&names).await? else {
            // Before they are made: whatever comes between, none is left to nobody.
            self.store.note_volumes(user, &names).await?;
            return Ok(None);
        };
        tracing::error!(
            user = plan.identity.user,
            entry,
            "not started: of the name before there are files in the trash"
        );
        let sentence = "The files of somebody who had this name before are still kept. Ask the people who run this hub: with \
                        “specola trash” they restore them, or remove them for good.";
        Ok(Some(("files_in_trash", sentence.to_owned())))
    }

    /// Adds the folders that a person in these groups gets.
    pub(crate) async fn lay_folders(&self, plan: &mut Plan, groups: &[String]) -> Result<(), Refusal> {
        let (layout, user) = (&self.settings.layout, plan.identity.user.clone());
        let found = folders::of_person(&layout.folders, &user, groups);
        // Buckets take keys, and these a login.
        if !self.recipe.is_collaboration(&user) {
            plan.mounts = buckets::of_person(&layout.mounts, &layout.offers, &user, groups);
        }
        // For the agent in the lab, which tells how they are from inside.
        let seen: Vec<String> =
            plan.mounts.iter().map(|mount| format!("{}/{}", layout.mounts.target, mount.path())).collect();
        if !seen.is_empty() {
            plan.environment.push((FOLDERS.to_owned(), seen.join(":")));
        }
        if found.binds.is_empty() && plan.mounts.is_empty() {
            return Ok(());
        }
        plan.binds.extend(found.binds);
        if let Some(what) = self.driver.abilities().lacks_for(plan) {
            return Err(("not_supported", format!("This hub cannot start {what}.")));
        }
        let owner = layout.owner_of(&user);
        plan.owner = Some(owner);
        let Some(root) = layout.folders.root.clone() else { return Ok(()) };
        let made = tokio::task::spawn_blocking(move || crate::folders::make(&root, &found.wanted, owner)).await;
        made.map_err(anyhow::Error::from).flatten().map_err(|error| {
            tracing::error!(user, "{error:#}");
            let sentence = "The folders of this server cannot be prepared. Ask the operator to look at the hub's log.";
            ("no_folder", sentence.to_owned())
        })
    }
}

impl Layout {
    /// Whose the files of a person are: user and group, by number.
    fn owner_of(&self, user: &str) -> (u32, u32) {
        let configured = (self.folders.uid, self.folders.gid);
        match self.owner {
            Owner::Image => configured,
            Owner::Hub => (Uid::effective().as_raw(), Gid::effective().as_raw()),
            // Without an account there is no server either: the driver refuses it.
            Owner::Account => User::from_name(user)
                .ok()
                .flatten()
                .map_or(configured, |account| (account.uid.as_raw(), account.gid.as_raw())),
        }
    }
}
