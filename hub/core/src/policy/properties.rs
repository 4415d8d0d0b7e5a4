//! What holds of the judgement whatever the rules are.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::{Map, Value, json};

use super::group::GroupRule;
use super::image::ImageAllowance;
use super::profile::read;
use super::rule::{Deny, Grant, Matching, Named, Names, Quota};
use super::*;

const GROUPS: [&str; 4] = ["g0", "g1", "g2", "/a/b"];
const GIB: u64 = 1 << 30;

fn names(prefix: &'static str, count: usize) -> impl Strategy<Value = Names> {
    let all: Vec<String> = (0..count).map(|at| format!("{prefix}{at}")).chain(["*".to_owned()]).collect();
    subsequence(all, 0..=count).prop_map(Names)
}

fn named() -> impl Strategy<Value = Named> {
    (names("f", 4), names("i", 3), names("v", 2), names("p", 3), names("s", 3))
        .prop_map(|(flavours, images, volumes, profiles, sites)| Named { flavours, images, volumes, profiles, sites })
}

fn amounts() -> impl Strategy<Value = Amounts> {
    let amount = |most: u64, unit: u64| option::weighted(0.4, (0..=most).prop_map(move |n| n * unit));
    (amount(8, 1000), amount(16, GIB), amount(2, 1)).prop_map(|(cpu, memory, gpu)| Amounts {
        servers: None,
        cpu,
        memory,
        gpu,
    })
}

fn groups() -> impl Strategy<Value = Vec<String>> {
    subsequence(GROUPS.map(String::from).to_vec(), 0..=GROUPS.len())
}

fn policy(with_denial: bool) -> impl Strategy<Value = Policy> {
    let rules = subsequence(["g0", "g1", "g2", "/a/**"].to_vec(), 0..=2)
        .prop_map(|rules| rules.into_iter().map(GroupRule::new).collect::<Vec<_>>());
    let own = option::weighted(0.3, any::<bool>()).prop_map(|digest| {
        digest.map(|require_digest| ImageAllowance { registries: vec!["a.example/x".into()], require_digest })
    });
    let default_site = option::weighted(0.3, (0..3).prop_map(|at| format!("s{at}")));
    let quota = (amounts(), option::weighted(0.3, amounts()))
        .prop_map(|(person, group)| Quota { person, group: group.unwrap_or_default() });
    let denial = (named(), any::<bool>(), amounts(), prop::bool::weighted(0.1)).prop_map(
        move |(named, own_images, ceiling, start)| {
            let deny = Deny { named, own_images, start: start.then(|| "No.".to_owned()) };
            if with_denial { (deny, ceiling) } else { Default::default() }
        },
    );
    (
        rules,
        named(),
        own,
        option::weighted(0.6, amounts()),
        option::weighted(0.3, quota),
        option::weighted(0.3, denial),
        default_site,
    )
        .prop_map(|(groups, named, own_images, limit, quota, denial, default_site)| {
            let (deny, ceiling) = denial.unwrap_or_default();
            Policy {
                name: "p".to_owned(),
                matching: Matching { groups, ..Matching::default() },
                grant: Grant { named, own_images },
                limit: limit.unwrap_or_default(),
                quota: quota.unwrap_or_default(),
                default_site,
                ask: Some("Ask.".to_owned()),
                deny,
                ceiling,
                ..Policy::default()
            }
        })
}

fn profiles() -> Vec<Profile> {
    let written = json!([
        {"display_name": "P0", "slug": "p0", "kubespawner_override": {"mem_limit": "4G"}, "profile_options": {
            "image": {"choices": {"min": {"kubespawner_override": {"image": "a.example/min"}},
                "max": {"allowed_groups": ["g1"], "kubespawner_override": {"image": "a.example/max", "cpu_limit": 4}}},
                "unlisted_choice": {"enabled": true, "allowed_groups": ["g0"], "validation_regex": "a\\.example/.+",
                    "kubespawner_override": {"image": "{value}"}}}}},
        {"display_name": "P1", "slug": "p1", "allowed_groups": ["/a/**"], "default": true},
        {"display_name": "P2", "slug": "p2", "allowed_groups": [],
            "kubespawner_override": {"extra_resource_limits": {"nvidia.com/gpu": 1}}},
    ]);
    read(&written.into()).profiles
}

fn rules(with_denial: bool) -> impl Strategy<Value = Rules> {
    let flavour = (option::weighted(0.8, 1u64..8), option::weighted(0.8, 1u64..16), 0u64..3);
    let sites = (0usize..4, option::of(0usize..3));
    (vec(policy(with_denial), 0..5), vec(flavour, 4), any::<bool>(), any::<bool>(), 0usize..4, sites).prop_map(
        |(policies, flavours, with_flavours, with_profiles, images, (sites, own_site))| {
            let flavour = |(at, (cpu, memory, gpu)): (usize, (Option<u64>, Option<u64>, u64))| Flavour {
                name: format!("f{at}"),
                cpu: cpu.map(|cpu| cpu * 1000),
                memory: memory.map(|memory| memory * GIB),
                gpu,
                default: at == 2,
                ..Flavour::default()
            };
            let flavours = flavours.into_iter().enumerate().map(flavour);
            let image = |at: usize| Image {
                name: format!("i{at}"),
                reference: format!("a.example/x/i{at}:1"),
                default: at == 1,
                ..Image::default()
            };
            let volume = |at: usize| Volume { name: format!("v{at}"), default: at == 0, ..Volume::default() };
            let site = |at: usize| Site { name: format!("s{at}"), display_name: format!("S{at}"), ..Site::default() };
            Rules {
                images: (0..images.min(3)).map(image).collect(),
                flavours: if with_flavours { flavours.collect() } else { Vec::new() },
                cores: vec![1000, 2000, 4000],
                memory: vec![GIB, 4 * GIB],
                gpus: vec![0, 1, 2],
                gpu_resource: "nvidia.com/gpu".to_owned(),
                volumes: (0..2).map(volume).collect(),
                sites: (0..sites.min(3)).map(site).collect(),
                own_site: own_site.map(|at| format!("s{at}")),
                profiles: if with_profiles { profiles() } else { Vec::new() },
                policies,
                ..Rules::default()
            }
        },
    )
}

fn person() -> impl Strategy<Value = Person> {
    let closed = subsequence(vec![0usize, 1, 2], 0..=2);
    (groups(), closed, option::of(0usize..4)).prop_map(|(groups, closed, last)| {
        let closed = closed.into_iter().map(|at| (format!("s{at}"), format!("S{at} is closed."))).collect();
        let places = Places { last: last.map(|at| format!("s{at}")), closed };
        Person { name: "anna".to_owned(), admin: false, groups, places }
    })
}

/// The answers of a form: one open choice of each question, by a row of numbers that stand for chance.
fn answers(questions: &[Question], chance: &[usize]) -> Map<String, Value> {
    let mut form = Map::new();
    for (question, pick) in questions.iter().zip(chance.iter().cycle()) {
        let mut open: Vec<&str> =
            question.choices.iter().filter(|one| one.ask.is_none()).map(|one| &*one.value).collect();
        open.extend(question.typed.iter().map(|typed| typed.choice.as_str()));
        let Some(value) = open.get(pick % open.len().max(1)) else { continue };
        form.insert(question.name.clone(), json!([value]));
        if let Some(typed) = question.typed.as_ref().filter(|typed| typed.choice == *value) {
            form.insert(typed.name.clone(), json!([format!("a.example/x/own{pick}@sha256:{}", "0".repeat(64))]));
        }
    }
    form
}

/// The same answers as a program sends them.
fn plain(form: &Map<String, Value>) -> Value {
    let chosen = form.get("profile").and_then(|values| values[0].as_str()).unwrap_or_default();
    let mine = format!("profile-option-{chosen}--");
    let mut plain = Map::new();
    for (name, values) in form {
        if name.starts_with("profile-option-") && !name.starts_with(&mine) {
            continue;
        }
        let value = values[0].as_str().unwrap_or_default();
        let value = if name == "gpu" || name == "cpu" { value.parse().unwrap_or(json!(value)) } else { json!(value) };
        let name = name.strip_prefix(&mine).unwrap_or(name).to_owned();
        if name == "volumes" {
            plain.insert(name, json!([value]))
        } else {
            plain.insert(name, value)
        };
    }
    Value::Object(plain)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_the_menu_offers_is_accepted_and_form_program_and_start_agree(
        rules in rules(true), person in person(), chance in vec(0usize..97, 7),
    ) {
        let standing = Standing::of(&rules, &person);
        let Ok(usual) = decide_what_can_be(&rules, &person, &Value::Null) else { return Ok(()) };
        let form = answers(&menu(&standing, &usual), &chance);
        let by_form = decide(&rules, &person, &Value::Object(form.clone()));
        prop_assert!(by_form.is_ok(), "{:?} for {}", by_form, Value::Object(form));
        let by_form = by_form.unwrap();
        let by_program = decide(&rules, &person, &plain(&form)).unwrap();
        prop_assert_eq!(&by_program.plan, &by_form.plan);
        // What is kept is what a later start is judged by, strictly or not.
        let kept = Value::Object(by_form.options.clone());
        for again in [decide(&rules, &person, &kept).unwrap(), decide_what_can_be(&rules, &person, &kept).unwrap()] {
            prop_assert_eq!(&again.plan, &by_form.plan);
            prop_assert_eq!(&again.options, &by_form.options);
            prop_assert_eq!(&again.charges, &by_form.charges);
        }
        // The page that is shown again has selected what was chosen.
        let shown = menu(&standing, &by_form);
        let selected: Map<String, Value> = shown.iter().filter(|question| question.about != About::Group)
            .flat_map(|question| {
                let of = question.choices.iter().filter(|one| one.selected).map(|one| one.value.clone());
                let typed = question.typed.iter().filter(|typed| typed.selected);
                let own = typed.clone().map(|typed| (typed.name.clone(), json!([typed.value])));
                let values: Vec<String> = of.chain(typed.map(|typed| typed.choice.clone())).collect();
                own.chain([(question.name.clone(), json!(values))]).collect::<Vec<_>>()
            })
            .collect();
        prop_assert_eq!(&decide(&rules, &person, &Value::Object(selected)).unwrap().plan, &by_form.plan);
    }

    /// H5: whoever asks for what was not offered gets nothing.
    #[test]
    fn whatever_the_menu_does_not_offer_is_refused(rules in rules(true), person in person()) {
        let standing = Standing::of(&rules, &person);
        let questions = match decide_what_can_be(&rules, &person, &Value::Null) {
            Ok(usual) => menu(&standing, &usual),
            Err(_) => Vec::new(),
        };
        let open = |name: &str, value: &str| questions.iter().any(|question| {
            question.name == name && question.choices.iter().any(|one| one.value == value && one.ask.is_none())
        });
        let mut all: Vec<(&str, String)> = vec![("img", "i9".into()), ("flavour", "f9".into()), ("profile", "p9".into()), ("site", "s9".into())];
        all.extend(rules.images.iter().map(|one| ("img", one.name.clone())));
        all.extend(rules.flavours.iter().map(|one| ("flavour", one.name.clone())));
        all.extend(rules.volumes.iter().map(|one| ("volumes", one.name.clone())));
        all.extend(rules.profiles.iter().map(|one| ("profile", one.slug.clone())));
        // Who has one site is not asked, and may name it.
        let many = questions.iter().any(|question| question.about == About::Site);
        let named = |site: &&Site| many || !standing.offers_site(site) || standing.closed(site).is_some();
        all.extend(rules.sites.iter().filter(named).map(|one| ("site", one.name.clone())));
        all.extend(["1", "2", "3", "4"].map(|cores| ("cpu", cores.to_owned())));
        all.extend(["1G", "2G", "4G"].map(|bytes| ("mem", bytes.to_owned())));
        all.extend(["1", "2", "3"].map(|number| ("gpu", number.to_owned())));
        let own_images = questions.iter().any(|question| question.about == About::Image && question.typed.is_some());
        for (name, value) in all.into_iter().filter(|(name, value)| !(open(name, value) || own_images && *name == "img")) {
            let decided = decide(&rules, &person, &json!({ name: value }));
            prop_assert!(decided.is_err(), "{name}={value}: {decided:?}");
        }
    }

    #[test]
    fn a_grant_never_shrinks_by_adding_a_grant(
        rules in rules(false), person in person(), more in 0usize..4, chance in vec(0usize..97, 7), grant in named(),
    ) {
        let Ok(usual) = decide_what_can_be(&rules, &person, &Value::Null) else { return Ok(()) };
        let form = answers(&menu(&Standing::of(&rules, &person), &usual), &chance);
        let before = decide(&rules, &person, &Value::Object(form.clone())).unwrap();
        let asked = Value::Object(before.options.clone());
        // One group more.
        let mut member = person.clone();
        if !member.groups.contains(&GROUPS[more].to_owned()) {
            member.groups.push(GROUPS[more].to_owned());
        }
        // One policy more.
        let mut richer = rules.clone();
        if !richer.policies.is_empty() {
            let grant = Grant { named: grant, own_images: None };
            richer.policies.push(Policy { name: "more".into(), grant, ..Policy::default() });
        }
        for (rules, person) in [(&rules, &member), (&richer, &person), (&richer, &member)] {
            let after = decide(rules, person, &asked);
            prop_assert!(after.is_ok(), "{:?} for {}", after, asked);
            let after = after.unwrap().plan;
            prop_assert_eq!((&after.image, &after.flavour, &after.profile, &after.gpus, &after.volumes),
                (&before.plan.image, &before.plan.flavour, &before.plan.profile, &before.plan.gpus, &before.plan.volumes));
            let at_least = |after: Option<u64>, before: Option<u64>| after.is_none() || (before.is_some() && after >= before);
            // A server without a limit of its own is given a quota for one, and a quota is no grant.
            let quotas = |dimension| Standing::of(rules, person).quota(dimension).is_some();
            prop_assert!(quotas(Dimension::Cpu) || at_least(after.cpu_limit, before.plan.cpu_limit));
            prop_assert!(quotas(Dimension::Memory) || at_least(after.mem_limit, before.plan.mem_limit));
        }
    }

    #[test]
    fn deny_and_ceiling_win(rules in rules(true), person in person(), denied in named(), ceiling in amounts()) {
        let mut stricter = rules.clone();
        let deny = Deny { named: denied.clone(), own_images: true, start: None };
        stricter.policies.push(Policy { name: "no".into(), deny, ceiling, ..Policy::default() });
        let standing = Standing::of(&stricter, &person);
        let Ok(usual) = decide_what_can_be(&stricter, &person, &Value::Null) else { return Ok(()) };
        let plan = &usual.plan;
        prop_assert!(ceiling.cpu.is_none_or(|most| plan.cpu_limit.is_some_and(|cpu| cpu <= most)));
        prop_assert!(ceiling.memory.is_none_or(|most| plan.mem_limit.is_some_and(|memory| memory <= most)));
        prop_assert!(ceiling.gpu.is_none_or(|most| plan.gpu() <= most));
        for question in menu(&standing, &usual) {
            prop_assert!(question.about != About::Image || question.typed.is_none());
            let kind = match question.about {
                About::Image => &denied.images,
                About::Flavour => &denied.flavours,
                About::Volumes => &denied.volumes,
                About::Profile => &denied.profiles,
                About::Site => &denied.sites,
                _ => continue,
            };
            prop_assert!(question.choices.iter().all(|choice| !kind.has(&choice.value)), "{question:?}");
        }
        stricter.policies.push(Policy {
            deny: Deny { start: Some("Never.".into()), ..Deny::default() }, ..Policy::default()
        });
        let refusal = decide(&stricter, &person, &Value::Null).unwrap_err();
        prop_assert_eq!(refusal.code, Code::Denied);
    }

    #[test]
    fn a_server_starts_at_a_site_that_is_granted_and_takes_starts(rules in rules(true), person in person()) {
        let standing = Standing::of(&rules, &person);
        let open: Vec<&str> =
            standing.sites().filter(|site| standing.closed(site).is_none()).map(|site| &*site.name).collect();
        match decide(&rules, &person, &Value::Null) {
            Ok(decision) => match decision.plan.site.as_deref() {
                None => prop_assert!(rules.sites.is_empty()),
                Some(site) => {
                    prop_assert!(open.contains(&site), "{site} of {open:?}");
                    // Its storage is where it ran last.
                    let last = person.places.last.as_deref().filter(|last| open.contains(last));
                    prop_assert!(last.is_none_or(|last| last == site));
                    prop_assert_eq!(decision.options.get("site"), Some(&json!(site)));
                }
            },
            Err(refusal) => prop_assert!(refusal.code != Code::SiteClosed || open.is_empty(), "{refusal:?}"),
        }
    }

    #[test]
    fn any_options_at_all_are_judged(
        rules in rules(true), person in person(),
        names in vec("[a-z-]{0,12}|img|cpu|mem|gpu|flavour|profile|volumes|site|group|img-other", 0..4), texts in vec(any::<String>(), 4),
    ) {
        let options: Map<String, Value> = names.into_iter().zip(texts).map(|(name, text)| (name, json!([text]))).collect();
        let options = Value::Object(options);
        if let Ok(decision) = decide(&rules, &person, &options) {
            prop_assert_eq!(decision.plan.takes().servers, Some(1));
        }
        if let Err(refusal) = decide_what_can_be(&rules, &person, &options) {
            // What was chosen before never leads into a dead end that the usual choice does not lead into.
            prop_assert!(decide_what_can_be(&rules, &person, &Value::Null).is_err(), "{refusal:?}");
        }
    }
}
