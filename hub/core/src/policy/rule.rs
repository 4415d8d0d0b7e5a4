//! Policies: whom they mean, and what they grant, limit and deny.

use std::collections::BTreeMap;

use super::amount::Amounts;
use super::group::{GroupRule, admitted};
use super::image::ImageAllowance;

/// Whose request is judged. Groups are those of the database, never of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: String,
    /// Whether they administer the hub. It counts only where a policy says so.
    pub admin: bool,
    /// Names of groups.
    pub groups: Vec<String>,
    /// What is known of sites at this moment.
    pub places: Places,
}

/// What a judgement has to know of sites beside the rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// Where the server ran last: its storage is there.
    pub last: Option<String>,
    /// The sites that take no starts, by name, and why: a sentence for people.
    pub closed: BTreeMap<String, String>,
}

/// One policy. All that match a person count together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// For those who ask where a limit comes from.
    pub name: String,
    /// Whom it means.
    pub matching: Matching,
    /// What they may choose.
    pub grant: Grant,
    /// The most of one server. The most generous of the policies that match counts.
    pub limit: Amounts,
    /// The most at once. The most generous of the policies that match counts.
    pub quota: Quota,
    /// The most of one server, and of servers at once, whatever others are generous with.
    pub ceiling: Amounts,
    /// What they may not choose, whatever others grant.
    pub deny: Deny,
    /// The site that is taken where none is chosen. The last policy that matches and names one of theirs counts.
    pub default_site: Option<String>,
    /// What they read above the form. The last policy that matches and says something counts.
    pub greeting: Option<String>,
    /// How to get into its groups. With it, others are shown what it grants.
    pub ask: Option<String>,
}

/// Whom a policy means; everybody when it names nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matching {
    /// Members of one of these.
    pub groups: Vec<GroupRule>,
    /// People by name.
    pub users: Vec<String>,
    /// Administrators of the hub.
    pub admins: bool,
}

/// Why a policy means somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// It means everybody.
    Everybody,
    /// By name.
    Name,
    /// As an administrator.
    Admin,
    /// As a member of this group.
    Group(String),
}

impl Matching {
    /// Why somebody is meant; `None` when they are not.
    pub fn of(&self, person: &Person) -> Option<By> {
        if self.groups.is_empty() && self.users.is_empty() && !self.admins {
            return Some(By::Everybody);
        }
        if self.users.contains(&person.name) {
            return Some(By::Name);
        }
        if let Some(group) = admitted(&self.groups, &person.groups) {
            return Some(By::Group(group.to_owned()));
        }
        (self.admins && person.admin).then_some(By::Admin)
    }
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Everybody => write!(f, "everybody"),
            Self::Name => write!(f, "by name"),
            Self::Admin => write!(f, "as an administrator"),
            Self::Group(group) => write!(f, "as a member of {group}"),
        }
    }
}

/// Names of choices; `*` stands for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl Names {
    /// Whether a choice is among them.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|one| one == name || one == "*")
    }
}

/// The choices of each kind that a policy names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Sizes.
    pub flavours: Names,
    /// Images.
    pub images: Names,
    /// Volumes.
    pub volumes: Names,
    /// Profiles, by slug.
    pub profiles: Names,
    /// Sites.
    pub sites: Names,
}

impl Named {
    /// Those of one kind.
    pub fn of(&self, kind: Kind) -> &Names {
        match kind {
            Kind::Flavour => &self.flavours,
            Kind::Image => &self.images,
            Kind::Volume => &self.volumes,
            Kind::Profile => &self.profiles,
            Kind::Site => &self.sites,
        }
    }
}

/// What a policy names choices of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A size.
    Flavour,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A profile.
    Profile,
    /// A site.
    Site,
}

/// What a policy lets people choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// Choices by name.
    pub named: Named,
    /// Images that people name themselves.
    pub own_images: Option<ImageAllowance>,
}

/// What a policy keeps people from choosing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deny {
    /// Any server at all, and the sentence they read.
    pub start: Option<String>,
    /// Choices by name.
    pub named: Named,
    /// Images that people name themselves.
    pub own_images: bool,
}

/// The most at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Of each person.
    pub person: Amounts,
    /// Of each group that the policy names and matches, for all its members together.
    pub group: Amounts,
}

impl Policy {
    /// Whether servers that need it are charged to a group.
    pub fn charges(&self) -> bool {
        !self.quota.group.is_empty()
    }
}
