//! What people may start: choices, the policies that grant, limit and deny them, and the one function that judges a
//! request. Form, REST and start ask it; so does `specola explain`.
//!
//! Grants of all policies that match a person add up. The most generous limit counts, in each dimension by itself.
//! `deny` and `ceiling` always win. What is not understood is refused.

pub mod amount;
pub mod choice;
mod decide;
pub mod group;
pub mod image;
mod making;
pub mod menu;
pub mod profile;
#[cfg(test)]
mod properties;
pub mod refusal;
pub mod request;
pub mod resolved;
pub mod rule;
pub mod setting;
pub mod standing;
#[cfg(test)]
mod tests;
pub mod written;

pub use amount::{Amounts, Dimension};
pub use choice::{Flavour, Image, Site, Volume};
pub use decide::{Charge, Decision, decide, decide_what_can_be};
pub use menu::{About, Choice, Question, menu};
pub use profile::Profile;
pub use refusal::{Code, Refusal};
pub use resolved::Resolved;
pub use rule::{Person, Places, Policy};
pub use standing::Standing;

/// Everything there is to choose, and who may.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Images by name.
    pub images: Vec<Image>,
    /// Sizes by name. With them there are no menus of cores, memory and GPUs.
    pub flavours: Vec<Flavour>,
    /// Numbers of cores, in thousandths.
    pub cores: Vec<u64>,
    /// Sizes of memory, in bytes.
    pub memory: Vec<u64>,
    /// Numbers of GPUs.
    pub gpus: Vec<u64>,
    /// What is chosen at first; without it, the first that may be.
    pub default_cores: Option<u64>,
    /// What is chosen at first; without it, the first that may be.
    pub default_memory: Option<u64>,
    /// The resource that GPUs are, where nothing else is said.
    pub gpu_resource: String,
    /// Volumes by name.
    pub volumes: Vec<Volume>,
    /// Places with an engine or a cluster of their own. Without any, there is one, and nothing to choose.
    pub sites: Vec<Site>,
    /// The site that the hub is at, which is taken where nothing else is said.
    pub own_site: Option<String>,
    /// Profiles.
    pub profiles: Vec<Profile>,
    /// Who may have what. Without any, everybody may have everything that is listed.
    pub policies: Vec<Policy>,
    /// What people read above the form, where no policy says something else.
    pub greeting: Option<String>,
    /// What a server has when nothing is chosen.
    pub base: Resolved,
    /// Options that are not judged here, but handed on to hooks and to the driver.
    pub passed_on: Vec<String>,
    /// Nothing but the site is judged here: all other options are handed on as they come.
    pub only_sites: bool,
}
