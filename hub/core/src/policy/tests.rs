//! The judgement by example.

use serde_json::{Value, json};

use super::group::GroupRule;
use super::image::ImageAllowance;
use super::profile::read;
use super::rule::{Deny, Grant, Matching, Named, Names, Quota};
use super::*;

const GIB: u64 = 1 << 30;

fn person(groups: &[&str]) -> Person {
    let groups = groups.iter().map(|group| group.to_string()).collect();
    Person { name: "anna".into(), groups, ..Person::default() }
}

fn names(names: &[&str]) -> Names {
    Names(names.iter().map(|name| name.to_string()).collect())
}

fn for_groups(groups: &[&str]) -> Matching {
    Matching { groups: groups.iter().map(|group| GroupRule::new(*group)).collect(), ..Matching::default() }
}

/// The hub of the talk: image, cores, memory and GPU by group.
fn talk() -> Rules {
    let image = |name: &str, reference: &str| Image {
        name: name.into(),
        display_name: name.to_uppercase(),
        reference: reference.into(),
        ..Image::default()
    };
    let everybody = Policy {
        name: "everybody".into(),
        grant: Grant { named: Named { images: names(&["base"]), ..Named::default() }, own_images: None },
        limit: Amounts { cpu: Some(2000), memory: Some(4 * GIB), gpu: Some(0), servers: None },
        quota: Quota { person: Amounts { servers: Some(1), ..Amounts::default() }, group: Amounts::default() },
        greeting: Some("You are logged in as default user.".into()),
        ..Policy::default()
    };
    let own_images = ImageAllowance { registries: vec!["harbor.example.org/cygno/".into()], require_digest: false };
    let cygno = Policy {
        name: "cygno".into(),
        matching: for_groups(&["/users/cygno/**"]),
        grant: Grant { named: Named { images: names(&["*"]), ..Named::default() }, own_images: Some(own_images) },
        limit: Amounts { cpu: Some(8000), memory: Some(32 * GIB), gpu: Some(1), servers: None },
        quota: Quota {
            person: Amounts { servers: Some(3), cpu: Some(16_000), ..Amounts::default() },
            group: Amounts { gpu: Some(4), ..Amounts::default() },
        },
        ask: Some("Ask to join it.".into()),
        ..Policy::default()
    };
    let suspended = Policy {
        name: "suspended".into(),
        matching: for_groups(&["suspended"]),
        deny: Deny { start: Some("Your account is suspended.".into()), ..Deny::default() },
        ..Policy::default()
    };
    Rules {
        images: vec![image("base", "harbor.example.org/lab/base:1"), image("cygno", "harbor.example.org/cygno/lab:2")],
        cores: vec![1000, 2000, 8000],
        memory: vec![2 * GIB, 4 * GIB, 32 * GIB],
        gpus: vec![0, 1],
        gpu_resource: "nvidia.com/gpu".into(),
        policies: vec![everybody, cygno, suspended],
        ..Rules::default()
    }
}

#[test]
fn what_each_group_may_choose_and_why_another_may_not() {
    let (rules, nobody) = (talk(), person(&[]));
    let member = person(&["/users/cygno/analysis"]);
    let usual = decide(&rules, &nobody, &Value::Null).unwrap();
    assert_eq!(Value::Object(usual.options), json!({"img": "base", "cpu": 1, "mem": "2G", "gpu": 0}));
    assert_eq!((usual.plan.cpu_limit, usual.plan.mem_limit, usual.plan.gpu()), (Some(1000), Some(2 * GIB), 0));
    let table = [
        (json!({"img": "cygno"}), Some(Code::NotOffered), None),
        (json!({"cpu": 8}), Some(Code::NotOffered), None),
        (json!({"cpu": ["8"], "mem": ["4G"]}), Some(Code::NotOffered), None),
        (json!({"mem": "32G"}), Some(Code::NotOffered), None),
        (json!({"gpu": "Y"}), Some(Code::NotOffered), None),
        (json!({"gpu": "N"}), None, None),
        (json!({"cpu": 3}), Some(Code::NotOffered), Some(Code::NotOffered)),
        (json!({"cpu": "many"}), Some(Code::BadValue), Some(Code::BadValue)),
        (json!({"cpu": ["1", "2"]}), Some(Code::BadValue), Some(Code::BadValue)),
        (json!({"flavour": "a100"}), Some(Code::NotOffered), Some(Code::NotOffered)),
        (json!({"privileged": true}), Some(Code::UnknownOption), Some(Code::UnknownOption)),
        (json!({"img": "harbor.example.org/cygno/mine:7"}), Some(Code::NotOffered), None),
        (json!({"img": ["other"], "img-other": ["harbor.example.org/cygno/mine"]}), Some(Code::NotOffered), None),
        (json!({"img": "harbor.example.org/cygnoevil/x"}), Some(Code::NotOffered), Some(Code::ImageNotAllowed)),
        (json!({"img": "python"}), Some(Code::NotOffered), Some(Code::ImageNotAllowed)),
        (json!({"img": "--privileged"}), Some(Code::NotOffered), Some(Code::BadImage)),
        (json!({"img": "harbor.example.org/lab/base:1"}), None, None),
        (json!({"volumes": ["home"]}), Some(Code::NotOffered), Some(Code::NotOffered)),
        (json!({"group": "/users/cygno/analysis"}), Some(Code::NotOffered), None),
        (json!("x"), Some(Code::BadValue), Some(Code::BadValue)),
    ];
    for (options, others, members) in table {
        let code = |person| decide(&rules, person, &options).err().map(|refusal| refusal.code);
        assert_eq!((code(&nobody), code(&member)), (others, members), "{options}");
    }
    let refusal = decide(&rules, &person(&["/users/cygno", "suspended"]), &Value::Null).unwrap_err();
    assert_eq!((refusal.code, refusal.sentence.as_str()), (Code::Denied, "Your account is suspended."));
    assert_eq!(Standing::of(&rules, &nobody).greeting(), Some("You are logged in as default user."));
}

#[test]
fn what_one_may_ask_for_is_shown_with_the_group_and_cannot_be_chosen() {
    let (rules, nobody) = (talk(), person(&[]));
    let usual = decide(&rules, &nobody, &Value::Null).unwrap();
    let questions = menu(&Standing::of(&rules, &nobody), &usual);
    let asks: Vec<(&str, &str)> = questions
        .iter()
        .flat_map(|question| question.choices.iter().filter_map(|one| Some((&*one.value, one.ask.as_deref()?))))
        .collect();
    let sentence = "For members of users/cygno. Ask to join it.";
    assert_eq!(asks, [("cygno", sentence), ("8", sentence), ("32G", sentence), ("1", sentence)]);
}

#[test]
fn a_server_is_charged_to_the_group_that_makes_it_possible_and_to_none_else() {
    let (rules, member) = (talk(), person(&["/users/cygno"]));
    let charged = |options: Value| {
        let decision = decide(&rules, &member, &options).unwrap();
        decision.charges.into_iter().filter_map(|charge| charge.group).collect::<Vec<String>>()
    };
    assert_eq!(charged(json!({"cpu": 2})), Vec::<String>::new());
    assert_eq!(charged(json!({"cpu": 8})), ["/users/cygno"]);
    assert_eq!(charged(json!({"gpu": 1})), ["/users/cygno"]);
    assert_eq!(charged(json!({"cpu": 1, "group": "/users/cygno"})), ["/users/cygno"]);
    let decision = decide(&rules, &member, &json!({"gpu": 1})).unwrap();
    assert_eq!(decision.charges[0].quota.servers, Some(3));
    assert_eq!((decision.charges[1].quota.gpu, decision.charges[1].quota.cpu), (Some(4), None));
}

#[test]
fn a_server_without_a_limit_is_given_all_that_a_quota_has() {
    let mut rules = talk();
    (rules.cores, rules.memory) = (Vec::new(), Vec::new());
    let plan = decide(&rules, &person(&["/users/cygno"]), &Value::Null).unwrap().plan;
    assert_eq!((plan.cpu_limit, plan.mem_limit), (Some(8000), Some(32 * GIB)));
    rules.policies[0].limit = Amounts::default();
    rules.policies[1].limit = Amounts::default();
    let decision = decide(&rules, &person(&["/users/cygno"]), &Value::Null).unwrap();
    assert_eq!((decision.plan.cpu_limit, decision.plan.takes().cpu), (Some(16_000), Some(16_000)));
}

#[test]
fn gpus_come_with_the_flavour_that_has_them_only() {
    let flavour = |name: &str, gpu| Flavour { name: name.into(), gpu, cpu: Some(1000), ..Flavour::default() };
    let rules = Rules {
        flavours: vec![flavour("small", 0), flavour("t4", 1)],
        gpu_resource: "nvidia.com/gpu".into(),
        profiles: read(
            &json!([{"display_name": "All", "kubespawner_override": {
            "extra_resource_limits": {"nvidia.com/gpu": 8}}}])
            .into(),
        )
        .profiles,
        ..Rules::default()
    };
    let plan = |options| decide(&rules, &person(&[]), &options).map(|decision| decision.plan.gpus);
    assert!(plan(json!({"flavour": "small"})).unwrap().is_empty());
    assert!(plan(json!({"flavour": "small", "gpu": "N"})).unwrap().is_empty());
    assert_eq!(plan(json!({"flavour": "t4"})).unwrap(), [("nvidia.com/gpu".to_owned(), 1)].into());
    assert_eq!(plan(json!({"flavour": "small", "gpu": 1})).unwrap_err().code, Code::NotOffered);
}

#[test]
fn what_was_chosen_before_and_is_gone_is_left_out_and_told() {
    let rules = talk();
    let before = json!({"img": "gone", "cpu": 8, "mem": "4G", "old": "x", "gpu": {"bad": 1}});
    let decision = decide_what_can_be(&rules, &person(&[]), &before).unwrap();
    assert_eq!(Value::Object(decision.options), json!({"img": "base", "cpu": 1, "mem": "4G", "gpu": 0}));
    let mut fields: Vec<&str> = decision.dropped.iter().map(|refusal| refusal.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["cpu", "gpu", "img", "old"]);
}

/// From the guide of Zero to JupyterHub, with `allowed_groups` at its three levels.
fn z2jh() -> Rules {
    let read = read(&json!([
        {"display_name": "Shared <b>CPU</b>", "slug": "cpu", "default": true,
         "kubespawner_override": {"cpu_limit": 2, "mem_limit": "4G", "image": "quay.io/jupyter/base-notebook:1"},
         "profile_options": {
            "image": {
                "display_name": "Image",
                "choices": {
                    "pytorch": {"display_name": "PyTorch", "default": true,
                        "kubespawner_override": {"image": "quay.io/jupyter/pytorch-notebook:1"}},
                    "secret": {"display_name": "Secret", "allowed_groups": ["staff"],
                        "kubespawner_override": {"image": "quay.io/secret/x:1"}}},
                "unlisted_choice": {"enabled": true, "display_name": "Custom image", "allowed_groups": ["staff"],
                    "validation_regex": "quay\\.io/.+:.+", "validation_message": "Must be on quay.io, with a tag.",
                    "kubespawner_override": {"image": "{value}", "environment": {"CUSTOM": "{value}"}}}}}},
        {"display_name": "GPU", "allowed_groups": ["gpu-users"],
         "kubespawner_override": {"extra_resource_limits": {"nvidia.com/gpu": "1"}, "node_selector": {"pool": "gpu"}}},
    ]).into());
    assert_eq!((read.problems.len(), read.notes.len()), (0, 0), "{:?} {:?}", read.problems, read.notes);
    Rules { profiles: read.profiles, ..Rules::default() }
}

#[test]
fn a_profile_list_of_z2jh_works_with_groups_at_three_levels() {
    let rules = z2jh();
    let image = |groups: &[&str], options: Value| {
        decide(&rules, &person(groups), &options).map(|decision| decision.plan.image.unwrap_or_default())
    };
    let code = |groups: &[&str], options: Value| image(groups, options).unwrap_err().code;
    assert_eq!(image(&[], Value::Null).unwrap(), "quay.io/jupyter/pytorch-notebook:1");
    assert_eq!(image(&["staff"], json!({"profile": "cpu", "image": "secret"})).unwrap(), "quay.io/secret/x:1");
    assert_eq!(code(&[], json!({"profile": "cpu", "image": "secret"})), Code::NotOffered);
    assert_eq!(code(&[], json!({"profile": "gpu"})), Code::NotOffered);
    assert_eq!(code(&["staff"], json!({"profile": "no-such"})), Code::NotOffered);
    let form = json!({"profile": ["cpu"], "profile-option-cpu--image": ["unlisted-choice"],
        "profile-option-cpu--image--unlisted-choice": ["quay.io/me/x:2"]});
    assert_eq!(image(&["staff"], form.clone()).unwrap(), "quay.io/me/x:2");
    assert_eq!(code(&[], form), Code::NotOffered);
    let refusal = decide(&rules, &person(&["staff"]), &json!({"image--unlisted-choice": "quay.io/me/x"})).unwrap_err();
    assert_eq!((refusal.code, refusal.sentence.as_str()), (Code::BadValue, "Must be on quay.io, with a tag."));
    // The whole text has to match, and it has to be an image.
    assert_eq!(code(&["staff"], json!({"image--unlisted-choice": "evil.org/x#quay.io/me/x:2"})), Code::BadValue);
    assert_eq!(code(&["staff"], json!({"image--unlisted-choice": "quay.io/me/x:2 --privileged"})), Code::BadImage);
    let typed = decide(&rules, &person(&["staff"]), &json!({"image--unlisted-choice": "quay.io/me/x:2"})).unwrap();
    assert_eq!(typed.plan.environment["CUSTOM"].as_deref(), Some("quay.io/me/x:2"));
    assert_eq!(Value::Object(typed.options), json!({"profile": "cpu", "image--unlisted-choice": "quay.io/me/x:2"}));
    let gpu = decide(&rules, &person(&["gpu-users"]), &json!({"profile": "gpu"})).unwrap().plan;
    assert_eq!((gpu.gpu(), gpu.cpu_limit, gpu.extra["node_selector"]["pool"].as_str()), (1, None, Some("gpu")));
}

#[test]
fn a_policy_caps_what_a_profile_would_give() {
    let mut rules = z2jh();
    let limit = Amounts { cpu: Some(4000), memory: Some(2 * GIB), gpu: Some(0), servers: None };
    rules.policies.push(Policy { name: "all".into(), limit, ..Policy::default() });
    // The only profile of everybody takes more memory than the policy gives, the other one a GPU.
    let refusal = decide(&rules, &person(&["gpu-users"]), &Value::Null).unwrap_err();
    assert_eq!(refusal.code, Code::NothingOffered);
    rules.policies[0].limit.gpu = Some(1);
    let plan = decide(&rules, &person(&["gpu-users"]), &Value::Null).unwrap().plan;
    assert_eq!((plan.profile.as_deref(), plan.mem_limit), (Some("gpu"), Some(2 * GIB)));
}

/// Two sites: one for everybody, the other for a group, whose servers start there.
fn two_sites() -> Rules {
    let site = |name: &str| Site { name: name.into(), display_name: name.to_uppercase(), ..Site::default() };
    let grant = |sites: &[&str]| Grant { named: Named { sites: names(sites), ..Named::default() }, own_images: None };
    Rules {
        sites: vec![site("cnaf"), site("bari")],
        own_site: Some("cnaf".into()),
        policies: vec![
            Policy { name: "all".into(), grant: grant(&["cnaf"]), ..Policy::default() },
            Policy {
                name: "bari".into(),
                matching: for_groups(&["bari"]),
                grant: grant(&["bari"]),
                default_site: Some("bari".into()),
                ..Policy::default()
            },
            Policy {
                name: "guests".into(),
                matching: for_groups(&["guests"]),
                deny: Deny { named: Named { sites: names(&["cnaf"]), ..Named::default() }, ..Deny::default() },
                ..Policy::default()
            },
        ],
        ..Rules::default()
    }
}

#[test]
fn a_server_starts_where_it_ran_last_else_where_the_policy_says_else_where_the_hub_is() {
    let rules = two_sites();
    let at = |groups: &[&str], last: Option<&str>, closed: &[&str], options: Value| {
        let closed = closed.iter().map(|site| (site.to_string(), format!("{site} is closed."))).collect();
        let places = Places { last: last.map(str::to_owned), closed };
        let person = Person { places, ..person(groups) };
        decide(&rules, &person, &options).map(|decision| decision.plan.site.unwrap()).map_err(|refusal| refusal.code)
    };
    let cnaf = || json!({"site": "cnaf"});
    let table = [
        (at(&[], None, &[], Value::Null), Ok("cnaf")),
        (at(&["bari"], None, &[], Value::Null), Ok("bari")),
        (at(&["bari"], Some("cnaf"), &[], Value::Null), Ok("cnaf")),
        (at(&["bari"], Some("cnaf"), &["cnaf"], Value::Null), Ok("bari")),
        (at(&["bari"], None, &["bari"], Value::Null), Ok("cnaf")),
        // Where it ran, and may not any more.
        (at(&[], Some("bari"), &[], Value::Null), Ok("cnaf")),
        (at(&[], Some("gone"), &[], Value::Null), Ok("cnaf")),
        (at(&["bari"], Some("bari"), &[], cnaf()), Ok("cnaf")),
        (at(&["bari"], None, &["cnaf"], cnaf()), Err(Code::SiteClosed)),
        (at(&[], None, &["cnaf"], Value::Null), Err(Code::SiteClosed)),
        (at(&["bari"], None, &["cnaf", "bari"], Value::Null), Err(Code::SiteClosed)),
        (at(&[], None, &[], json!({"site": "bari"})), Err(Code::NotOffered)),
        (at(&[], None, &[], json!({"site": ["nowhere"]})), Err(Code::NotOffered)),
        (at(&["guests"], None, &[], cnaf()), Err(Code::NotOffered)),
        (at(&["guests"], None, &[], Value::Null), Err(Code::NothingOffered)),
    ];
    for (index, (found, expected)) in table.into_iter().enumerate() {
        assert_eq!(found, expected.map(str::to_owned), "row {index}");
    }
}

#[test]
fn a_menu_of_sites_is_for_who_has_several_and_shows_a_closed_one_with_the_reason() {
    let rules = two_sites();
    let closed = [("bari".to_owned(), "Bari is closed.".to_owned())].into();
    let member = Person { places: Places { last: None, closed }, ..person(&["bari"]) };
    let kept = json!({"site": "bari"});
    let decision = decide_what_can_be(&rules, &member, &kept).unwrap();
    assert_eq!(decision.dropped.iter().map(|one| one.sentence.as_str()).collect::<Vec<_>>(), ["Bari is closed."]);
    let questions = menu(&Standing::of(&rules, &member), &decision);
    let site = questions.iter().find(|question| question.about == About::Site).unwrap();
    let choices: Vec<_> = site.choices.iter().map(|one| (&*one.value, one.selected, one.ask.as_deref())).collect();
    assert_eq!(choices, [("cnaf", true, None), ("bari", false, Some("Bari is closed."))]);
    let other = person(&[]);
    let decision = decide(&rules, &other, &Value::Null).unwrap();
    assert!(menu(&Standing::of(&rules, &other), &decision).iter().all(|question| question.about != About::Site));
}

#[test]
fn where_only_sites_are_judged_other_options_are_handed_on_as_they_come() {
    let rules = Rules { policies: Vec::new(), only_sites: true, ..two_sites() };
    let asked = json!({"site": ["bari"], "deep": {"a": [1]}, "img": "anything"});
    let decision = decide(&rules, &person(&[]), &asked).unwrap();
    assert_eq!(Value::Object(decision.options), json!({"site": "bari", "deep": {"a": [1]}, "img": "anything"}));
    assert_eq!((decision.plan.site.as_deref(), decision.plan.image), (Some("bari"), None));
    let refusal = decide(&rules, &person(&[]), &json!({"site": "nowhere"})).unwrap_err();
    assert_eq!(refusal.code, Code::NotOffered);
}
