//! The same rules as questions with answers, for a form or a program that shows one.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::amount::{Amounts, Dimension};
use super::decide::Decision;
use super::image::ImageAllowance;
use super::making::{OTHER, OWN_IMAGE, UNLISTED, profile_field};
use super::profile::{Profile, ProfileOption};
use super::request::{cores_value, memory_text};
use super::rule::Kind;
use super::setting::Setting;
use super::standing::Standing;

/// A question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Question {
    /// What it is about.
    pub about: About,
    /// The option's name in a form.
    pub name: String,
    /// What the operator calls it.
    pub label: Option<String>,
    /// The answers.
    pub choices: Vec<Choice>,
    /// An answer of one's own.
    pub typed: Option<Typed>,
}

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// Which profile.
    Profile,
    /// A question of a profile, which has this slug.
    ProfileOption(String),
    /// Which image.
    Image,
    /// Which size.
    Flavour,
    /// How many cores.
    Cores,
    /// How much memory.
    Memory,
    /// How many GPUs.
    Gpu,
    /// Which volumes; any number of answers.
    Volumes,
    /// At which site.
    Site,
    /// Which group the server is charged to.
    Group,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// What is sent.
    pub value: String,
    /// What people read.
    pub label: String,
    /// A sentence about it.
    pub sentence: Option<String>,
    /// What it has.
    pub has: Amounts,
    /// Its GPUs, by the resource's name.
    pub gpus: BTreeMap<String, u64>,
    /// Whether it is chosen at first.
    pub selected: bool,
    /// For one that may not be chosen: what it takes, or why nobody may at present.
    pub ask: Option<String>,
}

/// By what an image of one's own is judged, to be told while it is typed.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnImages {
    /// Names and references of the list, which may be typed too.
    pub listed: Vec<String>,
    /// Where others may come from; any of them will do.
    pub allowances: Vec<ImageAllowance>,
}

/// An answer of one's own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Typed {
    /// The field's name in a form.
    pub name: String,
    /// What stands for it among the answers.
    pub choice: String,
    /// What that is called, when the operator says so.
    pub label: Option<String>,
    /// What the field is called, when the operator says so.
    pub field: Option<String>,
    /// What is in it.
    pub value: String,
    /// Where an image may come from.
    pub from: Vec<String>,
    /// The whole rule, where it is an image by itself.
    #[serde(skip)]
    pub own: Option<OwnImages>,
    /// Whether it is chosen at first.
    pub selected: bool,
}

/// The questions for somebody, top down, with `chosen` selected.
pub fn menu(standing: &Standing<'_>, chosen: &Decision) -> Vec<Question> {
    let menu = Menu { standing, chosen };
    if standing.rules.only_sites {
        return menu.sites().into_iter().collect();
    }
    let mut questions = menu.profiles();
    questions.extend(menu.images());
    if standing.rules.flavours.is_empty() {
        questions.extend([menu.cores(), menu.memory(), menu.gpus()].into_iter().flatten());
    } else {
        questions.extend(menu.flavours());
    }
    questions.extend([menu.volumes(), menu.sites(), menu.groups()].into_iter().flatten());
    questions
}

struct Menu<'m> {
    standing: &'m Standing<'m>,
    chosen: &'m Decision,
}

impl Menu<'_> {
    fn chosen(&self, name: &str) -> &str {
        self.chosen.options.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn profiles(&self) -> Vec<Question> {
        let rules = self.standing.rules;
        let offered: Vec<&Profile> =
            rules.profiles.iter().filter(|profile| self.standing.offers_profile(profile)).collect();
        if offered.is_empty() {
            return Vec::new();
        }
        let choice = |profile: &&Profile| Choice {
            value: profile.slug.clone(),
            label: profile.display_name.clone(),
            sentence: profile.description.clone(),
            has: amounts(&profile.setting),
            gpus: gpus(&profile.setting),
            selected: self.chosen("profile") == profile.slug,
            ask: None,
        };
        let choices = offered.iter().map(choice).collect();
        let mut questions =
            vec![Question { about: About::Profile, name: "profile".into(), label: None, choices, typed: None }];
        for profile in offered {
            questions.extend(profile.options.iter().map(|option| self.of_profile(profile, option)));
        }
        questions
    }

    fn of_profile(&self, profile: &Profile, option: &ProfileOption) -> Question {
        let offered: Vec<_> = option.choices.iter().filter(|choice| self.standing.offers_choice(choice)).collect();
        let here = self.chosen("profile") == profile.slug;
        let typed_before = self.chosen(&format!("{}--{UNLISTED}", option.name));
        let typed_before = if here { typed_before } else { "" };
        let usual = offered.iter().find(|choice| choice.default).or(offered.first()).map(|choice| choice.name.as_str());
        let selected = match (here, typed_before) {
            (true, "") => Some(self.chosen(&option.name)),
            (true, _) => None,
            (false, _) => usual,
        };
        let choice = |choice: &&super::profile::ProfileChoice| Choice {
            value: choice.name.clone(),
            label: choice.display_name.clone(),
            sentence: choice.description.clone(),
            has: amounts(&choice.setting),
            gpus: gpus(&choice.setting),
            selected: selected == Some(&choice.name),
            ask: None,
        };
        let name = profile_field(&profile.slug, &option.name);
        let unlisted = option.unlisted.as_ref().filter(|unlisted| self.standing.offers_unlisted(unlisted));
        let typed = unlisted.map(|unlisted| Typed {
            name: format!("{name}--{UNLISTED}"),
            choice: UNLISTED.to_owned(),
            label: Some(unlisted.in_choices.clone()),
            field: Some(unlisted.display_name.clone()),
            value: typed_before.to_owned(),
            from: Vec::new(),
            own: None,
            selected: !typed_before.is_empty() || offered.is_empty(),
        });
        Question {
            about: About::ProfileOption(profile.slug.clone()),
            label: Some(option.display_name.clone()),
            choices: offered.iter().map(choice).collect(),
            typed,
            name,
        }
    }

    fn images(&self) -> Option<Question> {
        let chosen = self.chosen("img");
        let named = self.standing.rules.images.iter().filter_map(|image| {
            let ask = match self.standing.offers_image(image) {
                true => None,
                false => Some(self.standing.asking(Kind::Image, &image.name)?),
            };
            Some(Choice {
                value: image.name.clone(),
                label: image.display_name.clone(),
                sentence: image.description.clone(),
                has: Amounts::default(),
                gpus: BTreeMap::new(),
                selected: ask.is_none() && chosen == image.name,
                ask,
            })
        });
        let choices: Vec<Choice> = named.collect();
        let own = self.standing.own_images();
        let offered = self.standing.rules.images.iter().filter(|image| self.standing.offers_image(image));
        let listed_names = offered.flat_map(|image| [image.name.clone(), image.reference.clone()]).collect();
        let listed = choices.iter().any(|choice| choice.selected);
        let value = if listed { "" } else { chosen };
        let typed = (!own.is_empty()).then(|| Typed {
            name: OWN_IMAGE.to_owned(),
            choice: OTHER.to_owned(),
            label: None,
            field: None,
            value: value.to_owned(),
            from: own.iter().flat_map(|allowance| allowance.registries.iter().cloned()).collect(),
            own: Some(OwnImages { listed: listed_names, allowances: own.iter().copied().cloned().collect() }),
            selected: !value.is_empty(),
        });
        let nothing = choices.is_empty() && typed.is_none();
        (!nothing).then(|| Question { about: About::Image, name: "img".into(), label: None, choices, typed })
    }

    fn flavours(&self) -> Option<Question> {
        let rules = self.standing.rules;
        let choices = rules.flavours.iter().filter_map(|flavour| {
            let ask = match self.standing.offers_flavour(flavour) {
                true => None,
                false => Some(self.standing.asking(Kind::Flavour, &flavour.name)?),
            };
            Some(Choice {
                value: flavour.name.clone(),
                label: flavour.display_name.clone(),
                sentence: flavour.description.clone(),
                has: amounts(&flavour.setting(&rules.gpu_resource)),
                gpus: gpus(&flavour.setting(&rules.gpu_resource)),
                selected: ask.is_none() && self.chosen("flavour") == flavour.name,
                ask,
            })
        });
        question(About::Flavour, "flavour", choices.collect())
    }

    fn amounts(&self, dimension: Dimension, menu: &[u64], value: fn(u64) -> String, chosen: &str) -> Vec<Choice> {
        let choices = menu.iter().filter_map(|amount| {
            let ask = match self.standing.within(dimension, *amount) {
                true => None,
                false => Some(self.standing.asking_for(dimension, *amount)?),
            };
            let value = value(*amount);
            let selected = ask.is_none() && value == chosen;
            let mut has = Amounts::default();
            has.set(dimension, Some(*amount));
            let gpus = (dimension == Dimension::Gpu && *amount > 0)
                .then(|| (self.standing.rules.gpu_resource.clone(), *amount))
                .into_iter()
                .collect();
            Some(Choice { label: dimension.told(*amount), sentence: None, has, gpus, selected, ask, value })
        });
        choices.collect()
    }

    fn kept(&self, name: &str) -> String {
        match self.chosen.options.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    fn cores(&self) -> Option<Question> {
        let value = |cores| cores_value(cores).to_string();
        let choices = self.amounts(Dimension::Cpu, &self.standing.rules.cores, value, &self.kept("cpu"));
        question(About::Cores, "cpu", choices)
    }

    fn memory(&self) -> Option<Question> {
        let choices = self.amounts(Dimension::Memory, &self.standing.rules.memory, memory_text, &self.kept("mem"));
        question(About::Memory, "mem", choices)
    }

    /// None where there is nothing to choose but no GPU.
    fn gpus(&self) -> Option<Question> {
        let value = |number: u64| number.to_string();
        let choices = self.amounts(Dimension::Gpu, &self.standing.rules.gpus, value, &self.kept("gpu"));
        question(About::Gpu, "gpu", choices).filter(|question| question.choices.iter().any(|one| one.value != "0"))
    }

    fn volumes(&self) -> Option<Question> {
        let chosen = &self.chosen.plan.volumes;
        let choices = self.standing.rules.volumes.iter().filter_map(|volume| {
            let ask = match self.standing.offers_volume(volume) {
                true => None,
                false => Some(self.standing.asking(Kind::Volume, &volume.name)?),
            };
            Some(Choice {
                value: volume.name.clone(),
                label: volume.display_name.clone(),
                sentence: volume.description.clone(),
                has: Amounts::default(),
                gpus: BTreeMap::new(),
                selected: ask.is_none() && chosen.contains_key(&volume.name),
                ask,
            })
        });
        question(About::Volumes, "volumes", choices.collect())
    }

    /// None for who has one site, or none.
    fn sites(&self) -> Option<Question> {
        let standing = self.standing;
        let choices = standing.rules.sites.iter().filter_map(|site| {
            let ask = match standing.offers_site(site) {
                true => standing.closed(site).map(str::to_owned),
                false => Some(standing.asking(Kind::Site, &site.name)?),
            };
            Some(Choice {
                value: site.name.clone(),
                label: site.display_name.clone(),
                sentence: site.description.clone(),
                has: Amounts::default(),
                gpus: BTreeMap::new(),
                selected: ask.is_none() && self.chosen("site") == site.name,
                ask,
            })
        });
        (standing.sites().count() > 1).then(|| question(About::Site, "site", choices.collect())).flatten()
    }

    fn groups(&self) -> Option<Question> {
        let groups = self.standing.chargeable();
        let choice = |group: &&str| Choice {
            value: (*group).to_owned(),
            label: (*group).to_owned(),
            sentence: None,
            has: Amounts::default(),
            gpus: BTreeMap::new(),
            selected: self.chosen("group") == *group,
            ask: None,
        };
        // Without an answer the first that can give what is chosen is charged.
        (groups.len() > 1).then(|| question(About::Group, "group", groups.iter().map(choice).collect())).flatten()
    }
}

fn question(about: About, name: &str, choices: Vec<Choice>) -> Option<Question> {
    (!choices.is_empty()).then(|| Question { about, name: name.to_owned(), label: None, choices, typed: None })
}

fn gpus(setting: &Setting) -> BTreeMap<String, u64> {
    let some = |(resource, number): (&String, &Option<u64>)| {
        number.filter(|number| *number > 0).map(|number| (resource.clone(), number))
    };
    setting.gpus.iter().filter_map(some).collect()
}

fn amounts(setting: &Setting) -> Amounts {
    Amounts {
        servers: None,
        cpu: setting.cpu_limit.flatten(),
        memory: setting.mem_limit.flatten(),
        gpu: Some(setting.gpu()).filter(|gpu| *gpu > 0),
    }
}
