//! `AssumeRoleWithWebIdentity`: a token of a person for keys of an object store, in the words of AWS, MinIO and Ceph.

use chrono::DateTime;
use hub_core::clock::Time;
use hub_core::secret::Secret;
use serde::Deserialize;

use crate::login::oidc::Trouble as HttpTrouble;
use crate::login::oidc::http::{Answer, Client};

/// The version of the interface, which all of them have.
const VERSION: &str = "2011-06-15";
/// What the error code for a role that is not there has in it.
pub const NO_ROLE: &str = "NoSuchEntity";
/// So much of an answer that is not understood goes into the log.
const SHOWN: usize = 160;

/// What is asked for.
pub struct Ask<'a> {
    /// Where.
    pub url: &'a str,
    /// The person's token.
    pub token: &'a Secret,
    /// Empty where the person's claims decide.
    pub role_arn: &'a str,
    /// Who it is, for the records there.
    pub session: &'a str,
    /// How many seconds the keys are to be good for.
    pub seconds: u64,
}

/// Keys of an object store that end.
#[derive(Debug, Clone)]
pub struct Keys {
    /// `AccessKeyId`.
    pub id: String,
    /// `SecretAccessKey`.
    pub secret: Secret,
    /// `SessionToken`.
    pub token: Secret,
    /// When they end.
    pub ends: Time,
}

/// Why there are none. The texts are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It says no.
    #[error("it refuses: {code} ({words})")]
    Denied {
        /// The error code of AWS.
        code: String,
        /// Its own words.
        words: String,
    },
    /// It does not answer, not in time, or says that it cannot at present.
    #[error("it cannot be reached: {0}")]
    Away(String),
    /// Nobody whom the hub believes vouches for its certificate, or the certificate is for another.
    #[error("its certificate is not trusted: {0}")]
    Untrusted(String),
    /// It answers what no object store should.
    #[error("it answers what cannot be used: {0}")]
    Broken(String),
}

impl From<HttpTrouble> for Trouble {
    fn from(trouble: HttpTrouble) -> Self {
        match trouble {
            // rustls: `invalid peer certificate: …`.
            HttpTrouble::Unreachable(what) if what.contains("peer certificate") => Self::Untrusted(what),
            HttpTrouble::Unreachable(what) => Self::Away(what),
            other => Self::Broken(other.to_string()),
        }
    }
}

/// Asks once. `now` is what the end of the keys is compared with.
pub async fn assume(client: &Client, ask: &Ask<'_>, now: Time) -> Result<Keys, Trouble> {
    let seconds = ask.seconds.to_string();
    let mut form = vec![
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", VERSION),
        ("WebIdentityToken", ask.token.expose()),
        ("RoleSessionName", ask.session),
        ("DurationSeconds", &seconds),
    ];
    if !ask.role_arn.is_empty() {
        form.push(("RoleArn", ask.role_arn));
    }
    read(&client.post(ask.url, &form, None).await?, now)
}

#[derive(Deserialize)]
struct Given {
    #[serde(rename = "AssumeRoleWithWebIdentityResult")]
    result: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    credentials: Credentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

/// `<ErrorResponse><Error>…`, as AWS and MinIO write it, or `<Error>…` alone, as Ceph does.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Told {
    error: Option<Box<Told>>,
    code: Option<String>,
    message: Option<String>,
}

fn read(answer: &Answer, now: Time) -> Result<Keys, Trouble> {
    let text = String::from_utf8_lossy(&answer.body);
    if !answer.status.is_success() {
        return Err(refusal(answer, &text));
    }
    let given: Given = quick_xml::de::from_str(&text)
        // What is not understood may hold keys: only where it stumbled is told.
        .map_err(|error| Trouble::Broken(format!("{} with no keys in it: {error}", answer.status)))?;
    let given = given.result.credentials;
    let ends = DateTime::parse_from_rfc3339(&given.expiration).map(|time| time.to_utc());
    let ends = ends.map_err(|_| Trouble::Broken("keys whose end is no time".to_owned()))?;
    let texts = [&given.access_key_id, &given.secret_access_key, &given.session_token];
    if texts.iter().any(|text| text.is_empty() || text.chars().any(char::is_control)) {
        return Err(Trouble::Broken("keys that are no keys".to_owned()));
    }
    if ends <= now {
        return Err(Trouble::Broken("keys that have ended: one of the two clocks is wrong".to_owned()));
    }
    Ok(Keys {
        id: given.access_key_id,
        secret: Secret::new(given.secret_access_key),
        token: Secret::new(given.session_token),
        ends,
    })
}

fn refusal(answer: &Answer, text: &str) -> Trouble {
    let told: Told = quick_xml::de::from_str(text).unwrap_or_default();
    let told = told.error.map_or(Told { error: None, ..told }, |inner| *inner);
    let words = callout::excerpt(told.message.unwrap_or_default().as_bytes(), SHOWN);
    match told.code {
        _ if answer.is_out_of_order() => Trouble::Away(format!("it answers {}", answer.status)),
        Some(code) if passes(&code) => Trouble::Away(format!("{code} ({words})")),
        // Ceph says with 404 that there is no such role.
        Some(code) if matches!(answer.status.as_u16(), 400 | 401 | 403) || code.contains(NO_ROLE) => {
            Trouble::Denied { code: callout::excerpt(code.as_bytes(), SHOWN), words }
        }
        _ => {
            let shown = callout::excerpt(&answer.body, SHOWN);
            Trouble::Broken(format!("{} and {shown:?}", answer.status))
        }
    }
}

/// Whether an error code means that trying again may help.
fn passes(code: &str) -> bool {
    matches!(
        code,
        "ServiceUnavailable"
            | "InternalError"
            | "InternalFailure"
            | "SlowDown"
            | "Throttling"
            | "ThrottlingException"
            | "RequestTimeout"
            | "IDPCommunicationError"
            | "IDPCommunicationErrorException"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};

    fn answer(status: u16, body: &str) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: HeaderMap::new(), body: body.to_owned().into() }
    }

    fn at(text: &str) -> Time {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    const AWS: &str = r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
        <AssumeRoleWithWebIdentityResult><SubjectFromWebIdentityToken>s</SubjectFromWebIdentityToken>
        <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/R/anna</Arn><AssumedRoleId>R:anna</AssumedRoleId></AssumedRoleUser>
        <Credentials><SessionToken>t&amp;/=</SessionToken><SecretAccessKey>s3cret/+</SecretAccessKey>
        <Expiration>2026-11-28T13:00:00Z</Expiration><AccessKeyId>ASIA1</AccessKeyId></Credentials>
        </AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>
        </AssumeRoleWithWebIdentityResponse>"#;

    #[test]
    fn keys_are_read_from_every_dialect() {
        let now = at("2026-11-28T12:00:00Z");
        let ceph =
            AWS.replace(r#" xmlns="https://sts.amazonaws.com/doc/2011-06-15/""#, "").replace("00Z", "00.123456Z");
        let declared = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{AWS}");
        for text in [AWS, &ceph, &declared] {
            let keys = read(&answer(200, text), now).unwrap();
            assert_eq!((keys.id.as_str(), keys.secret.expose(), keys.token.expose()), ("ASIA1", "s3cret/+", "t&/="));
            assert_eq!(keys.ends.timestamp(), at("2026-11-28T13:00:00Z").timestamp());
        }
    }

    #[test]
    fn nothing_that_cannot_be_used_is_taken_for_keys_and_no_key_is_told() {
        let now = at("2026-11-28T12:00:00Z");
        let bomb = "<!DOCTYPE a [<!ENTITY x \"y\">]>".to_owned() + &AWS.replace("t&amp;/=", "&x;");
        for text in [
            "",
            "{\"Credentials\": 1}",
            "<html>",
            &AWS.replace("ASIA1", ""),
            &AWS.replace("s3cret/+", "a&#10;b"),
            &AWS.replace("2026-11-28T13:00:00Z", "soon"),
            &AWS.replace("T13:00", "T11:00"),
            &AWS.replace("SessionToken>", "Other>"),
            &bomb,
            &"<a>".repeat(50_000),
        ] {
            let trouble = read(&answer(200, text), now).unwrap_err();
            assert!(matches!(trouble, Trouble::Broken(_)), "{trouble:?}");
            assert!(!trouble.to_string().contains("s3cret"), "{trouble}");
        }
    }

    #[test]
    fn refusals_are_told_apart_by_what_can_be_done() {
        let aws = |code: &str| {
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>"
            )
        };
        let ceph =
            |code: &str| format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><RequestId>x</RequestId></Error>");
        for (status, text, expected) in [
            (403, aws("AccessDenied"), "denied AccessDenied"),
            (403, ceph("AccessDenied"), "denied AccessDenied"),
            (400, aws("ExpiredTokenException"), "denied ExpiredTokenException"),
            (400, aws("ValidationError"), "denied ValidationError"),
            (400, aws("IDPCommunicationError"), "away"),
            (503, aws("AccessDenied"), "away"),
            (502, "<html>".into(), "away"),
            (429, String::new(), "away"),
            (403, "<html>no</html>".into(), "broken"),
            (404, ceph("NoSuchEntity"), "denied NoSuchEntity"),
            (404, aws("NoSuchKey"), "broken"),
            (302, String::new(), "broken"),
        ] {
            let trouble = read(&answer(status, &text), at("2026-11-28T12:00:00Z")).unwrap_err();
            let told = match trouble {
                Trouble::Denied { code, .. } => format!("denied {code}"),
                Trouble::Away(_) => "away".to_owned(),
                Trouble::Untrusted(_) => "untrusted".to_owned(),
                Trouble::Broken(_) => "broken".to_owned(),
            };
            assert_eq!(told, expected, "{status} {text}");
        }
    }
}
