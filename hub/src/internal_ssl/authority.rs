//! An authority of the hub's own: a key that signs certificates, kept in one file.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Datelike, TimeDelta};
use hub_core::clock::Time;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};

/// How long an authority is good.
const YEARS_OF_AUTHORITY: i64 = 10;
/// How long what it signs is good, if the authority itself is: as with JupyterHub.
const YEARS: i64 = 5;
/// Before its end it is told.
const NOTICE: TimeDelta = TimeDelta::days(365);
/// No file of ours is larger.
const LARGEST: u64 = 64 * 1024;

/// A key and its certificate, both PEM.
pub struct Pair {
    pub key: String,
    pub certificate: String,
}

/// Signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    ends: Time,
}

impl Authority {
    /// The authority of this name in the folder. Where there is none one is made; of several hubs that do so at once all get
    /// the first one's.
    ///
    /// Errors: the file cannot be read or written, or what is in it does not belong together or is over.
    pub fn obtain(folder: &Path, name: &str, now: Time) -> Result<Self> {
        let file = folder.join(format!("{name}.pem"));
        let context = || format!("the authority in {}", file.display());
        if !file.try_exists().with_context(context)? {
            make(folder, &file, name, now).with_context(context)?;
            tracing::info!(file = %file.display(), "made an authority for TLS between hub, proxy and servers");
        }
        let authority = Self::read(&file, name).with_context(context)?;
        ensure!(now < authority.ends, "{}: it ended at {}", context(), authority.ends);
        if now + NOTICE > authority.ends {
            tracing::warn!(file = %file.display(), ends = %authority.ends, "this authority ends soon (docs/tls.md)");
        }
        Ok(authority)
    }

    fn read(file: &Path, name: &str) -> Result<Self> {
        let opened = File::open(file)?;
        if opened.metadata()?.permissions().mode() & 0o004 != 0 {
            tracing::warn!(file = %file.display(), "the key of an authority can be read by everybody on this machine");
        }
        let mut text = String::new();
        opened.take(LARGEST).read_to_string(&mut text)?;
        let key = KeyPair::from_pem(&text).context("its key")?;
        let der = CertificateDer::from_pem_slice(text.as_bytes()).context("its certificate")?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).context("its certificate")?;
        ensure!(parsed.public_key().raw == key.subject_public_key_info(), "key and certificate do not belong together");
        ensure!(parsed.is_ca(), "its certificate is none of an authority");
        let ends = DateTime::from_timestamp(parsed.validity().not_after.timestamp(), 0).context("it has no end")?;
        let named = parsed.subject().iter_common_name().filter_map(|named| named.as_str().ok()).any(|it| it == name);
        ensure!(named, "its certificate is of another name than {name}");
        Ok(Self { issuer: Issuer::new(described(name), key), certificate: pem(&der), ends })
    }

    /// Its certificate, which is no secret.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A new key with a certificate for these host names and addresses. What has it may show it to servers as well as to clients.
    pub fn sign(&self, common_name: &str, names: &[String], now: Time) -> Result<Pair> {
        let mut wanted = CertificateParams::new(names).with_context(|| names.join(" "))?;
        wanted.distinguished_name = named(common_name);
        wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        wanted.use_authority_key_identifier_extension = true;
        date(&mut wanted, now, (now + TimeDelta::days(365 * YEARS)).min(self.ends));
        let key = KeyPair::generate()?;
        let certificate = wanted.signed_by(&key, &self.issuer)?;
        Ok(Pair { key: key.serialize_pem(), certificate: certificate.pem() })
    }
}

fn described(name: &str) -> CertificateParams {
    let mut wanted = CertificateParams::default();
    wanted.distinguished_name = named(name);
    wanted.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    wanted.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    wanted
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

/// Says from when to when it is good, to the day. It begins a day early, for clocks that are late.
fn date(wanted: &mut CertificateParams, now: Time, ends: Time) {
    let number = |number: u32| u8::try_from(number).unwrap_or(1);
    let day = |day: Time| date_time_ymd(day.year(), number(day.month()), number(day.day()));
    (wanted.not_before, wanted.not_after) = (day(now - TimeDelta::days(1)), day(ends));
}

fn pem(der: &CertificateDer<'_>) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn make(folder: &Path, file: &Path, name: &str, now: Time) -> Result<()> {
    let mut wanted = described(name);
    date(&mut wanted, now, now + TimeDelta::days(365 * YEARS_OF_AUTHORITY));
    let key = KeyPair::generate()?;
    let certificate = wanted.self_signed(&key)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let draft = folder.join(format!("{name}.{}", uuid::Uuid::new_v4().simple()));
    let written = private(&draft, format!("{}{}", key.serialize_pem(), certificate.pem()).as_bytes())
        .and_then(|()| std::fs::hard_link(&draft, file));
    let removed = std::fs::remove_file(&draft);
    match written {
        // Another hub was first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => bail!("it cannot be made: {error}"),
        Ok(()) => {}
    }
    Ok(removed?)
}

/// Writes a new file that only its owner can read.
pub fn private(file: &Path, content: &[u8]) -> io::Result<()> {
    let mut opened = OpenOptions::new().create_new(true).write(true).mode(0o600).open(file)?;
    opened.write_all(content)?;
    opened.sync_all()
}
