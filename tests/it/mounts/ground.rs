//! A hub whose people have buckets as folders, with whatever object store and driver a test takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use serde_json::json;
use tests::object_store::{AUDIENCE, Gateway, Moto, Tools, Veil, Wanted};
use tests::specola::Options;
use tests::{Provider, Session, mark, place, until};

use crate::oidc::{Entry, House, keeping};

pub const PATIENCE: Duration = Duration::from_secs(90);

/// Where a test mounts. What is left is unmounted in the end, and helpers are killed.
pub struct Disk(tempfile::TempDir);

impl Disk {
    pub fn new() -> Result<Disk> {
        Ok(Disk(tempfile::tempdir()?))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The processes that mount.
    pub fn helpers(&self) -> Vec<i32> {
        let folder = self.0.path().display().to_string();
        let is_ours =
            |process: &mark::Process| process.variable("SPECOLA_MOUNT").is_some() && process.command.contains(&folder);
        mark::processes().into_iter().filter(is_ours).map(|process| process.id).collect()
    }

    pub fn kill_helpers(&self) {
        let helpers = self.helpers();
        assert!(!helpers.is_empty(), "there is no helper to kill");
        helpers.into_iter().for_each(|id| mark::send(id, Signal::SIGKILL));
    }

    /// What is mounted in it, the hub's own place for mounts left out.
    pub fn mounted(&self) -> Vec<String> {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let beginning = format!("{}/", self.path("mounts").display());
        let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned);
        points.filter(|point| point.starts_with(&beginning)).collect()
    }

    /// Waits until nothing of any server is left of it, not even what waited to be uploaded.
    pub async fn is_clean(&self) -> Result<()> {
        until("nothing left, the cache neither", PATIENCE, async || {
            let gone = fs::read_dir(self.path("cache"))?.count() == 0;
            Ok((gone && self.helpers().is_empty() && self.mounted().is_empty()).then_some(()))
        })
        .await
    }

    /// What the configuration says of mounts; labs see them at `target`.
    pub fn options(&self, target: &str) -> Options {
        let text = |name: &str| format!("{:?}", self.path(name).display().to_string());
        Options::default()
            .set("spawner.mounts", "enabled", "true")
            .set("spawner.mounts", "dir", &text("mounts"))
            .set("spawner.mounts", "cache_dir", &text("cache"))
            .set("spawner.mounts", "target", &format!("{target:?}"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.helpers().into_iter().for_each(|id| mark::send(id, Signal::SIGKILL));
        let all = self.mounted().into_iter().rev().chain([self.path("mounts").display().to_string()]);
        all.for_each(|point| drop(Command::new("umount").arg("-l").arg(point).output()));
    }
}

/// Whether this machine can mount buckets.
pub fn possible() -> bool {
    let possible = place::is_root() && Path::new("/dev/fuse").exists() && place::command("rclone").is_some();
    assert!(possible || std::env::var_os("SPECOLA_REQUIRE_MOUNTS").is_none(), "root, rclone or FUSE are missing");
    if !possible {
        eprintln!("skipped: it needs root, /dev/fuse and rclone");
    }
    possible
}

/// An object store, as its administrator knows it.
pub struct Store<'a> {
    tools: &'a Tools,
    endpoint: String,
    /// Where people and the hub ask it.
    people: String,
    keys: (&'a str, &'a str),
    thumbprint: Option<String>,
    /// What the configuration says of it besides.
    more: String,
    /// Scratch can only be read, but for a part of one's own.
    own_parts: bool,
}

impl<'a> Store<'a> {
    pub fn moto(tools: &'a Tools, moto: &Moto) -> Store<'a> {
        Store {
            tools,
            endpoint: moto.endpoint(),
            people: moto.endpoint(),
            keys: ("administrator", "secret"),
            thumbprint: None,
            more: String::new(),
            own_parts: false,
        }
    }

    /// The same store, of whose bucket for all each writes a part.
    pub fn with_own_parts(mut self) -> Store<'a> {
        self.own_parts = true;
        self
    }

    /// The same store over TLS, as its administrator does not use it; `more` is what the configuration says of it besides.
    pub fn behind(mut self, veil: &Veil, more: &str) -> Store<'a> {
        (self.people, self.more) = (veil.endpoint(), format!("{}{more}", self.more));
        self
    }

    /// Ceph's, which takes the tokens of a provider.
    pub async fn ceph(tools: &'a Tools, gateway: &'a Gateway, provider: &Provider) -> Result<Store<'a>> {
        let thumbprint = Some(provider.certify_keys().await?);
        let more = format!("dialect = \"ceph\", audience = {AUDIENCE:?},");
        let endpoint = gateway.endpoint();
        Ok(Store {
            tools,
            people: endpoint.clone(),
            endpoint,
            keys: gateway.keys(),
            thumbprint,
            more,
            own_parts: false,
        })
    }

    /// Makes the buckets: one of each person's own, which they make themselves, one for all, and one for each group of
    /// cygno's. Gives what the configuration says of them; labs see them below `target`.
    pub fn furnish(&self, issuer: &str, people: &[&str], target: &str) -> Result<String> {
        let own: Vec<String> = people.iter().map(|name| format!("{name}-own")).collect();
        let open: Vec<&str> = own.iter().map(String::as_str).chain(["scratch", "cygno-data"]).collect();
        let roles = self.tools.administer(&Wanted {
            endpoint: &self.endpoint,
            keys: self.keys,
            issuer,
            thumbprint: self.thumbprint.as_deref(),
            roles: &[("people", &open)],
            buckets: &["scratch", "cygno-data"],
        })?;
        let bucket = |bucket: &str, folder: &str, more: &str| {
            format!("{{ bucket = {bucket:?}, folder = \"{target}/{folder}\", {more} }}")
        };
        let mut buckets = vec![
            bucket("{username}-own", "{username}", ""),
            bucket("scratch", "scratch", if self.own_parts { "read_only = true" } else { "" }),
            bucket("cygno-data", "cygno", "groups = [\"users/cygno\"]"),
        ];
        if self.own_parts {
            buckets.push(bucket("scratch", "scratch/{username}", "prefix = \"{username}/\""));
        }
        Ok(format!(
            "[{{ name = \"main\", endpoint = {:?}, {} roles = [{{ role_arn = {:?}, groups = [] }}], buckets = [{}] }}]",
            self.people,
            self.more,
            roles["people"],
            buckets.join(", ")
        ))
    }

    /// A hub whose people have these buckets.
    pub async fn house(&self, provider: Provider, target: &str, more: Options) -> Result<House> {
        let storage = self.furnish(provider.issuer(), &["anna", "bob"], target)?;
        let options = |options| keeping(options).set("", "storage", &storage).and(more);
        let house = House::at(provider, &Entry::by_group(), options).await?;
        house.provider.set_user("bob", json!({"groups": ["users"]})).await?;
        Ok(house)
    }

    /// What a bucket has under a name, by the word of another client: its digest.
    pub fn stored(&self, path: &str) -> Result<Option<String>> {
        let script = "import boto3, hashlib, sys\nendpoint, key_id, secret, path = sys.argv[1:]\nbucket, key = path.split('/', 1)\n\
            s3 = boto3.client('s3', endpoint_url=endpoint, aws_access_key_id=key_id, aws_secret_access_key=secret, region_name='us-east-1')\n\
            digest = hashlib.sha256()\n\
            try:\n    for piece in s3.get_object(Bucket=bucket, Key=key)['Body'].iter_chunks(1 << 20):\n        digest.update(piece)\n    print(digest.hexdigest())\n\
            except s3.exceptions.ClientError as error:\n    assert error.response['Error']['Code'] in ('NoSuchKey', 'NoSuchBucket', '404'), error\n";
        let mut command = Command::new(self.tools.python());
        let output = command.args(["-c", script, &self.endpoint, self.keys.0, self.keys.1, path]).output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(Some(String::from_utf8(output.stdout)?.trim().to_owned()).filter(|digest| !digest.is_empty()))
    }

    /// Waits until a file of a bucket is this one.
    pub async fn has(&self, path: &str, digest: &str, patience: Duration) -> Result<()> {
        until("the file in the bucket", patience, async || {
            Ok((self.stored(path)?.as_deref() == Some(digest)).then_some(()))
        })
        .await
    }
}

pub async fn home_says(browser: &mut Session, what: &str) -> Result<()> {
    until(&format!("“{what}” on the home page"), PATIENCE, async || {
        let page = browser.get("/hub/home").await?.expect(&[200])?.text();
        Ok(page.contains(what).then_some(()))
    })
    .await
}
