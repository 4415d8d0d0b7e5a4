//! How a request becomes a plan: one question after the other, each answered by the request or by what is usual.

mod image;
mod profile;
mod site;
mod size;

use serde_json::Value;

use super::Rules;
use super::amount::Dimension;
use super::profile::{Profile, ProfileOption};
use super::refusal::{Code, Refusal, shown};
use super::request::{Options, Request};
use super::resolved::Resolved;
use super::standing::Standing;

/// The names of options that mean the same.
const IMAGE: [&str; 2] = ["img", "image"];
const FLAVOUR: [&str; 2] = ["flavour", "flavor"];
const CPU: [&str; 2] = ["cpu", "cores"];
const MEMORY: [&str; 2] = ["mem", "memory"];
const OTHERS: [&str; 6] = ["profile", OWN_IMAGE, "gpu", "volumes", "site", "group"];
/// The field beside the images for one of one's own.
pub(in crate::policy) const OWN_IMAGE: &str = "img-other";
/// What stands for that field among the images.
pub(in crate::policy) const OTHER: &str = "other";
/// What stands for an answer of one's own among those of a profile.
pub(in crate::policy) const UNLISTED: &str = "unlisted-choice";

/// The field of a profile's question in a form, as KubeSpawner names it.
pub(in crate::policy) fn profile_field(slug: &str, option: &str) -> String {
    format!("profile-option-{slug}--{option}")
}

/// One judgement under way.
pub(super) struct Making<'s> {
    standing: &'s Standing<'s>,
    rules: &'s Rules,
    request: &'s Request,
    strict: bool,
    pub(super) plan: Resolved,
    pub(super) options: Options,
    pub(super) dropped: Vec<Refusal>,
    profile: Option<&'s Profile>,
}

impl<'s> Making<'s> {
    pub(super) fn of(standing: &'s Standing<'s>, request: &'s Request, strict: bool) -> Self {
        let rules = standing.rules;
        let (plan, options) = (rules.base.clone(), Options::new());
        Self { standing, rules, request, strict, plan, options, dropped: Vec::new(), profile: None }
    }

    pub(super) fn make(&mut self, raw: &Value) -> Result<(), Refusal> {
        if let Some(sentence) = self.standing.denied() {
            return Err(Refusal::new(Code::Denied, "", sentence));
        }
        if self.rules.only_sites {
            self.options
                .extend(raw.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
            self.options.remove("site");
            return self.choose_site();
        }
        self.choose_profile()?;
        let known = self.known();
        self.or_default(known)?;
        self.choose_image()?;
        if self.rules.flavours.is_empty() {
            let asked = self.asked(&FLAVOUR).and_then(|asked| nothing_to_ask("flavour", asked));
            self.or_default(asked)?;
            self.choose_cores()?;
            self.choose_memory()?;
            self.choose_gpus()?;
        } else {
            self.choose_flavour()?;
        }
        self.choose_volumes()?;
        self.choose_site()?;
        for name in &self.rules.passed_on {
            if let Some(value) = raw.get(name) {
                self.options.insert(name.clone(), value.clone());
            }
        }
        self.bound()
    }

    /// In a strict judgement a refusal ends it; else it is noted, and what would be without the option is taken.
    pub(super) fn or_default<T: Default>(&mut self, asked: Result<T, Refusal>) -> Result<T, Refusal> {
        match asked {
            Err(refusal) if self.strict => Err(refusal),
            Err(refusal) => {
                self.dropped.push(refusal);
                Ok(T::default())
            }
            Ok(asked) => Ok(asked),
        }
    }

    /// The first of these options that has a value. Names that are questions of the profile are left to it.
    pub(super) fn asked(&self, names: &[&str]) -> Result<Option<&'s str>, Refusal> {
        for name in names.iter().filter(|name| !self.is_of_profile(name)) {
            if let Some(value) = self.request.one(name)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn is_of_profile(&self, name: &str) -> bool {
        let of = |option: &ProfileOption| name.strip_suffix("--unlisted-choice").unwrap_or(name) == option.name;
        self.profile.is_some_and(|profile| profile.options.iter().any(of))
    }

    /// Whether every option has a name that means something here.
    fn known(&self) -> Result<(), Refusal> {
        let of_forms = |name: &str| {
            self.rules.profiles.iter().any(|profile| {
                profile.options.iter().any(|option| {
                    let field = profile_field(&profile.slug, &option.name);
                    name.strip_suffix("--unlisted-choice").unwrap_or(name) == field
                })
            })
        };
        for name in self.request.names() {
            let fixed = [&IMAGE[..], &FLAVOUR, &CPU, &MEMORY, &OTHERS].iter().any(|names| names.contains(&name));
            let passed_on = self.rules.passed_on.iter().any(|one| one == name);
            let empty = self.request.one(name).is_ok_and(|value| value.is_none());
            if !(fixed || passed_on || empty || self.is_of_profile(name) || of_forms(name)) {
                let sentence = format!("There is no option “{}”.", shown(name));
                return Err(Refusal::new(Code::UnknownOption, name, sentence));
            }
        }
        Ok(())
    }

    /// A form that has the field but no value for it means none; without the field the usual ones are taken.
    fn choose_volumes(&mut self) -> Result<(), Refusal> {
        let offered = |name: &str| {
            self.rules.volumes.iter().find(|volume| volume.name == name && self.standing.offers_volume(volume))
        };
        let asked: Vec<&str> = match self.request.all("volumes") {
            Some(names) => names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect(),
            None => {
                let usual = self.rules.volumes.iter().filter(|volume| volume.default);
                usual.map(|volume| volume.name.as_str()).filter(|name| offered(name).is_some()).collect()
            }
        };
        let mut chosen = Vec::new();
        for name in asked {
            let volume = offered(name).map(Some).ok_or_else(|| not_offered("volumes", name));
            chosen.extend(self.or_default(volume)?);
        }
        if !self.rules.volumes.is_empty() {
            let names: Vec<&str> = chosen.iter().map(|volume| volume.name.as_str()).collect();
            self.options.insert("volumes".to_owned(), names.into());
        }
        self.plan.volumes = chosen.iter().map(|volume| (volume.name.clone(), volume.mount.clone())).collect();
        Ok(())
    }

    /// The last word: what is there is brought within the bounds, or refused.
    fn bound(&mut self) -> Result<(), Refusal> {
        for dimension in [Dimension::Cpu, Dimension::Memory, Dimension::Gpu] {
            let Some(cap) = self.standing.cap(dimension) else { continue };
            self.plan.caps.set(dimension, Some(cap.amount));
            if dimension == Dimension::Gpu {
                if self.plan.gpu() > cap.amount {
                    let sentence = format!("You may have {} in one server.", dimension.told(cap.amount));
                    return Err(Refusal::new(Code::NotOffered, "gpu", sentence));
                }
            } else if cap.amount == 0 {
                return Err(nothing("", "size"));
            }
            self.plan.clamp(dimension, cap.amount);
        }
        self.plan.settle();
        Ok(())
    }
}

/// Names that there are not, and names for others, are refused alike: a refusal tells nothing about what others have.
pub(super) fn not_offered(field: &str, value: &str) -> Refusal {
    let sentence = format!("“{}” is not among the choices you have.", shown(value));
    Refusal::new(Code::NotOffered, field, sentence)
}

fn nothing(field: &str, noun: &str) -> Refusal {
    let sentence = format!("You may not start a server: there is no {noun} that you may choose.");
    Refusal::new(Code::NothingOffered, field, sentence)
}

fn nothing_to_ask(field: &str, asked: Option<&str>) -> Result<(), Refusal> {
    match asked {
        Some(value) => Err(not_offered(field, value)),
        None => Ok(()),
    }
}
