//! Certificates of the configuration: whether they can be read, and when they end.

use std::path::Path;

use chrono::{DateTime, TimeDelta};
use hub_core::clock::Time;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::parse_x509_certificate;

use super::finding::Finding;
use crate::command::database::now;
use crate::config::Config;
use crate::config::proxy::Tls;

/// One that ends sooner is worth a look.
const SOON: TimeDelta = TimeDelta::days(21);

/// Reads each file that the configuration names.
pub fn check(config: &Config) -> Vec<Finding> {
    let mut files: Vec<(String, &Path)> = Vec::new();
    let proxy = &config.proxy;
    if proxy.tls() == Some(Tls::Files) {
        files.extend(proxy.ssl_cert.as_deref().map(|file| ("certificate".to_owned(), file)));
        let more = proxy.certificates.iter().enumerate();
        files.extend(more.map(|(index, one)| (format!("certificate {}", index + 2), one.ssl_cert.as_path())));
    }
    for (about, file) in [
        ("proxy.client_ca_file", &proxy.client_ca_file),
        ("proxy.acme_ca_file", &proxy.acme_ca_file),
        ("proxy.ssl_ca", &proxy.ssl_ca),
    ] {
        files.extend(file.as_deref().map(|file| (about.to_owned(), file)));
    }
    for provider in &config.auth.providers {
        let own = provider.ca_file.as_deref();
        files.extend(own.map(|file| (format!("authorities of {}", provider.name), file)));
    }
    for storage in &config.storage {
        let own = storage.ca_file.as_deref();
        files.extend(own.map(|file| (format!("authorities of the storage {}", storage.name), file)));
    }
    if files.is_empty() {
        return vec![Finding::skipped("certificates", "the configuration names none")];
    }
    files.into_iter().map(|(about, file)| of_file(about, file, now())).collect()
}

/// The certificate of a file that ends first decides.
fn of_file(about: String, file: &Path, now: Time) -> Finding {
    let shown = file.display();
    let unreadable = |why: String| {
        Finding::bad(
            about.clone(),
            format!("{shown} {why}"),
            "It has to hold certificates in PEM, readable for the hub",
        )
    };
    let certificates: Result<Vec<CertificateDer<'_>>, _> = match CertificateDer::pem_file_iter(file) {
        Ok(certificates) => certificates.collect(),
        Err(error) => return unreadable(format!("cannot be read: {error}")),
    };
    let ends: Option<Vec<i64>> = match &certificates {
        Ok(found) => found
            .iter()
            .map(|one| parse_x509_certificate(one).ok().map(|(_, parsed)| parsed.validity().not_after.timestamp()))
            .collect(),
        Err(error) => return unreadable(format!("cannot be read: {error}")),
    };
    let first = ends.as_ref().and_then(|ends| ends.iter().min()).and_then(|&end| DateTime::from_timestamp(end, 0));
    match (ends, first) {
        (None, _) => unreadable("holds something that is no certificate".to_owned()),
        (Some(_), None) => unreadable("holds no certificate".to_owned()),
        (Some(_), Some(end)) => judge(about, end, now),
    }
}

fn judge(about: String, end: Time, now: Time) -> Finding {
    let day = end.format("%-d %B %Y");
    let left = (end - now).num_days();
    if end <= now {
        return Finding::bad(about, format!("ended on {day}: browsers refuse it"), "Get a new one");
    }
    if end - now < SOON {
        return Finding::note(
            about,
            format!("ends on {day}, in {left} days"),
            "Get a new one, or see why it was not renewed",
        );
    }
    Finding::good(about, format!("good until {day}"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_certificate_that_ended_fails_and_one_that_ends_soon_is_worth_a_look() {
        let at = |days: i64| DateTime::from_timestamp(1_700_000_000, 0).unwrap() + TimeDelta::days(days);
        let level = |end: i64| judge("certificate".to_owned(), at(end), at(0)).level;
        assert_eq!([level(-1), level(0), level(5), level(40)], [Level::Bad, Level::Bad, Level::Note, Level::Ok]);
    }

    #[test]
    fn files_without_certificates_fail() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("some.pem");
        let level = || of_file("certificate".to_owned(), &file, now()).level;
        assert_eq!(level(), Level::Bad);
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(level(), Level::Bad, "{text:?}");
        }
    }
}
