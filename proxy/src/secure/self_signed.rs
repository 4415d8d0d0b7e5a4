//! A certificate that nobody vouches for: for trying things out, and behind a front that does not look.

use std::{path::Path, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

use super::{identity, identity::Identity, keyring::Keyring};

/// Key and certificate.
const FILE: &str = "self-signed.pem";
/// The certificate alone, to hand to clients that are to believe it.
const PUBLIC: &str = "self-signed.crt";
/// How long one is good.
const DAYS: i64 = 365;
/// How often its age is looked at.
const LOOK: Duration = Duration::from_secs(3600);

/// The one in the folder, while it is young and speaks for these names; else a new one.
pub(super) fn obtain(folder: &Path, names: &[String]) -> anyhow::Result<Identity> {
    let now = Utc::now();
    match identity::read(&folder.join(FILE)) {
        Ok(Some(kept)) if kept.renew_at() > now && kept.is_for_all(names) => return Ok(kept),
        Ok(_) => {}
        Err(problem) => tracing::warn!(problem = format!("{problem:#}"), "the self-signed certificate is made anew"),
    }
    let (pem, identity) = make(names, now)?;
    identity::write_private(&folder.join(FILE), format!("{}{}", pem.key, pem.certificate).as_bytes())?;
    identity::write_public(&folder.join(PUBLIC), pem.certificate.as_bytes())?;
    tracing::info!(names = names.join(" "), ends = %identity.ends, "made a self-signed certificate");
    Ok(identity)
}

struct Pem {
    key: String,
    certificate: String,
}

fn make(names: &[String], now: DateTime<Utc>) -> anyhow::Result<(Pem, Identity)> {
    let context = || format!("no certificate can be made for {}", names.join(" "));
    let mut wanted = CertificateParams::new(names).with_context(context)?;
    let day = |day: DateTime<Utc>| {
        let number = |number: u32| u8::try_from(number).unwrap_or(1);
        date_time_ymd(day.year(), number(day.month()), number(day.day()))
    };
    // A day early, for clocks that are late.
    wanted.not_before = day(now - TimeDelta::days(1));
    wanted.not_after = day(now + TimeDelta::days(DAYS));
    wanted.distinguished_name = DistinguishedName::new();
    wanted.distinguished_name.push(DnType::CommonName, names.first().map_or("specola", String::as_str));
    wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().with_context(context)?;
    let certificate = wanted.self_signed(&key).with_context(context)?;
    let pem = Pem { key: key.serialize_pem(), certificate: certificate.pem() };
    let identity = Identity::from_pem(pem.certificate.as_bytes(), pem.key.as_bytes())?;
    Ok((pem, identity))
}

/// A certificate that is kept nowhere, for the time until an authority has given one.
pub(super) fn stopgap(names: &[String]) -> anyhow::Result<Identity> {
    Ok(make(names, Utc::now())?.1)
}

/// Renews it in time.
pub(super) async fn keep(folder: PathBuf, names: Vec<String>, keyring: Arc<Keyring>) {
    loop {
        tokio::time::sleep(LOOK).await;
        if keyring.first().is_some_and(|identity| identity.renew_at() > Utc::now()) {
            continue;
        }
        let (folder, names) = (folder.clone(), names.clone());
        match tokio::task::spawn_blocking(move || obtain(&folder, &names)).await {
            Ok(Ok(identity)) => keyring.set(vec![identity]),
            Ok(Err(problem)) => tracing::warn!(problem = format!("{problem:#}"), "no new self-signed certificate"),
            Err(problem) => tracing::warn!(%problem, "no new self-signed certificate"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_while_young_and_for_the_same_names() {
        let folder = tempfile::tempdir().unwrap();
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (one, two) = (names(&["hub.example", "127.0.0.1"]), names(&["hub.example", "::1"]));
        let der = |identity: &Identity| identity.certified.cert.first().unwrap().to_vec();
        let first = obtain(folder.path(), &one).unwrap();
        assert_eq!(der(&first), der(&obtain(folder.path(), &one).unwrap()));
        let other = obtain(folder.path(), &two).unwrap();
        assert_ne!(der(&first), der(&other));
        assert!(other.is_for_all(&two) && !other.is_for_all(&one));
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // An old one is made anew.
        let (pem, old) = make(&two, Utc::now() - TimeDelta::days(300)).unwrap();
        identity::write_private(&folder.path().join(FILE), format!("{}{}", pem.key, pem.certificate).as_bytes())
            .unwrap();
        assert_ne!(der(&old), der(&obtain(folder.path(), &two).unwrap()));
        // So is one that was damaged.
        std::fs::write(folder.path().join(FILE), "nonsense").unwrap();
        assert!(obtain(folder.path(), &two).is_ok());
    }
}
