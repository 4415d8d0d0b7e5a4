//! The OAuth provider beside that of a real JupyterHub: what a client may get wrong, one thing at a time.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use http::header;
use serde_json::{Value, json};
use tests::jupyterhub::{Ground, PASSWORD};
use tests::specola::Options;
use tests::{Answer, Body, JupyterHub, Mark, Session, Specola, need, place};
use url::Url;

const CLIENT: &str = "jupyterhub-user-alice";
const REDIRECT: &str = "/user/alice/oauth_callback";
/// Those of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URAbTMqJEbRW_s";
const SAFE: [(&str, &str); 2] = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];

type Fields = BTreeMap<&'static str, String>;

/// What is right, with some fields other; an empty one is left out.
fn with(right: &[(&'static str, &str)], other: &[(&'static str, &str)]) -> Fields {
    let all = right.iter().chain(other).map(|(name, value)| (*name, (*value).to_owned()));
    let mut fields: Fields = all.collect();
    fields.retain(|_, value| !value.is_empty());
    fields
}

fn authorize(other: &[(&'static str, &str)]) -> String {
    let right =
        [("client_id", CLIENT), ("redirect_uri", REDIRECT), ("response_type", "code"), ("state", "a b/ü&c=d%2F+e")];
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(with(&right, other)).finish();
    format!("/hub/api/oauth2/authorize?{query}")
}

/// What is asked for at the first step, by whom.
const ASKED: &[(&str, &[(&str, &str)])] = &[
    ("alice", &[]),
    ("alice", &SAFE),
    ("alice", &[("state", "")]),
    ("alice", &[("client_id", "")]),
    ("alice", &[("client_id", "nobody")]),
    ("alice", &[("client_id", "jupyterhub")]),
    ("alice", &[("redirect_uri", "")]),
    ("alice", &[("redirect_uri", "https://evil.example/")]),
    ("alice", &[("redirect_uri", "/user/alice/oauth_callback/")]),
    ("alice", &[("response_type", "")]),
    ("alice", &[("response_type", "token")]),
    ("alice", &[("response_type", "code token")]),
    ("alice", &[("scope", "identify")]),
    ("alice", &[("scope", "access:servers!server=alice/")]),
    ("alice", &[("scope", "read:users:name!user=alice access:servers!server=alice/")]),
    ("alice", &[("scope", "admin:users")]),
    ("alice", &[("scope", "nonsense")]),
    ("alice", &[("scope", "servers!user=bob")]),
    ("alice", &[("code_challenge", CHALLENGE), ("code_challenge_method", "S512")]),
    ("alice", &[("code_challenge", "short"), ("code_challenge_method", "S256")]),
    ("alice", &[("code_challenge_method", "S256")]),
    ("bob", &[]),
    ("bob", &[("redirect_uri", "https://evil.example/")]),
    ("bob", &[("scope", "nonsense")]),
    ("nobody", &[]),
    ("nobody", &[("client_id", "nobody")]),
];

/// Answered otherwise, by a part of the title, and why.
const OTHERWISE: &[(&str, &str)] = &[
    ("code token", "one kind of answer at a time; JupyterHub takes the first"),
    ("(\"code_challenge\", \"short\")", "a challenge is as long as RFC 7636 wants it"),
    ("exchanged with [(\"redirect_uri\", \"\")]", "the address is compared where it is missing, too"),
    (
        "safe: false, exchanged with [(\"code_verifier\"",
        "a proof for a code without a challenge: somebody took the challenge out",
    ),
    ("after [(\"redirect_uri\", \"https", "a code is used up by a mistake, as it may have been stolen"),
    ("the same code, safe: true", "a used code is wrong before anything else is"),
];

/// How the second step goes wrong, for a code that was made with a challenge or without.
const EXCHANGED: &[(bool, &[(&str, &str)])] = &[
    (false, &[("grant_type", "")]),
    (false, &[("grant_type", "password")]),
    (false, &[("grant_type", "client_credentials")]),
    (false, &[("grant_type", "refresh_token"), ("refresh_token", "x")]),
    (false, &[("client_id", "")]),
    (false, &[("client_id", "nobody")]),
    (false, &[("client_id", "jupyterhub")]),
    (false, &[("client_secret", "")]),
    (false, &[("client_secret", "wrong")]),
    (false, &[("code", "")]),
    (false, &[("code", "wrong")]),
    (false, &[("redirect_uri", "https://evil.example/")]),
    (false, &[("redirect_uri", "")]),
    (false, &[("code_verifier", VERIFIER)]),
    (false, &[]),
    (true, &[]),
    (true, &[("code_verifier", CHALLENGE)]),
    (true, &[("code_verifier", "short")]),
    (true, &[("code_verifier", VERIFIER)]),
];

fn header_of(answer: &Answer, name: header::HeaderName) -> Value {
    answer.headers.get(name).and_then(|value| value.to_str().ok()).map_or(Value::Null, |text| json!(text))
}

/// Status and way on of the first step; a code and sentences for people are not told.
fn first(answer: &Answer) -> Result<Value> {
    let Some(location) = answer.location() else { return Ok(json!({ "status": answer.status.as_u16() })) };
    let url = Url::parse("http://hub")?.join(location)?;
    let pairs = url.query_pairs().filter(|(name, _)| name != "error_description").map(|(name, value)| {
        let told = if name == "code" { json!(value.len()) } else { json!(value) };
        (name.into_owned(), told)
    });
    let pairs: BTreeMap<String, Value> = pairs.collect();
    Ok(json!({ "status": answer.status.as_u16(), "path": url.path(), "query": pairs }))
}

/// Status, headers and fields of the second step; a token is not told.
fn second(answer: &Answer) -> Result<Value> {
    let mut body = answer.json()?;
    if let Some(token) = body.get("access_token").and_then(Value::as_str) {
        body["access_token"] = json!(token.len());
    }
    if let Some(scope) = body.get("scope").and_then(Value::as_str) {
        let mut scopes: Vec<&str> = scope.split(' ').collect();
        scopes.sort_unstable();
        body["scope"] = json!(scopes.join(" "));
    }
    if let Some(body) = body.as_object_mut() {
        body.remove("error_description");
    }
    Ok(json!({
        "status": answer.status.as_u16(),
        "cache": header_of(answer, header::CACHE_CONTROL),
        "pragma": header_of(answer, header::PRAGMA),
        "authenticate": answer.headers.contains_key(header::WWW_AUTHENTICATE),
        "body": body,
    }))
}

async fn code_for(alice: &Session, safe: bool) -> Result<String> {
    let answer = alice.clone().get(&authorize(if safe { &SAFE } else { &[] })).await?.expect(&[302])?;
    let url = Url::parse("http://hub")?.join(answer.location().context("a way on")?)?;
    let code = url.query_pairs().find(|(name, _)| name == "code").context("a code")?;
    Ok(code.1.into_owned())
}

async fn ask(origin: &str, mark: &Mark) -> Result<Vec<(String, Value)>> {
    let mut alice = Session::logged_in(origin, "alice", PASSWORD).await?;
    let bob = Session::logged_in(origin, "bob", PASSWORD).await?;
    alice.start_server("alice").await?;
    let lab = mark.labs().into_iter().find(|lab| lab.variable("JUPYTERHUB_USER") == Some("alice")).context("a lab")?;
    let secret = lab.variable("JUPYTERHUB_API_TOKEN").context("its token")?.to_owned();
    let nobody = Session::new(origin)?;
    let mut answers = Vec::new();
    for (who, other) in ASKED {
        let mut session = match *who {
            "alice" => alice.clone(),
            "bob" => bob.clone(),
            _ => nobody.clone(),
        };
        let answer = session.get(&authorize(other)).await?;
        answers.push((format!("{who} asks with {other:?}"), first(&answer)?));
    }
    for (safe, other) in EXCHANGED {
        let code = code_for(&alice, *safe).await?;
        let right = [
            ("grant_type", "authorization_code"),
            ("client_id", CLIENT),
            ("client_secret", &secret),
            ("code", &code),
            ("redirect_uri", REDIRECT),
        ];
        let fields = with(&right, other).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let answer = nobody.clone().api(http::Method::POST, "/oauth2/token", Body::Form(fields)).await?;
        answers.push((format!("a code, safe: {safe}, exchanged with {other:?}"), second(&answer)?));
        // After a mistake the code may be good or not; after success it is used.
        let fields = right.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let answer = nobody.clone().api(http::Method::POST, "/oauth2/token", Body::Form(fields)).await?;
        answers.push((format!("the same code, safe: {safe}, after {other:?}"), second(&answer)?));
    }
    Ok(answers)
}

#[tokio::test]
async fn the_oauth_provider_answers_as_jupyterhubs() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let proxy = need!(place::configurable_http_proxy(), "configurable-http-proxy", "SPECOLA_CHP");
    let folder = tempfile::tempdir()?;
    let lab = place::package().join("labs/quick.py").display().to_string();
    let plain = place::plain_python()?.display().to_string();
    let more = format!("c.Spawner.cmd = [{plain:?}, {lab:?}]\nc.Spawner.args = []\n");
    let ground = Ground::new(folder.path())?;
    let jupyterhub = JupyterHub::configured(ground, &python, &proxy, Mark::default(), &more).await?;
    let theirs = ask(&jupyterhub.ground.origin(), jupyterhub.mark()).await.with_context(|| jupyterhub.log())?;
    let specola = Specola::start(Options::default().small_lab("quick.py")?).await?;
    let ours = ask(&specola.origin(), specola.mark()).await?;
    let mut lines = Vec::new();
    for ((title, theirs), (_, ours)) in theirs.iter().zip(&ours) {
        let excused = OTHERWISE.iter().any(|(part, _)| title.contains(part));
        assert!(!excused || theirs != ours, "{title} is as it should be: take it off the list");
        if theirs != ours && !excused {
            lines.push(format!("{title}\n    {theirs}\n    {ours}"));
        }
    }
    assert!(lines.is_empty(), "{} differences, JupyterHub's side first:\n{}", lines.len(), lines.join("\n"));
    Ok(())
}
