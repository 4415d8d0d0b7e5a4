//! The judgement: a person, a request, and either all that a start needs to know or a refusal.

use serde_json::Value;

use super::Rules;
use super::amount::{Amounts, Dimension, UNLIMITED};
use super::choice::Image;
use super::image::ImageReference;
use super::profile::{Profile, ProfileOption, Unlisted};
use super::refusal::{Code, Refusal, shown};
use super::request::{self, Options, Request};
use super::resolved::Resolved;
use super::rule::Person;
use super::setting::{Setting, filled};
use super::standing::Standing;

/// A request that is granted.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What to start.
    pub plan: Resolved,
    /// What was chosen, defaults included, as it is kept and shown again.
    pub options: Options,
    /// The quotas it counts against, the person's own first.
    pub charges: Vec<Charge>,
    /// What was asked for and left out, when leaving out was allowed.
    pub dropped: Vec<Refusal>,
}

/// A quota that a server counts against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Whose it is; the person's without a group.
    pub group: Option<String>,
    /// The most at once; nothing for any number.
    pub quota: Amounts,
}

/// Judges a request. Everything in it has to be understood and offered.
pub fn decide(rules: &Rules, person: &Person, options: &Value) -> Result<Decision, Refusal> {
    let request = Request::read(options)?;
    judge(&Standing::of(rules, person), &request, options, true, Vec::new())
}

/// Judges what was chosen at another time: what is not offered any more is left out, and told in `dropped`.
pub fn decide_what_can_be(rules: &Rules, person: &Person, options: &Value) -> Result<Decision, Refusal> {
    let (request, dropped) = Request::read_what_can_be(options);
    judge(&Standing::of(rules, person), &request, options, false, dropped)
}

fn judge(
    standing: &Standing<'_>,
    request: &Request,
    raw: &Value,
    strict: bool,
    dropped: Vec<Refusal>,
) -> Result<Decision, Refusal> {
    let mut making = Making::of(standing, request, strict);
    making.dropped = dropped;
    making.make(raw)?;
    let asked = making.asked(&["group"]);
    let asked = making.or_default(asked)?;
    let Making { mut plan, mut options, mut dropped, .. } = making;
    let mut groups = Vec::new();
    let chargeable = standing.chargeable();
    match asked {
        Some(group) if !chargeable.contains(&group) && strict => return Err(not_offered("group", group)),
        Some(group) if !chargeable.contains(&group) => dropped.push(not_offered("group", group)),
        // A group that does not give what was chosen cannot be charged for it: then it is as if none was named.
        Some(group) if charged_alone(standing, &plan, &options, Some(group)) => groups.push(group),
        _ => {}
    }
    if groups.is_empty() {
        let mut alone = std::iter::once(None).chain(chargeable.iter().copied().map(Some));
        match alone.find(|group| charged_alone(standing, &plan, &options, *group)) {
            Some(group) => groups.extend(group),
            // It takes what several groups give: it counts for each.
            None => groups = chargeable.clone(),
        }
    }
    let quota = |dimension| standing.quota(dimension).map(|bound| bound.amount);
    let mut own = Amounts::default();
    Dimension::ALL.into_iter().for_each(|dimension| own.set(dimension, quota(dimension)));
    let mut charges = vec![Charge { group: None, quota: own }];
    if let (true, [group]) = (asked.is_some(), groups.as_slice()) {
        options.insert("group".to_owned(), (*group).into());
    }
    charges.extend(
        groups.into_iter().map(|group| Charge { group: Some(group.to_owned()), quota: standing.quota_of_group(group) }),
    );
    for charge in &charges {
        for dimension in [Dimension::Cpu, Dimension::Memory] {
            let unlimited = plan.takes_any(dimension);
            if let Some(most) = charge.quota.get(dimension).filter(|most| unlimited && *most != UNLIMITED) {
                plan.clamp(dimension, most);
            }
        }
    }
    Ok(Decision { plan, options, charges, dropped })
}

/// Whether a plan could be made with what is free of groups and what one group gives.
fn charged_alone(standing: &Standing<'_>, plan: &Resolved, options: &Options, group: Option<&str>) -> bool {
    if group.is_some_and(|group| !standing.chargeable().contains(&group)) {
        return false;
    }
    let options = Value::Object(options.clone());
    let Ok(request) = Request::read(&options) else { return false };
    let standing = standing.charged_to(group);
    let mut making = Making::of(&standing, &request, true);
    let made = making.make(&options).is_ok();
    making.plan.caps = plan.caps;
    made && making.plan == *plan
}

/// The names of options that mean the same.
const IMAGE: [&str; 2] = ["img", "image"];
const FLAVOUR: [&str; 2] = ["flavour", "flavor"];
const CPU: [&str; 2] = ["cpu", "cores"];
const MEMORY: [&str; 2] = ["mem", "memory"];
const OTHERS: [&str; 5] = ["profile", OWN_IMAGE, "gpu", "volumes", "group"];
/// The field beside the images for one of one's own.
pub(super) const OWN_IMAGE: &str = "img-other";
/// What stands for that field among the images.
pub(super) const OTHER: &str = "other";
/// What stands for an answer of one's own among those of a profile.
pub(super) const UNLISTED: &str = "unlisted-choice";

/// The field of a profile's question in a form, as KubeSpawner names it.
pub(super) fn profile_field(slug: &str, option: &str) -> String {
    format!("profile-option-{slug}--{option}")
}

struct Making<'s> {
    standing: &'s Standing<'s>,
    rules: &'s Rules,
    request: &'s Request,
    strict: bool,
    plan: Resolved,
    options: Options,
    dropped: Vec<Refusal>,
    profile: Option<&'s Profile>,
}

impl<'s> Making<'s> {
    fn of(standing: &'s Standing<'s>, request: &'s Request, strict: bool) -> Self {
        let rules = standing.rules;
        let (plan, options) = (rules.base.clone(), Options::new());
        Self { standing, rules, request, strict, plan, options, dropped: Vec::new(), profile: None }
    }

    fn make(&mut self, raw: &Value) -> Result<(), Refusal> {
        if let Some(sentence) = self.standing.denied() {
            return Err(Refusal::new(Code::Denied, "", sentence));
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
        for name in &self.rules.passed_on {
            if let Some(value) = raw.get(name) {
                self.options.insert(name.clone(), value.clone());
            }
        }
        self.bound()
    }

    /// In a strict judgement a refusal ends it; else it is noted, and what would be without the option is taken.
    fn or_default<T: Default>(&mut self, asked: Result<T, Refusal>) -> Result<T, Refusal> {
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
    fn asked(&self, names: &[&str]) -> Result<Option<&'s str>, Refusal> {
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

    fn choose_profile(&mut self) -> Result<(), Refusal> {
        if self.rules.profiles.is_empty() {
            let asked = self.asked(&["profile"]).and_then(|asked| nothing_to_ask("profile", asked));
            return self.or_default(asked);
        }
        let offered: Vec<&Profile> =
            self.rules.profiles.iter().filter(|profile| self.standing.offers_profile(profile)).collect();
        let asked = self.asked(&["profile"]).and_then(|asked| match asked {
            Some(slug) => offered
                .iter()
                .find(|profile| profile.slug == slug)
                .map(|profile| Some(*profile))
                .ok_or_else(|| not_offered("profile", slug)),
            None => Ok(None),
        });
        let chosen = self.or_default(asked)?;
        let first = offered.iter().find(|profile| profile.default).or(offered.first()).copied();
        let profile = chosen.or(first).ok_or_else(|| nothing("profile", "profile"))?;
        self.profile = Some(profile);
        self.plan.lay(&profile.setting);
        self.plan.profile = Some(profile.slug.clone());
        if profile.setting.image.is_some() {
            self.plan.image_name = Some(profile.display_name.clone());
        }
        self.options.insert("profile".to_owned(), profile.slug.clone().into());
        profile.options.iter().try_for_each(|option| self.choose_of_profile(profile, option))
    }

    fn choose_of_profile(&mut self, profile: &'s Profile, option: &'s ProfileOption) -> Result<(), Refusal> {
        let answered = self.answer(profile, option);
        if let Some((setting, name, key, value)) = self.or_default(answered)? {
            self.answered(setting, name, key, value);
            return Ok(());
        }
        let offered = || option.choices.iter().filter(|choice| self.standing.offers_choice(choice));
        let Some(choice) = offered().find(|choice| choice.default).or(offered().next()) else {
            let field = profile_field(&profile.slug, &option.name);
            let sentence = format!("Write something for “{}”.", option.display_name);
            return Err(Refusal::new(Code::BadValue, field, sentence));
        };
        self.answered(choice.setting.clone(), choice.display_name.clone(), option.name.clone(), choice.name.clone());
        Ok(())
    }

    fn answered(&mut self, setting: Setting, name: String, key: String, value: String) {
        self.plan.lay(&setting);
        if setting.image.is_some() {
            self.plan.image_name = Some(name);
        }
        self.options.insert(key, value.into());
    }

    /// What was answered to a question of a profile: what it sets, what people call it, and how it is kept.
    #[allow(clippy::type_complexity)]
    fn answer(
        &self,
        profile: &Profile,
        option: &ProfileOption,
    ) -> Result<Option<(Setting, String, String, String)>, Refusal> {
        let field = profile_field(&profile.slug, &option.name);
        let first = |names: [&str; 2]| -> Result<Option<&'s str>, Refusal> {
            match self.request.one(names[0])? {
                Some(value) => Ok(Some(value)),
                None => self.request.one(names[1]),
            }
        };
        let chosen = first([&field, &option.name])?;
        if let Some(name) = chosen.filter(|name| *name != UNLISTED) {
            let mut offered = option.choices.iter().filter(|choice| self.standing.offers_choice(choice));
            let choice = offered.find(|choice| choice.name == name).ok_or_else(|| not_offered(&field, name))?;
            let (setting, told) = (choice.setting.clone(), choice.display_name.clone());
            return Ok(Some((setting, told, option.name.clone(), choice.name.clone())));
        }
        let key = format!("{}--{UNLISTED}", option.name);
        let typed = first([&format!("{field}--{UNLISTED}"), &key])?;
        match (typed, &option.unlisted, chosen) {
            (Some(typed), Some(unlisted), _) if self.standing.offers_unlisted(unlisted) => {
                let setting = self.typed(unlisted, &field, typed)?;
                Ok(Some((setting, typed.to_owned(), key, typed.to_owned())))
            }
            (Some(typed), _, _) => Err(not_offered(&field, typed)),
            (None, _, Some(_)) => {
                let sentence = format!("Write something for “{}”.", option.display_name);
                Err(Refusal::new(Code::BadValue, field, sentence))
            }
            (None, _, None) => Ok(None),
        }
    }

    fn typed(&self, unlisted: &Unlisted, field: &str, typed: &str) -> Result<Setting, Refusal> {
        if unlisted.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(typed)) {
            let plain = format!("“{}” does not have the form that is asked for.", shown(typed));
            return Err(Refusal::new(Code::BadValue, field, unlisted.message.clone().unwrap_or(plain)));
        }
        let written = filled(&Value::Object(unlisted.written.clone()), typed);
        let mut setting = written
            .as_object()
            .map(Setting::read)
            .unwrap_or_else(|| Ok(Setting::default()))
            .map_err(|(_, what)| Refusal::new(Code::BadValue, field, format!("“{}” {what}.", shown(typed))))?;
        if unlisted.names_image()
            && let Some(Some(image)) = &setting.image
        {
            let image = self.parsed(field, image)?;
            setting.image = Some(Some(image.to_string()));
        }
        if self.standing.fits_typed(&setting) { Ok(setting) } else { Err(not_offered(field, typed)) }
    }

    fn choose_image(&mut self) -> Result<(), Refusal> {
        let own = !self.standing.own_images().is_empty();
        if self.rules.images.is_empty() && !own {
            let asked = self.asked(&IMAGE).and_then(|asked| nothing_to_ask("img", asked));
            return self.or_default(asked);
        }
        let asked = self.asked(&IMAGE).and_then(|asked| self.asked_image(asked));
        let asked = self.or_default(asked)?;
        let offered = || self.rules.images.iter().filter(|image| self.standing.offers_image(image));
        match asked {
            Some(Err(own)) => {
                self.options.insert("img".to_owned(), own.to_string().into());
                (self.plan.image, self.plan.image_name) = (Some(own.to_string()), Some(own.to_string()));
            }
            Some(Ok(image)) => self.lay_image(image),
            None => match offered().find(|image| image.default).or(offered().next()) {
                Some(image) => self.lay_image(image),
                None if self.rules.images.is_empty() => {}
                None => return Err(nothing("img", "image")),
            },
        }
        Ok(())
    }

    fn lay_image(&mut self, image: &Image) {
        self.plan.image = Some(image.reference.clone());
        self.plan.image_name = Some(image.display_name.clone());
        self.options.insert("img".to_owned(), image.name.clone().into());
    }

    /// The image that is asked for: one of the list, or one's own.
    fn asked_image(&self, asked: Option<&str>) -> Result<Option<Result<&'s Image, ImageReference>>, Refusal> {
        let asked = match asked {
            Some(OTHER) => match self.request.one(OWN_IMAGE)? {
                Some(typed) => typed,
                None => return Err(Refusal::new(Code::BadImage, "img", "Write the name of your image.")),
            },
            Some(asked) => asked,
            None => return Ok(None),
        };
        let images = &self.rules.images;
        let listed = images.iter().find(|image| image.name == asked);
        let listed = listed
            .or_else(|| images.iter().find(|image| image.reference == asked && self.standing.offers_image(image)));
        if let Some(image) = listed {
            return if self.standing.offers_image(image) {
                Ok(Some(Ok(image)))
            } else {
                Err(not_offered("img", asked))
            };
        }
        let allowances = self.standing.own_images();
        if allowances.is_empty() {
            return Err(not_offered("img", asked));
        }
        let image = self.parsed("img", asked)?;
        let mut admitting = allowances.iter().filter(|allowance| allowance.admits(&image)).peekable();
        if admitting.peek().is_none() {
            let from: Vec<&str> = allowances.iter().flat_map(|one| &one.registries).map(String::as_str).collect();
            let sentence = format!("An image of your own has to come from {}.", from.join(" or "));
            return Err(Refusal::new(Code::ImageNotAllowed, "img", sentence));
        }
        if !image.has_digest() && admitting.all(|allowance| allowance.require_digest) {
            let sentence = "An image of your own has to be named by its digest: NAME@sha256:…";
            return Err(Refusal::new(Code::DigestRequired, "img", sentence));
        }
        Ok(Some(Err(image)))
    }

    /// A reference that somebody wrote, unless it is one that a policy denies.
    fn parsed(&self, field: &str, text: &str) -> Result<ImageReference, Refusal> {
        let image = ImageReference::parse(text)
            .map_err(|error| Refusal::new(Code::BadImage, field, format!("“{}”: {error}.", shown(text))))?;
        let same = |listed: &Image| ImageReference::parse(&listed.reference).is_ok_and(|it| it.name() == image.name());
        let barred = |listed: &&Image| same(listed) && self.standing.bars_image(listed);
        match self.rules.images.iter().find(barred) {
            Some(_) => Err(not_offered(field, text)),
            None => Ok(image),
        }
    }

    fn choose_flavour(&mut self) -> Result<(), Refusal> {
        for (field, names) in [("cpu", &CPU[..]), ("mem", &MEMORY), ("gpu", &["gpu"])] {
            let asked = self.asked(names).and_then(|asked| match (field, asked.and_then(request::gpus)) {
                ("gpu", Some(0)) => Ok(()),
                _ => nothing_to_ask(field, asked),
            });
            self.or_default(asked)?;
        }
        let offered = || self.rules.flavours.iter().filter(|flavour| self.standing.offers_flavour(flavour));
        let asked = self.asked(&FLAVOUR).and_then(|asked| match asked {
            Some(name) => {
                offered().find(|flavour| flavour.name == name).map(Some).ok_or_else(|| not_offered("flavour", name))
            }
            None => Ok(None),
        });
        let first = offered().find(|flavour| flavour.default).or(offered().next());
        let flavour = self.or_default(asked)?.or(first).ok_or_else(|| nothing("flavour", "size"))?;
        self.plan.lay(&flavour.setting(&self.rules.gpu_resource));
        self.plan.flavour = Some(flavour.name.clone());
        self.options.insert("flavour".to_owned(), flavour.name.clone().into());
        Ok(())
    }

    /// What is chosen of a menu of amounts; `None` when there is no such menu.
    fn choose_amount(
        &mut self,
        dimension: Dimension,
        menu: &[u64],
        names: &[&str],
        default: Option<u64>,
        read: fn(&str) -> Option<u64>,
    ) -> Result<Option<u64>, Refusal> {
        let field = names.first().copied().unwrap_or_default();
        let asked = self.asked(names);
        if menu.is_empty() {
            let asked = asked.and_then(|asked| match (dimension, asked.and_then(read)) {
                (Dimension::Gpu, Some(0)) => Ok(()),
                _ => nothing_to_ask(field, asked),
            });
            return self.or_default(asked).map(|()| None);
        }
        let offered = |amount: u64| menu.contains(&amount) && self.standing.within(dimension, amount);
        let asked = asked.and_then(|asked| match asked {
            Some(text) => match read(text) {
                Some(amount) if offered(amount) => Ok(Some(amount)),
                Some(_) => Err(not_offered(field, text)),
                None => {
                    let sentence = format!("“{}” is no number of what “{field}” is counted in.", shown(text));
                    Err(Refusal::new(Code::BadValue, field, sentence))
                }
            },
            None => Ok(None),
        });
        let first = default.filter(|amount| offered(*amount)).or(menu.iter().copied().find(|one| offered(*one)));
        let chosen = self.or_default(asked)?.or(first);
        chosen.map(Some).ok_or_else(|| nothing(field, "size"))
    }

    fn choose_cores(&mut self) -> Result<(), Refusal> {
        let (menu, default) = (&self.rules.cores, self.rules.default_cores);
        if let Some(cores) = self.choose_amount(Dimension::Cpu, menu, &CPU, default, request::cores)? {
            self.plan.cpu_limit = Some(cores);
            self.options.insert("cpu".to_owned(), request::cores_value(cores));
        }
        Ok(())
    }

    fn choose_memory(&mut self) -> Result<(), Refusal> {
        let (menu, default) = (&self.rules.memory, self.rules.default_memory);
        if let Some(bytes) = self.choose_amount(Dimension::Memory, menu, &MEMORY, default, request::memory)? {
            self.plan.mem_limit = Some(bytes);
            self.options.insert("mem".to_owned(), request::memory_text(bytes).into());
        }
        Ok(())
    }

    fn choose_gpus(&mut self) -> Result<(), Refusal> {
        let menu = &self.rules.gpus;
        if let Some(number) = self.choose_amount(Dimension::Gpu, menu, &["gpu"], None, request::gpus)? {
            self.plan.gpus.clear();
            if number > 0 {
                self.plan.gpus.insert(self.rules.gpu_resource.clone(), number);
            }
            self.options.insert("gpu".to_owned(), number.into());
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

impl Resolved {
    /// Whether it may take any amount.
    fn takes_any(&self, dimension: Dimension) -> bool {
        match dimension {
            Dimension::Cpu => self.cpu_limit.is_none(),
            Dimension::Memory => self.mem_limit.is_none(),
            Dimension::Servers | Dimension::Gpu => false,
        }
    }
}

/// Names that there are not, and names for others, are refused alike: a refusal tells nothing about what others have.
fn not_offered(field: &str, value: &str) -> Refusal {
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
