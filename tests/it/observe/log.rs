//! The log for machines.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use http::Method;
use serde_json::Value;
use tests::jupyterhub::PASSWORD;
use tests::specola::Options;
use tests::{Body, Session, Specola};

#[tokio::test]
async fn every_line_of_the_log_is_json_with_names_that_stay_and_without_secrets() -> Result<()> {
    let options = Options::default().set("log", "format", "\"json\"").set("log", "level", "\"debug\"");
    let mut specola = Specola::start(options.small_lab("quick.py")?).await?;
    let mut nobody = specola.session()?;
    for path in [
        "/hub/login?next=%2Fhub%2F&token=s3cret-in-query&_xsrf=s3cret-in-query",
        "/hub/api/authorizations/token/s3cret-in-path",
        "/hub/%0d%0a%1b[2Jforged",
        "/hub/api/nowhere?x=%22%7D%0a%7B%22level%22%3A%22forged%22%7D",
    ] {
        nobody.get(path).await?;
    }
    nobody.get(&format!("/hub/{}", "long".repeat(2000))).await?;
    nobody.log_in(&format!("s3cret\u{1b}[2J{}", "x".repeat(3000)), "s3cret-typed").await?;
    let mut alice = Session::logged_in(&specola.origin(), "alice", PASSWORD).await?;
    let token = alice.new_token("alice").await?;
    alice.start_server("alice").await?;
    alice.with_token(&token).api(Method::GET, "/users/alice", Body::Empty).await?.expect(&[200])?;
    alice.stop_server("alice").await?;
    specola.stop_hub()?;

    let text = specola.log();
    let mut requests = BTreeSet::new();
    for line in text.lines() {
        let fields: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        for name in ["time", "level", "part", "message"] {
            assert!(fields[name].is_string(), "{name}: {line}");
        }
        assert!(chrono_like(fields["time"].as_str().unwrap_or_default()), "{line}");
        assert!(["error", "warn", "info", "debug", "trace"].contains(&fields["level"].as_str().unwrap_or_default()));
        assert!(line.len() < 20_000, "{} bytes", line.len());
        if fields["part"] == "specola::request" {
            for name in ["method", "path", "user", "address"] {
                assert!(fields[name].is_string(), "{name}: {line}");
            }
            assert!(fields["status"].is_u64() && fields["milliseconds"].is_number(), "{line}");
            requests.insert(format!("{} {} {}", fields["status"], fields["path"], fields["user"]));
        }
    }
    for secret in [&token, "s3cret-in-query", "s3cret-in-path", "s3cret-typed", PASSWORD] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
    assert!(!text.contains('\u{1b}') && !text.contains("\"level\":\"forged\""));
    assert!(requests.contains("200 \"/hub/api/users/alice\" \"alice\""), "{requests:#?}");
    Ok(())
}

/// `2026-11-22T21:39:04.123456Z`
fn chrono_like(text: &str) -> bool {
    text.len() == 27 && text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T')
}
