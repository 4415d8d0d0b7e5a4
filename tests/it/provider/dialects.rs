//! The four dialects in which groups are told.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::need;
use tests::provider::{self, Claims, Visitor, claims, parameter};

use super::{CALLBACK, Ground, SCOPE};

/// What a sign-in tells in each place.
struct Told {
    id: Claims,
    access: Claims,
    userinfo: Value,
    introspection: Value,
}

impl Ground {
    async fn told(&mut self, scope: &str) -> Result<Told> {
        let given = self.client.sign_in(&mut self.anna, scope).await?;
        Ok(Told {
            id: claims(given.id_token.as_deref().context("an id token")?)?,
            access: claims(&given.access_token)?,
            userinfo: self.client.userinfo(&given.access_token).await?.expect(&[200])?.json()?,
            introspection: self.client.introspect(&given.access_token).await?,
        })
    }
}

const GROUP_CLAIMS: [&str; 5] = ["groups", "roles", "wlcg.groups", "entitlements", "eduperson_entitlement"];

impl Told {
    /// Which claims tell of groups in which place, and what they say.
    fn groups(&self) -> Vec<(&'static str, &'static str, Value)> {
        let places = [
            ("id_token", Value::Object(self.id.clone())),
            ("access_token", Value::Object(self.access.clone())),
            ("userinfo", self.userinfo.clone()),
            ("introspection", self.introspection.clone()),
        ];
        let mut told = Vec::new();
        for (place, said) in places {
            for claim in GROUP_CLAIMS {
                if let Some(value) = said.get(claim) {
                    told.push((place, claim, value.clone()));
                }
            }
        }
        told
    }
}

fn everywhere(
    claim: &'static str,
    groups: &Value,
    places: &[&'static str],
) -> Vec<(&'static str, &'static str, Value)> {
    places.iter().map(|place| (*place, claim, groups.clone())).collect()
}

const NOT_ACCESS: [&str; 3] = ["id_token", "userinfo", "introspection"];
const ALL: [&str; 4] = ["id_token", "access_token", "userinfo", "introspection"];

#[tokio::test]
async fn each_dialect_tells_groups_under_its_own_name() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let plain = json!(["users", "users/cygno"]);
    let slashed = json!(["/users", "/users/cygno"]);
    let scope = format!("{SCOPE} wlcg.groups eduperson_entitlement");
    assert_eq!(ground.told(&scope).await?.groups(), everywhere("groups", &plain, &NOT_ACCESS));
    ground.provider.switch("authn_info", true).await?;
    assert_eq!(ground.told(&scope).await?.groups(), everywhere("groups", &plain, &ALL));
    ground.provider.switch_all(json!({"authn_info": false, "profile": "keycloak"})).await?;
    assert_eq!(ground.told(&scope).await?.groups(), everywhere("roles", &plain, &NOT_ACCESS));
    ground.provider.switch("profile", "wlcg").await?;
    let told = ground.told(&scope).await?;
    assert_eq!(told.groups(), everywhere("wlcg.groups", &slashed, &ALL));
    assert_eq!((&told.access["wlcg.ver"], &told.access["scope"]), (&json!("1.0"), &json!(scope)));
    assert_eq!(told.access["aud"], "https://wlcg.cern.ch/jwt/v1/any");
    assert_eq!(told.userinfo.get("organisation_name"), None);
    ground.provider.switch("profile", "aarc").await?;
    let urns = json!(["urn:example:specola:group:users", "urn:example:specola:group:users:cygno"]);
    assert_eq!(ground.told(&scope).await?.groups(), everywhere("eduperson_entitlement", &urns, &ALL));
    Ok(())
}

#[tokio::test]
async fn the_slash_can_be_put_on_and_taken_off() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let scope = format!("{SCOPE} wlcg.groups");
    ground.provider.switch("leading_slash", true).await?;
    let told = ground.told(&scope).await?.groups();
    assert_eq!(told, everywhere("groups", &json!(["/users", "/users/cygno"]), &NOT_ACCESS));
    ground.provider.switch_all(json!({"leading_slash": false, "profile": "wlcg"})).await?;
    let told = ground.told(&scope).await?.groups();
    assert_eq!(told, everywhere("wlcg.groups", &json!(["users", "users/cygno"]), &ALL));
    Ok(())
}

#[tokio::test]
async fn somebody_in_no_group_has_no_claim_of_groups() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    ground.provider.set_user("anna", json!({"groups": []})).await?;
    for profile in ["iam", "wlcg", "aarc", "kc"] {
        ground.provider.switch("profile", profile).await?;
        let told = ground.told(&format!("{SCOPE} wlcg.groups eduperson_entitlement")).await?;
        assert_eq!(told.groups(), [], "{profile}");
        assert_eq!(told.userinfo["preferred_username"], "anna", "{profile}");
    }
    Ok(())
}

#[tokio::test]
async fn groups_are_told_for_their_scope_alone_and_not_where_they_are_hidden() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    assert_eq!(ground.told("openid email").await?.groups(), []);
    ground.provider.switch("hide_groups_in", json!(["id_token", "introspection"])).await?;
    let plain = json!(["users", "users/cygno"]);
    assert_eq!(ground.told(SCOPE).await?.groups(), everywhere("groups", &plain, &["userinfo"]));
    ground.provider.switch("profile", "wlcg").await?;
    assert_eq!(ground.told(SCOPE).await?.groups(), []);
    Ok(())
}

#[tokio::test]
async fn a_named_group_comes_first_and_an_optional_one_only_when_named() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    ground.provider.switch("profile", "wlcg").await?;
    ground.provider.set_user("anna", json!({"optional_groups": ["production"]})).await?;
    let told = ground.told("openid wlcg.groups:/users/cygno").await?;
    assert_eq!(told.access["wlcg.groups"], json!(["/users/cygno", "/users"]));
    assert_eq!(told.access["scope"], "openid wlcg.groups:/users/cygno");
    let told = ground.told("openid wlcg.groups:/production").await?;
    assert_eq!(told.userinfo["wlcg.groups"], json!(["/production", "/users", "/users/cygno"]));
    let badly = ground.client.answer(&mut ground.anna, "openid wlcg.groups:users", &[]).await?;
    assert_eq!(parameter(&badly, "error").as_deref(), Some("invalid_scope"));
    Ok(())
}

#[tokio::test]
async fn the_scopes_of_a_client_choose_its_dialect() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    ground.client = ground.provider.register("wlcg", &[CALLBACK], &format!("{SCOPE} wlcg wlcg.groups")).await?;
    let told = ground.told(&format!("{SCOPE} wlcg wlcg.groups")).await?;
    assert_eq!(told.groups(), everywhere("wlcg.groups", &json!(["/users", "/users/cygno"]), &ALL));
    ground.client = ground.provider.register("both", &[CALLBACK], &format!("{SCOPE} wlcg kc")).await?;
    let plain = json!(["users", "users/cygno"]);
    assert_eq!(ground.told(SCOPE).await?.groups(), everywhere("groups", &plain, &NOT_ACCESS));
    Ok(())
}

#[tokio::test]
async fn other_claims_can_be_told_as_other_providers_do() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let mut ground = Ground::new(&installed).await?;
    let roles = json!({"resource_access": {"hub": {"roles": ["swan-users"]}}});
    ground.provider.set_user("anna", json!({"groups": [], "claims": roles})).await?;
    let told = ground.told(SCOPE).await?;
    for said in [&Value::Object(told.id), &Value::Object(told.access), &told.userinfo] {
        assert_eq!(said["resource_access"], roles["resource_access"]);
    }
    ground.provider.set_user("berta", json!({})).await?;
    ground.anna = Visitor::new(&ground.provider, "berta")?;
    assert_eq!(ground.told(SCOPE).await?.userinfo.get("resource_access"), None);
    Ok(())
}
