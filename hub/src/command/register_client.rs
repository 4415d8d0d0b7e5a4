//! `specola register-client`: makes the hub known to an identity provider, or completes a client that is known there.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use hub_core::secret::Secret;

use crate::config::secret_file;
use crate::login::oidc::preset::Preset;
use crate::login::oidc::registration::{Registered, Registrar, Wanted};

/// The provider may take so long for each answer.
const LIMIT: Duration = Duration::from_secs(30);

/// Register the hub at an identity provider, or add its address to a client that is registered there already
/// (--client-id with --token-file). The client's secret and its registration access token are written to a file.
#[derive(Debug, Args)]
pub struct RegisterClient {
    /// The provider's address, such as https://iam.example.org/.
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// Where the provider sends people back to: https://HUB/hub/oauth_callback.
    #[arg(long, value_name = "URL")]
    callback: String,
    /// The file to write, as JSON that only you may read. It must not exist yet.
    #[arg(long, value_name = "FILE", default_value = "oidc-client.json")]
    output: PathBuf,
    /// What people read at the provider.
    #[arg(long, default_value = "Specola")]
    name: String,
    /// An address that the provider's administrators write to. Can be given again.
    #[arg(long = "contact", value_name = "ADDRESS")]
    contacts: Vec<String>,
    /// A scope to ask for. Can be given again. Without it: those of the preset indigo-iam.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// A file with the token that permits to register, where the provider asks for one.
    #[arg(long, value_name = "FILE", conflicts_with = "client_id")]
    initial_token_file: Option<PathBuf>,
    /// The client that is registered already.
    #[arg(long, value_name = "ID", requires = "token_file")]
    client_id: Option<String>,
    /// A file with that client's registration access token.
    #[arg(long, value_name = "FILE", requires = "client_id")]
    token_file: Option<PathBuf>,
    /// A file with certificates, in PEM, that are trusted beside those of the system.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(arguments: RegisterClient) -> Result<()> {
    let token = |file: &Option<PathBuf>| file.as_deref().map(token_of).transpose();
    let (initial, access) = (token(&arguments.initial_token_file)?, token(&arguments.token_file)?);
    // Before anything is asked for: a client whose secret cannot be kept would be lost.
    let mut file = create(&arguments.output)?;
    let outcome = ask(&arguments, initial.as_ref(), access.as_ref()).await;
    let client = match outcome {
        Ok(client) => client,
        Err(error) => {
            let _ = std::fs::remove_file(&arguments.output);
            return Err(error);
        }
    };
    file.write_all(client.to_file(&arguments.issuer).as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("the client {} is registered, but cannot be kept", client.client_id))?;
    println!("The client {} takes people back to {}.", client.client_id, client.redirect_uris.join(", "));
    let wanted = scopes(&arguments);
    let dropped = client.dropped(wanted.iter().map(String::as_str));
    if !dropped.is_empty() {
        println!("The provider keeps back these scopes: {}.", dropped.join(", "));
    }
    println!("Its secret and its registration access token are in {}.", arguments.output.display());
    Ok(())
}

async fn ask(arguments: &RegisterClient, initial: Option<&Secret>, access: Option<&Secret>) -> Result<Registered> {
    let registrar = Registrar::of(&arguments.issuer, arguments.ca_file.as_deref(), LIMIT).await;
    let registrar = registrar.map_err(|trouble| anyhow!("the provider {}: {trouble}", arguments.issuer))?;
    let client = match (&arguments.client_id, access) {
        (Some(id), Some(token)) => registrar.repair(id, token, &arguments.callback).await,
        _ => {
            let wanted = Wanted {
                name: arguments.name.clone(),
                callback: arguments.callback.clone(),
                scopes: scopes(arguments),
                contacts: arguments.contacts.clone(),
            };
            registrar.register(&wanted, initial).await
        }
    };
    client.map_err(|trouble| anyhow!("the provider {}: {trouble}", arguments.issuer))
}

fn scopes(arguments: &RegisterClient) -> Vec<String> {
    if !arguments.scopes.is_empty() {
        return arguments.scopes.clone();
    }
    let defaults = Preset::IndigoIam.defaults();
    defaults.scope.iter().chain(defaults.optional_scope).map(|scope| (*scope).to_owned()).collect()
}

fn token_of(file: &Path) -> Result<Secret> {
    secret_file::read(file).map(|read| read.secret).map_err(|(what, remedy)| anyhow!("the option {what}. {remedy}"))
}

fn create(path: &Path) -> Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.with_context(|| format!("cannot make {}", path.display()))
}
