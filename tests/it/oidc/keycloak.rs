//! The same with a provider that nobody here has written: Keycloak.

use anyhow::{Context, Result};
use serde_json::json;
use tests::provider::Visitor;
use tests::{Keycloak, Specola, keycloak, need};
use url::Url;

use super::{Entry, SECRET, keeping, open, whoami};

#[tokio::test]
async fn people_of_keycloak_enter_by_their_groups_and_log_out_of_both() -> Result<()> {
    let home = need!(keycloak::installed(), "Keycloak", "SPECOLA_REQUIRE_KEYCLOAK");
    let keycloak = Keycloak::start(&home).await?;
    let entry = Entry::by_group().with("preset = \"keycloak\"");
    let mut options = keeping(entry.options(&keycloak.issuer()));
    options = options.map("auth", "providers", |value| value.replace(SECRET, "hub"));
    let specola = Specola::start(options).await?;
    for (name, enters) in [("anna", true), ("berta", false)] {
        let (mut browser, mut person) = (specola.session()?, Visitor::at(keycloak.origin(), name)?);
        let there: Url = browser.get(super::LOGIN).await?.expect(&[302])?.location().context("the way")?.parse()?;
        let back = person.walk(&there).await?.map_err(|page| anyhow::anyhow!(page.text()))?;
        let answer = open(&mut browser, &back).await?;
        if !enters {
            assert!(answer.expect(&[403])?.text().contains("<code>users</code>"));
            continue;
        }
        answer.expect(&[303])?;
        let model = whoami(&mut browser).await?;
        assert_eq!((&model["name"], &model["groups"]), (&json!("anna"), &json!(["users", "users/cygno"])));
        let page = browser.get("/hub/logout").await?.expect(&[200])?.text().replace("&#38;", "&");
        let link =
            page.split("href=\"").filter_map(|rest| rest.split('"').next()).find(|link| link.contains("/logout?"));
        let back = person.walk(&link.context("a way out of Keycloak")?.parse()?).await?;
        assert_eq!(back.map_err(|page| anyhow::anyhow!(page.text()))?.path(), "/hub/");
    }
    Ok(())
}
