//! A certificate with its key.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio_rustls::rustls::{client::verify_server_name, server::ParsedCertificate, sign::CertifiedKey};

/// What is shown in a handshake, and how long it is good.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) begins: DateTime<Utc>,
    pub(crate) ends: DateTime<Utc>,
}

impl Identity {
    /// Reads a chain, the certificate itself first, and its key. Both may be in one text.
    pub(crate) fn from_pem(chain: &[u8], key: &[u8]) -> anyhow::Result<Self> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().context("the certificate")?;
        if key.windows(9).any(|word| word == b"ENCRYPTED") {
            bail!(
                "the key is encrypted, and passphrases are not used; keep it in clear in a file that others cannot read: \
                 openssl pkey -in FILE -out NEW"
            );
        }
        let key = PrivateKeyDer::from_pem_slice(key).context("the key")?;
        Self::from_der(chain, key)
    }

    /// The same from what PEM wraps.
    pub(crate) fn from_der(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> anyhow::Result<Self> {
        let first = chain.first().context("there is no certificate")?;
        let (_, parsed) = x509_parser::parse_x509_certificate(first).context("the certificate")?;
        let time = |time: x509_parser::time::ASN1Time| DateTime::from_timestamp(time.timestamp(), 0);
        let begins = time(parsed.validity().not_before).context("the certificate has no beginning")?;
        let ends = time(parsed.validity().not_after).context("the certificate has no end")?;
        let certified = CertifiedKey::from_der(chain, key, &super::provider()).context("certificate and key")?;
        Ok(Self { certified: Arc::new(certified), begins, ends })
    }

    /// Whether it speaks for a host name or address.
    pub(crate) fn is_for(&self, name: &ServerName<'_>) -> bool {
        let Some(certificate) = self.certified.cert.first() else { return false };
        ParsedCertificate::try_from(certificate).is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
    }

    /// Whether it speaks for all these names.
    pub(crate) fn is_for_all(&self, names: &[String]) -> bool {
        names.iter().all(|name| ServerName::try_from(name.as_str()).is_ok_and(|name| self.is_for(&name)))
    }

    /// When two thirds of its life are over.
    pub(crate) fn renew_at(&self) -> DateTime<Utc> {
        let life = (self.ends - self.begins).max(TimeDelta::zero());
        self.begins + life * 2 / 3
    }
}

/// Reads what [`write_private`] wrote with key and chain in one file. None when there is no such file.
pub(super) fn read(file: &Path) -> anyhow::Result<Option<Identity>> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(problem) => return Err(problem).with_context(|| format!("cannot read {}", file.display())),
    };
    Identity::from_pem(&text, &text).with_context(|| format!("in {}", file.display())).map(Some)
}

/// Replaces a file by one that only its owner can read, in one step, in a folder that only its owner can enter.
pub(super) fn write_private(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    write(file, content, 0o600)
}

/// The same for a file that everybody may read.
pub(super) fn write_public(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    write(file, content, 0o644)
}

fn write(file: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let folder = file.parent().context("a file lies in a folder")?;
    ensure!(file.file_name().is_some(), "{} is no file", file.display());
    let written = || -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut beside = file.file_name().unwrap_or_default().to_owned();
        beside.push(".new");
        let beside = file.with_file_name(beside);
        // What a crash left may have other rights.
        match std::fs::remove_file(&beside) {
            Err(problem) if problem.kind() != io::ErrorKind::NotFound => return Err(problem),
            _ => {}
        }
        let mut new = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        new.write_all(content)?;
        new.sync_all()?;
        std::fs::rename(&beside, file)?;
        File::open(folder)?.sync_all()
    };
    written().with_context(|| format!("cannot write {}", file.display()))
}
