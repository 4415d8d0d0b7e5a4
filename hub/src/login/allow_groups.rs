//! The rules about groups, owners and providers, as tables.

use std::collections::BTreeSet;

use hub_core::name::UserName;
use proptest::prelude::*;

use super::allow::{Rules, Verdict};
use super::oidc::Claims;
use super::oidc::preset::Preset;
use crate::config::auth::Authenticator;
use crate::config::{AuthConfig, ProviderConfig};

const YES: Verdict = Verdict::Allowed { admin: None };
const MEMBER: Verdict = Verdict::Allowed { admin: Some(false) };
const ADMIN: Verdict = Verdict::Allowed { admin: Some(true) };
const NO: Verdict = Verdict::NotListed;

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn with(change: impl FnOnce(&mut ProviderConfig)) -> AuthConfig {
    let mut provider = ProviderConfig::of("iam", Preset::IndigoIam, "hub");
    change(&mut provider);
    AuthConfig { authenticator: Authenticator::Oidc, providers: vec![provider], ..AuthConfig::default() }
}

fn claims(groups: &[&str]) -> Claims {
    Claims {
        provider: "iam".into(),
        issuer: "https://iam.example".into(),
        subject: "s-1".into(),
        username: "ada".into(),
        display: None,
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        raw_groups: Vec::new(),
        roles: None,
    }
}

fn verdict(auth: &AuthConfig, known: bool, claims: &Claims) -> Verdict {
    Rules::new(auth).unwrap().readmit(&UserName::parse("ada").unwrap(), known, claims)
}

#[test]
fn groups_decide_who_enters_and_who_administers() {
    let nothing = with(|_| {});
    let allowed = with(|iam| iam.allowed_groups = set(&["users/cygno", "staff/**"]));
    let admins = with(|iam| iam.admin_groups = set(&["/admins"]));
    let both = with(|iam| {
        iam.allowed_groups = set(&["users"]);
        iam.admin_groups = set(&["admins"]);
    });
    let global = AuthConfig { allowed_groups: set(&["users"]), admin_groups: set(&["admins"]), ..with(|_| {}) };
    let everybody = with(|iam| iam.allow_all = true);
    let all = AuthConfig { allow_all: Some(true), ..with(|_| {}) };
    let listed = AuthConfig { allowed_users: set(&["Ada"]), ..with(|_| {}) };
    let chief = AuthConfig { admin_users: set(&["ada"]), ..both.clone() };
    let blocked = AuthConfig { blocked_users: set(&["ada"]), ..with(|iam| iam.owner_subjects = set(&["s-1"])) };
    let table = [
        ("nothing lets anybody in", &nothing, &["users"][..], NO),
        ("a member", &allowed, &["users/cygno"], YES),
        ("of no group", &allowed, &[], NO),
        ("of a group above", &allowed, &["users"], NO),
        ("of a group below one that is not said to be deep", &allowed, &["users/cygno/x"], NO),
        ("of a group below one that is", &allowed, &["staff/physics"], YES),
        ("of that group itself", &allowed, &["staff"], YES),
        ("of a group that begins alike", &allowed, &["staffers"], NO),
        ("an administrator", &admins, &["admins"], ADMIN),
        ("nobody in particular", &admins, &["users"], NO),
        ("both: a user", &both, &["users"], MEMBER),
        ("both: an administrator", &both, &["admins"], ADMIN),
        ("rules for every provider: a user", &global, &["users"], MEMBER),
        ("rules for every provider: an administrator", &global, &["admins"], ADMIN),
        ("everybody of this provider", &everybody, &[], YES),
        ("everybody", &all, &[], YES),
        ("listed", &listed, &[], YES),
        ("listed administrators need no group", &chief, &[], ADMIN),
        ("blocked wins over all", &blocked, &["users"], Verdict::Blocked),
    ];
    for (case, auth, groups, expected) in table {
        assert_eq!(verdict(auth, false, &claims(groups)), expected, "{case}");
    }
}

/// H10: the owner needs no group, and administers whatever the groups say.
#[test]
fn the_owner_by_subject_always_enters_and_always_administers() {
    let owned = with(|iam| {
        iam.owner_subjects = set(&["s-1"]);
        iam.allowed_groups = set(&["users"]);
        iam.admin_groups = set(&["admins"]);
    });
    assert_eq!(verdict(&owned, false, &claims(&[])), ADMIN);
    let other = Claims { subject: "s-2".into(), ..claims(&[]) };
    assert_eq!(verdict(&owned, false, &other), NO);
    // The same number at another provider is somebody else.
    let elsewhere = Claims { provider: "other".into(), ..claims(&[]) };
    assert_eq!(verdict(&owned, false, &elsewhere), NO);
}

#[test]
fn a_group_of_one_provider_is_none_of_another() {
    let mut auth = with(|iam| iam.allowed_groups = set(&["admins"]));
    auth.providers.push(ProviderConfig::of("google", Preset::Google, "hub"));
    let of = |provider: &str| Claims { provider: provider.into(), ..claims(&["admins"]) };
    assert_eq!(verdict(&auth, false, &of("iam")), YES);
    assert_eq!(verdict(&auth, false, &of("google")), NO);
    assert_eq!(verdict(&auth, false, &of("gone")), NO);
}

/// H1: a list of users beside a rule about groups keeps nobody in who lost the group.
#[test]
fn being_known_lets_people_of_a_provider_in_only_where_that_is_written() {
    let rules = with(|iam| iam.allowed_groups = set(&["users"]));
    let beside = AuthConfig { allowed_users: set(&["grace"]), ..rules.clone() };
    let written = AuthConfig { allow_existing_users: Some(true), ..rules.clone() };
    let password = AuthConfig { authenticator: Authenticator::Password, ..rules.clone() };
    for (auth, expected) in [(&rules, NO), (&beside, NO), (&password, NO), (&written, YES)] {
        assert_eq!(verdict(auth, true, &claims(&[])), expected, "{auth:?}");
    }
}

#[test]
fn a_rule_may_be_written_as_the_entitlement_itself() {
    let mut auth = with(|iam| iam.allowed_groups = set(&["urn:mace:egi.eu:group:vo.example:role=member#aai.egi.eu"]));
    auth.providers[0].preset = Preset::EgiCheckin;
    assert_eq!(verdict(&auth, false, &claims(&["vo.example#member", "vo.example"])), YES);
    assert_eq!(verdict(&auth, false, &claims(&["vo.example"])), NO);
}

#[test]
fn who_is_refused_is_told_every_group_that_would_do() {
    let auth = AuthConfig { allowed_groups: set(&["/x"]), ..with(|iam| iam.allowed_groups = set(&["users/**", "a"])) };
    let rules = Rules::new(&auth).unwrap();
    let of = |provider| rules.admitting(provider).iter().map(|rule| (rule.group(), rule.is_deep())).collect::<Vec<_>>();
    assert_eq!(of("iam"), [("a", false), ("users", true), ("x", false)]);
    assert_eq!(of("other"), [("x", false)]);
}

proptest! {
    #[test]
    fn one_group_more_shuts_nobody_out_and_one_rule_more_neither(
        groups in prop::collection::vec("[a-c](/[a-c]){0,2}", 0..4),
        more in "[a-c](/[a-c]){0,2}",
        rules in prop::collection::vec("[a-c](/[a-c]){0,1}(/\\*\\*)?", 0..4),
        another in "[a-c](/\\*\\*)?",
    ) {
        let auth = |rules: &[String]| with(|iam| iam.allowed_groups = rules.iter().cloned().collect());
        let of = |groups: &[String]| claims(&groups.iter().map(String::as_str).collect::<Vec<_>>());
        let before = verdict(&auth(&rules), false, &of(&groups));
        let (mut wider, mut bigger) = (rules.clone(), groups.clone());
        wider.push(another);
        bigger.push(more);
        if before == YES {
            prop_assert_eq!(verdict(&auth(&rules), false, &of(&bigger)), YES);
            prop_assert_eq!(verdict(&auth(&wider), false, &of(&groups)), YES);
        }
        let judge = Rules::new(&auth(&rules)).unwrap();
        prop_assert_eq!(before == YES, groups.iter().any(|group| {
            judge.admitting("iam").iter().any(|rule| rule.admits(group))
        }));
    }
}
