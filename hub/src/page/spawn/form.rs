//! The questions of the page that starts a server: the menu of the policies as sections and fields. Pure.

use std::collections::BTreeMap;

use hub_core::policy::image::{ImageError, UNDIGESTED, elsewhere};
use hub_core::policy::menu::{OwnImages, Question, Typed};
use hub_core::policy::{self, About, Amounts, Dimension, Person, Refusal, Rules, Standing};
use pages::spawn::{Choice, Field, Input, Offer, Section};
use pages::words::{Words, fill};
use serde_json::{Map, Value, json};
use spawners::Abilities;

use crate::http::Problem;
use crate::options;
use crate::stock::{Left, Stock};

/// So many characters fit into a field for an option.
const LONGEST_OPTION: u32 = 4096;
/// So many of a few answers are cards; more are a list.
const MOST_CARDS: usize = 6;

/// What is asked.
#[derive(Debug, Default)]
pub struct Questions {
    /// What the operators tell.
    pub greeting: Option<String>,
    /// What is left of quotas.
    pub left: Vec<String>,
    /// The questions.
    pub sections: Vec<Section>,
    /// Why no server can be started.
    pub closed: Option<String>,
}

/// Without policies: a field for each option that somebody brings along.
pub fn plain(options: Option<&Value>, frame: &pages::Frame) -> Questions {
    let given = |options: &Map<String, Value>| given(options, frame.words);
    Questions { sections: options.and_then(Value::as_object).map(given).into_iter().collect(), ..Questions::default() }
}

/// A field for each value of each option.
fn given(options: &Map<String, Value>, words: &Words) -> Section {
    let values = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let fields = options.iter().flat_map(|(key, value)| {
        values(value).into_iter().map(|value| Field {
            name: key.clone(),
            label: key.clone(),
            help: None,
            error: None,
            input: text(value.as_str().unwrap_or_default(), String::new()),
        })
    });
    let help = Some(words.spawn_given_help.to_owned());
    Section { help, ..section(words.spawn_given, fields.collect()) }
}

/// What somebody is asked, with `options` chosen as far as they are offered, and what was refused beside its field.
pub fn questions(
    rules: &Rules,
    person: &Person,
    abilities: Abilities,
    options: &Value,
    refused: Option<&Problem>,
    stock: &BTreeMap<String, Stock>,
    words: &Words,
) -> Questions {
    let standing = Standing::of(rules, person);
    let greeting = standing.greeting().map(str::to_owned);
    let decided = policy::decide_what_can_be(rules, person, options);
    let decision = match decided.and_then(|decision| options::supported(abilities, decision)) {
        Ok(decision) => decision,
        Err(refusal) => return Questions { greeting, closed: Some(refusal.sentence), ..Questions::default() },
    };
    let mut form = Form { words, stock, errors: decision.dropped.clone() };
    if let Some((field, sentence)) = refused.and_then(|problem| Some((problem.field()?, problem.message()?))) {
        form.errors.retain(|error| error.field != field);
        form.errors.push(Refusal::new(policy::Code::NotOffered, field, sentence));
    }
    let menu = policy::menu(&standing, &decision);
    Questions { greeting, sections: form.sections(&menu), ..Questions::default() }
}

struct Form<'f> {
    words: &'f Words,
    stock: &'f BTreeMap<String, Stock>,
    errors: Vec<Refusal>,
}

impl Form<'_> {
    fn sections(&self, menu: &[Question]) -> Vec<Section> {
        let words = self.words;
        let mut sections: Vec<Section> = Vec::new();
        let mut size: Vec<Field> = Vec::new();
        for question in menu {
            match &question.about {
                About::Profile => {
                    sections.push(section(words.spawn_profile, self.fields(question, words.spawn_profile)))
                }
                About::ProfileOption(slug) => self.of_profile(&mut sections, menu, question, slug),
                About::Image => sections.push(section(words.spawn_image, self.fields(question, words.spawn_image))),
                About::Flavour => sections.push(section(words.spawn_size, self.fields(question, words.spawn_size))),
                About::Cores => size.push(self.list(question, words.spawn_cores)),
                About::Memory => size.push(self.list(question, words.spawn_memory)),
                About::Gpu => size.push(self.list(question, words.spawn_gpus)),
                About::Volumes | About::Site | About::Group => {}
            }
        }
        if !size.is_empty() {
            sections.push(section(words.spawn_size, size));
        }
        for question in menu {
            match question.about {
                About::Volumes => {
                    let choices = question.choices.iter().map(|choice| self.choice(question, choice)).collect();
                    let field = self.field(&question.name, words.spawn_volumes, Input::Several(choices));
                    sections.push(section(words.spawn_volumes, vec![field]));
                }
                About::Site => sections.push(section(words.spawn_site, self.fields(question, words.spawn_site))),
                About::Group => {
                    let help = Some(words.spawn_group_help.to_owned());
                    sections.push(Section { help, ..section(words.spawn_group, vec![self.group(question)]) });
                }
                _ => {}
            }
        }
        sections
    }

    /// All questions of a profile are one section, shown with the profile.
    fn of_profile(&self, sections: &mut Vec<Section>, menu: &[Question], question: &Question, slug: &str) {
        let label = question.label.as_deref().unwrap_or(&question.name);
        let fields = self.fields(question, label);
        let with = Some(("profile".to_owned(), slug.to_owned()));
        if let Some(section) = sections.iter_mut().find(|section| section.only_with == with) {
            section.fields.extend(fields);
            return;
        }
        let profiles = menu.iter().filter(|question| question.about == About::Profile);
        let mut named = profiles.flat_map(|question| &question.choices);
        let profile = named.find(|choice| choice.value == slug).map_or(slug, |choice| choice.label.as_str());
        let help = Some(fill(self.words.spawn_only_with, profile));
        sections.push(Section { only_with: with, help, ..section(profile, fields) });
    }

    /// The answers as cards or as a list, and the field for one of one's own.
    fn fields(&self, question: &Question, label: &str) -> Vec<Field> {
        let mut choices: Vec<Choice> = question.choices.iter().map(|choice| self.choice(question, choice)).collect();
        choices.extend(question.typed.iter().map(|typed| self.own(typed)));
        let simple = matches!(question.about, About::ProfileOption(_)) || choices.len() > MOST_CARDS;
        let input = if simple { Input::List(choices) } else { Input::Cards(choices) };
        let mut fields = vec![self.field(&question.name, label, input)];
        if let Some(typed) = &question.typed {
            let of = typed.field.as_deref().unwrap_or(self.words.spawn_own_image);
            let example = typed.from.iter().find(|from| *from != "*");
            let example = example.map(|from| format!("{}/NAME:TAG", from.trim_end_matches('/'))).unwrap_or_default();
            let mut input = text(&typed.value, example);
            if let Input::Text { check, .. } = &mut input {
                *check = typed.own.as_ref().map(image_check);
            }
            fields.push(self.field(&typed.name, of, input));
        }
        fields
    }

    fn own(&self, typed: &Typed) -> Choice {
        let from: Vec<&str> =
            typed.from.iter().map(|from| from.trim_end_matches('/')).filter(|from| *from != "*").collect();
        Choice {
            value: typed.choice.clone(),
            label: typed.label.clone().unwrap_or_else(|| self.words.spawn_own_image_card.to_owned()),
            sentence: (!from.is_empty()).then(|| fill(self.words.spawn_own_image_from, from.join(", "))),
            facts: Vec::new(),
            now: None,
            selected: typed.selected,
            offer: Offer::Open,
            told: false,
            opens: Some(typed.name.clone()),
        }
    }

    fn list(&self, question: &Question, label: &str) -> Field {
        let choices = question.choices.iter().map(|choice| self.choice(question, choice)).collect();
        self.field(&question.name, label, Input::List(choices))
    }

    fn group(&self, question: &Question) -> Field {
        let mut any = silent("", self.words.spawn_any_group);
        any.selected = !question.choices.iter().any(|choice| choice.selected);
        let groups = question
            .choices
            .iter()
            .map(|choice| Choice { selected: choice.selected, ..silent(&choice.value, &choice.label) });
        self.field(&question.name, self.words.spawn_group, Input::List(std::iter::once(any).chain(groups).collect()))
    }

    fn choice(&self, question: &Question, choice: &policy::Choice) -> Choice {
        let sized = matches!(question.about, About::Cores | About::Memory | About::Gpu);
        let none = question.about == About::Gpu && choice.value == "0";
        Choice {
            value: choice.value.clone(),
            label: if none { self.words.spawn_no_gpu.to_owned() } else { choice.label.clone() },
            sentence: choice.sentence.clone(),
            facts: if sized { Vec::new() } else { facts(&choice.has) },
            now: self.now(&choice.gpus),
            selected: choice.selected,
            offer: choice.ask.clone().map_or(Offer::Open, Offer::Ask),
            told: !none,
            opens: None,
        }
    }

    /// How many of its devices are free, of the kind of which there are fewest.
    fn now(&self, gpus: &BTreeMap<String, u64>) -> Option<String> {
        let stock = gpus.keys().filter_map(|resource| self.stock.get(resource)).min_by_key(|stock| stock.free)?;
        let words = self.words;
        Some(match (stock.free, stock.waiting) {
            (0, 0) => words.spawn_none_free.to_owned(),
            (0, 1) => words.spawn_one_waits.to_owned(),
            (0, waiting) => fill(words.spawn_some_wait, waiting),
            (free, _) => fill(&fill(words.spawn_free, free), stock.total),
        })
    }

    fn field(&self, name: &str, label: &str, input: Input) -> Field {
        let error = self.errors.iter().find(|error| error.field == name).map(|error| error.sentence.clone());
        Field { name: name.to_owned(), label: label.to_owned(), help: None, error, input }
    }
}

/// What is left of a quota, as a sentence. `of` names the person where it is somebody else's.
pub fn left(quota: &Left, of: Option<&str>, words: &Words) -> String {
    match quota.group.as_deref().or(of) {
        None => fill(words.spawn_left, quota.told()),
        // The name goes in last: it may hold what stands for a value.
        Some(name) => match words.spawn_left_of.split_once("{}") {
            Some((before, after)) => format!("{before}{name}{}", fill(after, quota.told())),
            None => words.spawn_left_of.to_owned(),
        },
    }
}

fn section(title: &str, fields: Vec<Field>) -> Section {
    Section { title: title.to_owned(), help: None, folded: false, only_with: None, fields }
}

fn text(value: &str, placeholder: String) -> Input {
    Input::Text { value: value.to_owned(), placeholder, required: false, most: LONGEST_OPTION, check: None }
}

/// The rule for an image of one's own with the sentences of its refusals, for the page's script. The judge is the start.
fn image_check(own: &OwnImages) -> String {
    let from = own.allowances.iter().map(|one| json!({ "registries": one.registries, "digest": one.require_digest }));
    let mistakes = [
        ("empty", ImageError::Empty),
        ("long", ImageError::TooLong),
        ("registry", ImageError::Registry),
        ("repository", ImageError::Repository),
        ("tag", ImageError::Tag),
        ("digest", ImageError::Digest),
    ];
    let mut told: BTreeMap<&str, String> =
        mistakes.into_iter().map(|(key, mistake)| (key, format!("{mistake}."))).collect();
    told.insert("elsewhere", elsewhere(&own.allowances.iter().collect::<Vec<_>>()));
    told.insert("undigested", UNDIGESTED.to_owned());
    json!({ "listed": own.listed, "from": from.collect::<Vec<_>>(), "told": told }).to_string()
}

fn silent(value: &str, label: &str) -> Choice {
    Choice {
        value: value.to_owned(),
        label: label.to_owned(),
        sentence: None,
        facts: Vec::new(),
        now: None,
        selected: false,
        offer: Offer::Open,
        told: false,
        opens: None,
    }
}

fn facts(has: &Amounts) -> Vec<String> {
    let told = |dimension: Dimension| has.get(dimension).map(|amount| dimension.told(amount));
    [Dimension::Cpu, Dimension::Memory, Dimension::Gpu].into_iter().filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_core::policy::group::GroupRule;
    use hub_core::policy::rule::{Grant, Matching, Named, Names};
    use hub_core::policy::{Image, Policy};
    use pages::words::ENGLISH;

    fn rules() -> Rules {
        let image = |name: &str| Image {
            name: name.into(),
            display_name: name.to_uppercase(),
            reference: format!("quay.io/lab/{name}:1"),
            ..Image::default()
        };
        let grant = |names: &[&str]| Grant {
            named: Named { images: Names(names.iter().map(|name| name.to_string()).collect()), ..Named::default() },
            own_images: None,
        };
        let limit = |cpu| Amounts { cpu: Some(cpu), ..Amounts::default() };
        let everybody = Policy { name: "all".into(), grant: grant(&["base"]), limit: limit(2000), ..Policy::default() };
        let physics = Policy {
            name: "physics".into(),
            matching: Matching { groups: vec![GroupRule::new("physics")], ..Matching::default() },
            grant: grant(&["root"]),
            limit: limit(8000),
            ask: Some("Ask.".into()),
            ..Policy::default()
        };
        Rules {
            images: vec![image("base"), image("root")],
            cores: vec![1000, 2000, 8000],
            greeting: Some("Welcome.".into()),
            policies: vec![everybody, physics],
            ..Rules::default()
        }
    }

    fn asked(groups: &[&str], options: Value) -> Questions {
        let groups = groups.iter().map(|group| group.to_string()).collect();
        let person = Person { name: "anna".into(), groups, ..Person::default() };
        questions(&rules(), &person, Abilities::ALL, &options, None, &BTreeMap::new(), &ENGLISH)
    }

    fn choices(field: &Field) -> Vec<(&str, bool, bool)> {
        match &field.input {
            Input::Cards(choices) | Input::List(choices) | Input::Several(choices) => {
                choices.iter().map(|one| (one.value.as_str(), one.selected, one.offer == Offer::Open)).collect()
            }
            _ => Vec::new(),
        }
    }

    #[test]
    fn the_last_choice_is_selected_and_what_takes_a_group_is_shown_but_closed() {
        let questions = asked(&[], json!({"img": "base", "cpu": 2}));
        let images = choices(&questions.sections[0].fields[0]);
        assert_eq!(images, [("base", true, true), ("root", false, false)]);
        let cores = choices(&questions.sections[1].fields[0]);
        assert_eq!(cores, [("1", false, true), ("2", true, true), ("8", false, false)]);
        assert_eq!((questions.greeting.as_deref(), questions.closed), (Some("Welcome."), None));
    }

    #[test]
    fn a_last_choice_that_is_gone_is_told_beside_its_field() {
        let questions = asked(&["physics"], json!({"img": "gone", "cpu": 8}));
        let image = &questions.sections[0].fields[0];
        assert_eq!(image.error.as_deref(), Some("“gone” is not among the choices you have."));
        assert_eq!(choices(image), [("base", true, true), ("root", false, true)]);
        assert_eq!(questions.sections[1].fields[0].error, None);
    }

    #[test]
    fn what_is_free_now_is_told_of_what_has_devices() {
        let rules = Rules { gpus: vec![0, 1], gpu_resource: "nvidia.com/gpu".into(), ..Rules::default() };
        let told = |total, free, waiting| {
            let stock = BTreeMap::from([("nvidia.com/gpu".to_owned(), Stock { total, free, waiting })]);
            let person = Person { name: "anna".into(), ..Person::default() };
            let asked = questions(&rules, &person, Abilities::ALL, &Value::Null, None, &stock, &ENGLISH);
            let Input::List(choices) = &asked.sections[0].fields[0].input else { panic!() };
            assert_eq!(choices[0].now, None, "no GPU is always free");
            choices[1].now.clone().unwrap()
        };
        assert_eq!(told(7, 2, 0), "2 of 7 free now");
        assert_eq!(told(1, 0, 0), "none free now");
        assert_eq!(told(1, 0, 1), "none free now, 1 waits");
        assert_eq!(told(1, 0, 3), "none free now, 3 wait");
    }

    #[test]
    fn what_is_left_of_a_quota_is_a_sentence() {
        let left = |group: Option<&str>| Left {
            group: group.map(str::to_owned),
            quota: Amounts::default(),
            used: Amounts::default(),
            left: Amounts { gpu: Some(2), ..Amounts::default() },
        };
        let told = |quota: Left, of| super::left(&quota, of, &ENGLISH);
        assert_eq!(told(left(None), None), "Left of your quota: 2 GPUs.");
        assert_eq!(told(left(None), Some("bob")), "Left of the quota of bob: 2 GPUs.");
        assert_eq!(told(left(Some("a{}")), Some("bob")), "Left of the quota of a{}: 2 GPUs.");
    }

    #[test]
    fn what_the_driver_cannot_do_closes_the_page() {
        let person = Person { name: "anna".into(), ..Person::default() };
        let questions =
            questions(&rules(), &person, Abilities::default(), &Value::Null, None, &BTreeMap::new(), &ENGLISH);
        assert_eq!(questions.closed.as_deref(), Some("This hub cannot start servers from an image."));
    }
}
