//! The proxy alone, for tests and measurements that need it as a process of its own:
//! `serve LISTEN TARGET [SNAPSHOT]` sends everything to the target. Prints the bound address.

use std::path::PathBuf;

use anyhow::Context;
use specola_proxy::{HubLink, Limits, Options, Proxy};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().context("serve LISTEN TARGET [SNAPSHOT]")?.parse()?;
    let default_target = arguments.next();
    let options = Options {
        listen: vec![listen],
        hub: HubLink::None,
        token: String::new(),
        snapshot: arguments.next().map(PathBuf::from),
        identity: "example".to_owned(),
        default_target,
        limits: Limits::default(),
        admin_socket: None,
        trusted_proxies: Vec::new(),
    };
    let proxy = Proxy::bind(options).await?;
    for address in proxy.addresses() {
        println!("{address}");
    }
    proxy.serve(CancellationToken::new()).await
}
