//! The login itself: the way there and back, tabs, and answers that are not what they seem.

use anyhow::{Context, Result};
use serde_json::json;
use tests::need;
use tests::provider::{self, Visitor, parameter};

use super::{Entry, House, LOGIN, SCOPE, is_out, open, whoami};

#[tokio::test]
async fn a_member_logs_in_and_lands_where_they_wanted() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = House::new(&installed, &Entry::by_group()).await?;
    let mut session = house.specola.session()?;
    let (url, page) = session.follow("/hub/token").await?;
    assert_eq!(url.path(), "/hub/login");
    let text = page.text();
    assert!(text.contains("Log in with Test IAM") && !text.contains("password_input"), "{text}");
    let there = "/hub/oauth_login?provider=iam&amp;next=%2Fhub%2Ftoken";
    let text = text.replace("&#38;", "&amp;");
    assert!(text.contains(there), "{text}");
    let (url, page) = house.provider.sign_in(&mut session, &there.replace("&amp;", "&"), "anna").await?;
    assert_eq!((url.path(), page.status.as_u16()), ("/hub/token", 200));
    let anna = whoami(&mut session).await?;
    assert_eq!((&anna["name"], &anna["admin"]), (&json!("anna"), &json!(false)));
    assert_eq!(anna["groups"], json!(["users", "users/cygno"]));
    for name in ["jupyterhub-hub-login", "jupyterhub-session-id", "_xsrf"] {
        assert!(session.cookie(name).is_some(), "no cookie {name}");
    }
    let asked = house.provider.requests("authorize").await?;
    let first = asked.first().context("a request")?;
    assert_eq!(first.query.get("code_challenge_method").map(String::as_str), Some("S256"));
    assert_eq!(first.query.get("scope").map(String::as_str), Some("openid profile email wlcg.groups"));
    let exchange = house.provider.requests("token").await?;
    assert_eq!(exchange.first().context("a request")?.authorization.as_deref(), Some("Basic"));
    // Who wanted nothing in particular has an address without the provider's code in it.
    let (_, url, _) = house.visit("anna").await?;
    assert_eq!((url.path(), url.query()), ("/hub/home", None));
    Ok(())
}

#[tokio::test]
async fn logins_in_two_tabs_do_not_disturb_each_other_and_their_number_has_a_bound() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house =
        House::new(&installed, &Entry::open().with("scope = [\"openid\", \"profile\"]").with("optional_scope = []"))
            .await?;
    let mut browser = house.specola.session()?;
    let first = house.answer(&mut browser, &format!("{LOGIN}&next=%2Fhub%2Ftoken"), "anna").await?;
    let second = house.answer(&mut browser, &format!("{LOGIN}&next=%2Fhub%2Fhome%3Ftab=2"), "anna").await?;
    let answer = open(&mut browser, &second).await?.expect(&[303])?;
    assert_eq!(answer.location(), Some("/hub/home?tab=2"));
    let answer = open(&mut browser, &first).await?.expect(&[303])?;
    assert_eq!(answer.location(), Some("/hub/token"));
    let mut many = house.specola.session()?;
    for _ in 0..10 {
        many.get(LOGIN).await?.expect(&[302])?;
    }
    assert_eq!(many.cookies_named("specola-login-"), 4);
    Ok(())
}

#[tokio::test]
async fn an_answer_counts_once_and_in_the_browser_that_asked() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let entry = Entry::open().with("optional_scope = []");
    let house = House::new(&installed, &entry).await?;
    let mut anna = house.specola.session()?;
    let answer = house.answer(&mut anna, LOGIN, "anna").await?;
    // Somebody else is sent anna's answer, to be logged in as her.
    let mut victim = house.specola.session()?;
    victim.get(LOGIN).await?.expect(&[302])?;
    let page = open(&mut victim, &answer).await?.expect(&[400])?;
    assert!(page.text().contains("not begun in this browser"), "{}", page.text());
    assert!(is_out(&mut victim).await?);
    let mut wrong = answer.clone();
    let changed: Vec<(String, String)> = answer
        .query_pairs()
        .map(|(name, value)| {
            (name.to_string(), if name == "state" { format!("{}x", value) } else { value.to_string() })
        })
        .collect();
    wrong.query_pairs_mut().clear().extend_pairs(changed);
    open(&mut anna, &wrong).await?.expect(&[400])?;
    // The code is used, and then shown again by a browser that still has the cookie.
    let mut copy = anna.clone();
    open(&mut anna, &answer).await?.expect(&[303])?;
    assert_eq!(open(&mut anna, &answer).await?.expect(&[302])?.location(), Some("/hub/home"), "going back");
    let page = open(&mut copy, &answer).await?.expect(&[400])?;
    assert!(page.text().contains("has been used"), "{}", page.text());
    assert!(is_out(&mut copy).await?);
    Ok(())
}

#[tokio::test]
async fn an_id_token_that_proves_nothing_lets_nobody_in_and_says_nothing_of_why() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = House::new(&installed, &Entry::open()).await?;
    for forgery in [
        "none",
        "other_key",
        "hs256",
        "expired",
        "wrong_nonce",
        "no_nonce",
        "wrong_audience",
        "extra_audience",
        "wrong_issuer",
        "wrong_subject",
        "future",
        "garbage",
        "missing",
    ] {
        house.provider.switch("id_token", forgery).await?;
        let (mut session, _, page) = house.visit("anna").await?;
        let text = page.expect(&[502]).context(forgery)?.text();
        assert!(text.contains("The answer of Test IAM cannot be used") && text.contains("reference"), "{forgery}");
        assert!(!text.contains("ID token") && !text.contains("nonce") && !text.contains("issuer"), "{forgery}: {text}");
        assert!(is_out(&mut session).await?, "{forgery}");
    }
    house.provider.switch("id_token", serde_json::Value::Null).await?;
    house.provider.switch("userinfo_wrong_subject", true).await?;
    house.visit("anna").await?.2.expect(&[502])?;
    house.provider.switch("userinfo_wrong_subject", false).await?;
    house.signed_in("anna").await?;
    Ok(())
}

#[tokio::test]
async fn an_error_of_the_provider_is_a_page_that_says_whose_it_is() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = House::new(&installed, &Entry::open().with("optional_scope = []")).await?;
    for (error, status, says) in [
        ("access_denied", 403, "did not let you in"),
        ("login_required", 403, "has to ask you something first"),
        ("temporarily_unavailable", 503, "at the moment"),
        ("unauthorized_client", 502, "refuses to log in people of this hub"),
        ("invalid_scope", 502, "refuses to log in people of this hub"),
        ("<script>alert(1)</script>", 502, "refuses to log in people of this hub"),
    ] {
        let mut session = house.specola.session()?;
        let answer = house.answer(&mut session, LOGIN, "anna").await?;
        let mut back = answer.clone();
        let state = parameter(&answer, "state").context("a state")?;
        let told = [("error", error), ("error_description", "internal text 42"), ("state", state.as_str())];
        back.query_pairs_mut().clear().extend_pairs(told);
        let text = open(&mut session, &back).await?.expect(&[status]).context(error)?.text();
        assert!(text.contains(says) && !text.contains("internal text") && !text.contains("<script>alert"), "{text}");
    }
    for (change, says) in
        [(json!({"suspended": true}), "suspended"), (json!({"suspended": false, "aup_signed": false}), "usage policy")]
    {
        let mut session = house.specola.session()?;
        let answer = house.answer(&mut session, LOGIN, "anna").await?;
        house.provider.set_user("anna", change).await?;
        let text = open(&mut session, &answer).await?.expect(&[403])?.text();
        assert!(text.contains(says), "{text}");
        house.provider.set_user("anna", json!({"suspended": false, "aup_signed": true})).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_name_that_came_from_another_account_before_is_not_given_away() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house = House::new(&installed, &Entry::open()).await?;
    let mut old = house.signed_in("anna").await?;
    house.provider.set_user("anna", json!({"sub": "another-person"})).await?;
    let text = house.visit("anna").await?.2.expect(&[403])?.text();
    assert!(text.contains("belongs to somebody else"), "{text}");
    assert!(!is_out(&mut old).await?, "the one who has the name is not put out by that");
    Ok(())
}

#[tokio::test]
async fn auto_login_needs_no_button_and_ends_on_a_page_where_it_fails() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let house =
        House::changed(&installed, &Entry::by_group(), |options| options.set("auth", "auto_login", "true")).await?;
    let mut session = house.specola.session()?;
    let mut anna = Visitor::new(&house.provider, "anna")?;
    let (url, page) = anna.sign_in(&mut session, "/hub/token").await?;
    assert_eq!((url.path(), page.status.as_u16()), ("/hub/token", 200));
    let (_, _, page) = house.visit("eve").await?;
    page.expect(&[403])?;
    let page = session.follow("/hub/logout").await?.1.expect(&[200])?;
    assert!(page.text().contains("You are logged out"), "logging out does not log in again");
    Ok(())
}

#[tokio::test]
async fn several_providers_stand_on_one_page_with_a_password_below() -> Result<()> {
    let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
    let provider = tests::Provider::start(&installed).await?;
    let entry = |name: &str, more: &str| {
        let (issuer, secret) = (provider.issuer(), super::SECRET);
        format!("{{ name = {name:?}, issuer = {issuer:?}, client_id = \"hub\", client_secret = {secret:?}, {more} }}")
    };
    let first =
        entry("iam", "preset = \"indigo-iam\", login_service = \"Test IAM\", allow_all = true, username_prefix = \"\"");
    let second = entry("other", "login_service = \"Other\", allow_all = true, username_prefix = \"o-\"");
    let options = tests::specola::Options::default().set("auth", "providers", &format!("[{first}, {second}]")).set(
        "hub",
        "redirect_to_server",
        "false",
    );
    let house = House { provider, specola: tests::Specola::start(options).await? };
    house.register(SCOPE).await?;
    house.provider.set_user("anna", json!({})).await?;
    let page = house.specola.session()?.get("/hub/login").await?.expect(&[200])?.text();
    let at = |text: &str| page.find(text).with_context(|| format!("{text} on {page}"));
    assert!(at("Log in with Test IAM")? < at("Log in with Other")? && at("Log in with Other")? < at("password_input")?);
    let mut anna = house.signed_in("anna").await?;
    assert_eq!(whoami(&mut anna).await?["name"], "anna");
    let mut other = house.specola.session()?;
    house.provider.sign_in(&mut other, "/hub/oauth_login?provider=other", "anna").await?.1.expect(&[200])?;
    assert_eq!(whoami(&mut other).await?["name"], "o-anna");
    let mut by_password = house.specola.logged_in("grace").await?;
    assert_eq!(whoami(&mut by_password).await?["name"], "grace");
    house.specola.session()?.get("/hub/oauth_login?provider=nobody").await?.expect(&[404])?;
    Ok(())
}
