//! What providers say, in every dialect there is, read: names, groups, roles. The quirks that need a provider which
//! answers are in the package `tests`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::claims::{self, Before, Claims, Said};
use super::preset::Preset;
use super::trouble::Trouble;
use crate::config::ProviderConfig;

fn config(preset: Preset) -> ProviderConfig {
    ProviderConfig::of("p", preset, "hub")
}

fn said(id_token: Value, userinfo: Value, access_token: Value) -> Said {
    Said { id_token, userinfo, access_token, ..Said::default() }
}

fn read(config: &ProviderConfig, issuer: &str, said: &Said) -> Result<Claims, Trouble> {
    claims::read(config, issuer, said, &Before::default()).map(|heard| heard.claims)
}

fn claims(config: &ProviderConfig, said: &Said) -> Claims {
    read(config, "https://iam.example", said).unwrap()
}

/// Claims of the ID token with who it is.
fn ada(more: Value) -> Value {
    let mut all = json!({ "sub": "1", "preferred_username": "ada" });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

#[test]
fn quirk_3_groups_have_four_names_three_places_and_a_slash_or_none() {
    let iam = config(Preset::IndigoIam);
    let urn = |group: &str| format!("urn:geant:iam.example:group:{group}");
    for told in [
        json!({ "groups": ["users", "users/cygno"] }),
        json!({ "groups": ["/users", "/users/cygno"] }),
        json!({ "wlcg.groups": ["/users", "/users/cygno"] }),
        json!({ "wlcg.groups": ["users", "users/cygno"] }),
        json!({ "roles": ["users", "users/cygno"] }),
        json!({ "entitlements": [urn("users"), urn("users:cygno")] }),
        json!({ "eduperson_entitlement": [urn("users"), urn("users:cygno")] }),
        // Twice, in two dialects.
        json!({ "groups": ["users"], "wlcg.groups": ["/users", "/users/cygno"] }),
    ] {
        let places = [
            said(ada(told.clone()), Value::Null, Value::Null),
            said(ada(json!({})), told.clone(), Value::Null),
            said(ada(json!({})), json!({ "sub": "1" }), told.clone()),
        ];
        for said in places {
            assert_eq!(claims(&iam, &said).groups, ["users", "users/cygno"], "{told} in {said:?}");
        }
    }
}

/// EGI Check-in by its preset: entitlements by either name, those of Check-in as groups, any other as it stands.
#[test]
fn entitlements_of_check_in_are_groups_and_those_of_others_are_left_alone() {
    let egi = config(Preset::EgiCheckin);
    let own =
        ["urn:mace:egi.eu:group:vo.example.eu:sub:role=member#aai.egi.eu", "urn:mace:egi.eu:group:other#aai.egi.eu"];
    let foreign = "urn:mace:example.edu:group:vo.example.eu:admins";
    let told = json!([own[0], own[1], foreign]);
    for claim in ["entitlements", "eduperson_entitlement"] {
        let found = claims(&egi, &said(ada(json!({})), json!({ "sub": "1", claim: told }), Value::Null));
        let expected = ["vo.example.eu/sub#member", "vo.example.eu/sub", "other", foreign];
        assert_eq!(
            found.groups.iter().collect::<BTreeSet<_>>(),
            expected.map(str::to_owned).iter().collect(),
            "{claim}"
        );
        assert_eq!(found.raw_groups.len(), 3);
    }
    // What other providers call groups are none of Check-in's.
    let other = claims(&egi, &said(ada(json!({ "groups": ["vo.example.eu/sub"] })), Value::Null, Value::Null));
    assert!(other.groups.is_empty(), "{:?}", other.groups);
}

/// CILogon by its preset, whose claim has capitals.
#[test]
fn cilogon_tells_groups_as_is_member_of() {
    let told = json!({ "sub": "http://cilogon.org/serverA/users/1", "eppn": "ada@uni.example", "isMemberOf": ["CO:members:all", "/a/b"] });
    let said = said(json!({ "sub": "http://cilogon.org/serverA/users/1" }), told, Value::Null);
    let found = claims(&config(Preset::Cilogon), &said);
    assert_eq!(
        (found.username.as_str(), found.groups),
        ("ada@uni.example", vec!["CO:members:all".to_owned(), "a/b".to_owned()])
    );
}

/// H6: IAM leaves a claim out that would be empty.
#[test]
fn quirk_3_a_claim_that_is_absent_means_no_group() {
    for preset in [Preset::IndigoIam, Preset::EgiCheckin, Preset::Keycloak, Preset::Generic] {
        for told in [json!({}), json!({ "groups": null }), json!({ "groups": [] }), json!({ "wlcg.groups": {} })] {
            let claims = claims(&config(preset), &said(ada(told.clone()), told, Value::Null));
            assert_eq!((claims.groups, claims.raw_groups), (vec![], vec![]), "{preset:?}");
        }
    }
}

#[test]
fn groups_that_nobody_can_have_are_left_out() {
    let told = json!({ "groups": ["a", 1, null, ["b"], {"name": "c"}, "", " ", "d\ne", "x".repeat(256), "a"] });
    assert_eq!(claims(&config(Preset::Generic), &said(ada(told), Value::Null, Value::Null)).groups, ["a", "c"]);
    let one = json!({ "groups": "only" });
    assert_eq!(claims(&config(Preset::Generic), &said(ada(one), Value::Null, Value::Null)).groups, ["only"]);
}

#[test]
fn a_claim_may_be_a_dotted_path_and_a_name_with_dots_goes_first() {
    let keycloak = ProviderConfig {
        auth_state_groups_key: Some("resource_access.hub.roles".into()),
        roles_claim: Some("realm_access.roles".into()),
        username_claim: Some("profile.login".into()),
        ..config(Preset::Keycloak)
    };
    let access =
        json!({ "resource_access": { "hub": { "roles": ["/swan-users"] } }, "realm_access": { "roles": ["tutor"] } });
    let found = claims(&keycloak, &said(json!({ "sub": "1", "profile": { "login": "ada" } }), Value::Null, access));
    assert_eq!((found.username.as_str(), found.groups), ("ada", vec!["swan-users".to_owned()]));
    assert_eq!(found.roles, Some(vec!["tutor".to_owned()]));
    let wlcg = json!({ "wlcg.groups": ["/a"], "wlcg": { "groups": ["/b"] } });
    assert_eq!(claims(&config(Preset::IndigoIam), &said(ada(wlcg), Value::Null, Value::Null)).groups, ["a"]);
}

#[test]
fn a_place_may_be_named_and_then_no_other_counts() {
    let only = |place: &str| ProviderConfig {
        auth_state_groups_key: Some(format!("{place}.groups")),
        ..config(Preset::Generic)
    };
    let groups = |name: &str| json!({ "groups": [name] });
    let said = said(ada(groups("i")), groups("u"), groups("a"));
    for (place, expected) in [("oauth_user", "u"), ("id_token", "i"), ("access_token", "a")] {
        assert_eq!(claims(&only(place), &said).groups, [expected]);
    }
}

#[test]
fn presets_know_where_the_name_is() {
    let told = json!({
        "sub": "1", "preferred_username": "p", "eppn": "e@x.org", "email": "m@x.org", "email_verified": true,
    });
    for (preset, name) in [
        (Preset::Generic, "p"),
        (Preset::IndigoIam, "p"),
        (Preset::EgiCheckin, "p"),
        (Preset::Keycloak, "p"),
        (Preset::Globus, "p"),
        (Preset::Cilogon, "e@x.org"),
        (Preset::Google, "m@x.org"),
    ] {
        let said = said(json!({ "sub": "1" }), told.clone(), Value::Null);
        assert_eq!(claims(&config(preset), &said).username, name, "{preset:?}");
    }
    let github = Said {
        userinfo: json!({ "login": "ada", "id": 7 }),
        more_groups: Some(vec!["org:team".into()]),
        ..Said::default()
    };
    let found = claims(&config(Preset::Github), &github);
    assert_eq!((found.username.as_str(), found.subject.as_str()), ("ada", "7"));
    assert_eq!(found.groups, ["org:team"]);
}

#[test]
fn a_name_gets_its_prefix_and_loses_its_domain() {
    let config = ProviderConfig {
        username_claim: Some("email".into()),
        username_prefix: Some("g-".into()),
        strip_domain: vec!["Example.org".into()],
        ..config(Preset::Google)
    };
    for (email, name) in [("ada@example.org", "g-ada"), ("ada@evil.org", "g-ada@evil.org"), ("ada", "g-ada")] {
        let said = said(json!({ "sub": "1", "email": email }), Value::Null, Value::Null);
        assert_eq!(claims(&config, &said).username, name);
    }
}

#[test]
fn an_address_that_nobody_has_verified_is_no_name() {
    for unverified in [json!(false), json!("false")] {
        let said =
            said(json!({ "sub": "1", "email": "m@x.org", "email_verified": unverified }), Value::Null, Value::Null);
        assert!(matches!(read(&config(Preset::Google), "i", &said), Err(Trouble::Incomplete(_))));
    }
}

#[test]
fn somebody_without_name_or_number_is_nobody() {
    let nameless = said(json!({ "sub": "1" }), json!({ "sub": "1", "preferred_username": "" }), Value::Null);
    assert!(matches!(read(&config(Preset::Generic), "i", &nameless), Err(Trouble::Incomplete(_))));
    let numberless = said(json!({ "preferred_username": "ada" }), Value::Null, Value::Null);
    assert!(matches!(read(&config(Preset::Generic), "i", &numberless), Err(Trouble::Broken(_))));
}

#[test]
fn a_claim_may_have_to_have_a_value() {
    let required = ProviderConfig {
        required_claims: [("hd".to_owned(), vec!["example.org".to_owned()])].into(),
        ..config(Preset::Google)
    };
    let with = |hd: Value| said(json!({ "sub": "1", "email": "ada@example.org", "hd": hd }), Value::Null, Value::Null);
    assert!(read(&required, "i", &with(json!("example.org"))).is_ok());
    assert!(read(&required, "i", &with(json!(["other", "example.org"]))).is_ok());
    for other in [json!("evil.org"), Value::Null, json!(["x"]), json!(true)] {
        assert_eq!(read(&required, "i", &with(other)), Err(Trouble::Required("hd".into())));
    }
}

#[test]
fn quirk_11_claims_about_how_somebody_logged_in_are_in_nobodys_way() {
    let told =
        json!({ "groups": ["a"], "acr": "https://refeds.org/profile/mfa", "amr": ["pwd", "otp"], "address": "x" });
    assert_eq!(claims(&config(Preset::IndigoIam), &said(ada(told), Value::Null, Value::Null)).groups, ["a"]);
}
