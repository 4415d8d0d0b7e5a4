//! `[[storage]]`: object stores whose credentials the hub gets for people, with their tokens of an identity provider.

use std::collections::BTreeSet;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AuthConfig;
use super::address::{HttpUrl, is_loopback};
use super::unit::Seconds;

/// No object store gives more, in seconds.
const LONGEST: f64 = 604_800.0;
/// Credentials of a shorter life are asked for all the time by programs of AWS, which renew 15 minutes before the end.
const COMFORTABLE: f64 = 3_600.0;

/// An object store.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StorageConfig {
    /// A short name of small letters, digits and `-`: it is in addresses, and programs in labs select by it.
    pub name: String,
    /// Whose object store it is: `minio`, `ceph` or `aws`.
    pub dialect: Dialect,
    /// Where objects are asked for. Without it, with `aws`: that of the region.
    pub endpoint: Option<HttpUrl>,
    /// Where credentials are given, by `AssumeRoleWithWebIdentity`. Without it: `endpoint`; with `aws`, that of the region.
    pub sts_endpoint: Option<HttpUrl>,
    /// The region that requests name.
    pub region: String,
    /// Whether the bucket stands in the path of an address, and not in the name of the host.
    pub path_style: bool,
    /// The identity provider whose tokens are exchanged, by its name; people of others get nothing. Without it: whichever
    /// somebody logged in with.
    pub provider: Option<String>,
    /// Which token is exchanged: `access` or `id`.
    pub token: TokenKind,
    /// For whom the access token is to be. Without it: the provider's own choice.
    pub audience: Option<String>,
    /// How many seconds credentials are good for, if the role allows it. They are renewed at half of that.
    pub duration: Seconds,
    /// Who gets which role: the first of these that a person fits. With `minio` it may be left out: everybody gets what
    /// their own claims give.
    pub roles: Vec<StorageRole>,
    /// The buckets that people find as folders.
    pub buckets: Vec<BucketConfig>,
    /// A file with certificates, in PEM, that are trusted beside those of the system; labs are told of them too.
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// How many seconds the object store may take to give credentials.
    pub timeout: Seconds,
}

/// A role at an object store.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StorageRole {
    /// Its name there, such as `arn:aws:iam:::role/cygno`. Empty, with `minio`: what the claims of the person give.
    pub role_arn: String,
    /// Who gets it: members of these groups, where `a/**` is the group `a` and all below it. Without any: everybody.
    pub groups: BTreeSet<String>,
}

/// A bucket as a folder.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BucketConfig {
    /// The bucket. `{username}` is filled in, and `{group}` with each of the groups in `groups` that the person is in.
    pub bucket: String,
    /// What stands before every name in it, such as `{username}/`.
    pub prefix: String,
    /// Where it is in labs. `{username}` and `{group}` are filled in. It may be in the folder of another bucket that is
    /// `read_only`, such as `/s3/scratch/{username}` in `/s3/scratch`.
    pub folder: String,
    /// Who gets it: members of these groups. Without any: everybody who gets credentials.
    pub groups: BTreeSet<String>,
    /// Keeps labs from writing into the folder.
    pub read_only: bool,
}

/// Whose object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// MinIO, which needs no role.
    #[default]
    Minio,
    /// Ceph's RADOS gateway.
    Ceph,
    /// Amazon's.
    Aws,
}

/// Which of somebody's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenKind {
    /// The access token.
    #[default]
    Access,
    /// The ID token.
    Id,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            dialect: Dialect::default(),
            endpoint: None,
            sts_endpoint: None,
            region: "us-east-1".to_owned(),
            path_style: true,
            provider: None,
            token: TokenKind::default(),
            audience: None,
            duration: Seconds(COMFORTABLE),
            roles: Vec::new(),
            buckets: Vec::new(),
            ca_file: None,
            timeout: Seconds(10.0),
        }
    }
}

impl StorageConfig {
    /// Where objects are, without a slash at the end.
    pub fn endpoint(&self) -> String {
        match &self.endpoint {
            Some(url) => url.as_str().to_owned(),
            None => format!("https://s3.{}.amazonaws.com", self.region),
        }
    }

    /// Where credentials are given.
    pub fn sts_endpoint(&self) -> String {
        match (&self.sts_endpoint, self.dialect) {
            (Some(url), _) => format!("{}/", url.as_str()),
            (None, Dialect::Aws) => format!("https://sts.{}.amazonaws.com/", self.region),
            (None, Dialect::Minio | Dialect::Ceph) => format!("{}/", self.endpoint()),
        }
    }

    /// What is wrong with it, as option, problem and remedy.
    fn problems(&self) -> Vec<(String, String, &'static str)> {
        let mut problems = Vec::new();
        let mut blame = |option: &str, what: &str, remedy| problems.push((option.to_owned(), what.to_owned(), remedy));
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let first = self.name.starts_with(|c: char| c.is_ascii_lowercase());
        if !first || self.name.len() > 32 || !self.name.chars().all(plain) {
            blame("name", "has to be 1 to 32 small letters, digits or -, a letter first", "Such as \"minio\"");
        }
        if self.endpoint.is_none() && self.dialect != Dialect::Aws {
            blame("endpoint", "is not written", "Such as \"https://s3.example.org\"");
        }
        let region = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if self.region.is_empty() || !self.region.chars().all(region) {
            blame("region", "has to be letters, digits and -", "Without it, it is \"us-east-1\"");
        }
        if !(1.0..=LONGEST).contains(&self.duration.0) {
            blame("duration", "has to be from 1 to 604800 seconds", "Without it, it is 3600");
        }
        if self.timeout.is_zero() || self.timeout.0 > 120.0 {
            blame("timeout", "has to be more than 0 and 120 seconds at most", "");
        }
        if self.audience.as_deref() == Some("") {
            blame("audience", "is empty", "Leave it out for the provider's own choice");
        }
        if self.audience.is_some() && self.token == TokenKind::Id {
            blame(
                "audience",
                "is of no use with token = \"id\": an ID token is for the hub",
                "Leave one of the two out",
            );
        }
        if self.roles.is_empty() && self.dialect != Dialect::Minio {
            blame("roles", "is empty, and this object store gives nothing without a role", "Add a [[storage.roles]]");
        }
        for (index, role) in self.roles.iter().enumerate() {
            let key = format!("roles[{index}]");
            if role.role_arn.is_empty() && self.dialect != Dialect::Minio {
                blame(&format!("{key}.role_arn"), "is empty", "Such as \"arn:aws:iam:::role/users\"");
            }
            if role.role_arn.chars().any(|c| c.is_control() || c.is_whitespace()) || role.role_arn.len() > 2048 {
                blame(&format!("{key}.role_arn"), "is no name of a role", "");
            }
            if role.groups.is_empty() && index + 1 < self.roles.len() {
                let what = "is for everybody, so that those after it are for nobody";
                blame(&key, what, "Put the role without groups last");
            }
        }
        for (index, bucket) in self.buckets.iter().enumerate() {
            for (option, what, remedy) in bucket.problems() {
                blame(&format!("buckets[{index}].{option}"), what, remedy);
            }
        }
        problems
    }
}

impl BucketConfig {
    fn problems(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let mut problems = Vec::new();
        if self.bucket.is_empty() {
            problems.push(("bucket", "is empty", "Such as \"{username}\""));
        }
        let parts = self.folder.strip_prefix('/').map(|rest| rest.split('/'));
        if !parts.is_some_and(|mut parts| parts.all(|part| !matches!(part, "" | "." | ".."))) {
            problems.push(("folder", "has to be a path from the root", "Such as \"/s3/{username}\""));
        }
        let texts = [&self.bucket, &self.prefix, &self.folder];
        if self.groups.is_empty() && texts.iter().any(|text| text.contains("{group}")) {
            problems.push(("groups", "is empty, so that {group} stands for nothing", "Write which groups are meant"));
        }
        problems
    }
}

/// Checks the rules no schema can tell. `blame` takes key, what is wrong, and the remedy.
pub fn validate(storage: &[StorageConfig], auth: &AuthConfig, blame: &mut impl FnMut(&str, &str, &str)) {
    let mut names = BTreeSet::new();
    for (index, one) in storage.iter().enumerate() {
        let key = format!("storage[{index}]");
        for (option, what, remedy) in one.problems() {
            blame(&format!("{key}.{option}"), &what, remedy);
        }
        if !names.insert(&one.name) {
            blame(&key, &format!("is a second storage {:?}", one.name), "Give it a name of its own");
        }
        if let Some(provider) = &one.provider
            && !auth.providers.iter().any(|known| known.name == *provider)
        {
            let what = format!("is {provider:?}, which is no provider");
            blame(&format!("{key}.provider"), &what, "Write the name of one of [[auth.providers]]");
        }
    }
    if !storage.is_empty() && auth.providers.is_empty() {
        blame("storage", "needs people's tokens, and there is no provider", "Add a section [[auth.providers]]");
    }
    if !storage.is_empty() && !auth.enable_auth_state {
        blame("storage", "needs people's tokens, and none are kept", "Set auth.enable_auth_state = true");
    }
}

/// What is allowed and worth a second look, as sentences.
pub fn warnings(storage: &[StorageConfig]) -> Vec<String> {
    let mut warnings = Vec::new();
    for one in storage {
        let name = &one.name;
        if one.duration.0 < COMFORTABLE {
            let seconds = one.duration.0;
            warnings.push(format!(
                "The storage {name:?} gives credentials for {seconds} seconds: programs of AWS renew theirs 15 minutes \
                 before the end, and would ask all the time; and most object stores give no less than 900. 3600 and more \
                 is better"
            ));
        }
        for url in [one.endpoint(), one.sts_endpoint()] {
            let host = url::Url::parse(&url).ok().and_then(|url| url.host_str().map(str::to_owned));
            if url.starts_with("http://") && !host.is_some_and(|host| is_loopback(&host)) {
                let url = url.trim_end_matches('/');
                warnings.push(format!("Tokens and keys would travel unencrypted to {url}, of the storage {name:?}"));
                break;
            }
        }
    }
    warnings
}

/// Serialized only to show defaults in the reference.
impl Serialize for StorageConfig {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}
