//! TLS between hub, proxy and servers, with the real single-user server: who shows no certificate gets no word.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::json;
use tests::elsewhere::Elsewhere;
use tests::fake_kubernetes::{FakeKubernetes, NAMESPACE, Pace};
use tests::jupyterhub::Ground;
use tests::specola::Options;
use tests::{Body, Kernel, Mark, Session, Specola, need, place, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::singleuser::a_lab_is_open_to_its_owner_only;

fn options(python: &Path) -> Options {
    Options::default().real_lab(python).set("hub", "internal_ssl", "true")
}

/// What an address answers to a request, over plain HTTP; empty when it says nothing.
async fn in_clear(address: &str, path: &str) -> String {
    let said = async {
        let mut peer = TcpStream::connect(address).await?;
        peer.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())
            .await?;
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    said.await.unwrap_or_default()
}

/// The same over TLS, showing the certificate and key of these files, or nothing.
async fn over_tls(trust: &Path, shows: Option<(&Path, &Path)>, address: &str, path: &str) -> Result<String> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(trust)? {
        roots.add(root?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    let config = match shows {
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?
        }
        None => builder.with_no_client_auth(),
    };
    let peer = TcpStream::connect(address).await?;
    let mut peer = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("127.0.0.1")?, peer).await?;
    peer.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    // Some end without saying so.
    if let Err(error) = peer.read_to_end(&mut answer).await
        && answer.is_empty()
    {
        return Err(error.into());
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Listens with the certificate and key of these files until somebody says something.
async fn listens_as(listener: TcpListener, certificate: PathBuf, key: PathBuf) -> Result<()> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let config = builder.with_no_client_auth().with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    loop {
        let (peer, _) = listener.accept().await?;
        // A peer that does not believe it breaks off.
        let Ok(mut peer) = acceptor.accept(peer).await else { continue };
        if peer.read(&mut [0; 1]).await.is_ok_and(|bytes| bytes > 0) {
            return Ok(());
        }
    }
}

/// Where the lab of a server listens.
fn lab_address(specola: &Specola, user: &str) -> Result<String> {
    let folder = specola.ground.folder.join("run");
    let of = |folder: &Path| -> Vec<serde_json::Value> {
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        files.filter_map(|file| serde_json::from_slice(&fs::read(file.path()).ok()?).ok()).collect()
    };
    let mut runs = of(&folder);
    runs.extend(of(&specola.ground.folder.join("local/run")));
    let run = runs.iter().find(|run| run["user"] == user).context("the note of the lab")?;
    let url = url::Url::parse(run["url"].as_str().context("its url")?)?;
    ensure!(url.scheme() == "https", "{url}");
    Ok(format!("127.0.0.1:{}", url.port().context("its port")?))
}

async fn works(python: &Path) -> Result<()> {
    let specola = Specola::start(options(python)).await?;
    a_lab_is_open_to_its_owner_only(&specola.origin()).await
}

#[tokio::test]
async fn the_single_user_server_of_jupyterhub_6_works_over_tls() -> Result<()> {
    works(&need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON")).await
}

#[tokio::test]
async fn the_single_user_server_of_jupyterhub_5_works_over_tls() -> Result<()> {
    works(&need!(place::jupyterhub5(), "JupyterHub 5.x", "SPECOLA_JUPYTERHUB5_PYTHON")).await
}

#[tokio::test]
async fn who_shows_no_certificate_of_the_hubs_authorities_is_not_heard() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let mut specola = Specola::start(options(&python)).await?;
    let mut alice = specola.logged_in("alice").await?;
    let token = alice.new_token("alice").await?;
    alice.start_server("alice").await?;
    let mut kernel = Kernel::start(&specola.origin(), "/user/alice/", &token).await?;
    assert_eq!(kernel.run("6 * 7").await?, "42");

    let proxy = specola.ground.folder.join("proxy");
    let (shown, trust) = (proxy.join("internal-ssl.pem"), proxy.join("internal-ssl-trust.pem"));
    let (hub, lab) = (format!("127.0.0.1:{}", specola.ground.hub_port), lab_address(&specola, "alice")?);
    for (address, path) in [(&hub, "/hub/api"), (&lab, "/user/alice/api")] {
        let plain = in_clear(address, path).await;
        assert!(!plain.contains("version"), "{address} answers in clear: {plain}");
        assert!(over_tls(&trust, None, address, path).await.is_err(), "{address} hears anybody");
        let heard = over_tls(&trust, Some((&shown, &shown)), address, path).await?;
        assert!(heard.starts_with("HTTP/1.1 200"), "{address}: {heard}");
    }
    // The hub hears a lab, and no lab hears another.
    let homes = fs::read_dir(specola.ground.homes())?.flatten().map(|home| home.path().join(".jupyterhub"));
    let folder = homes.flat_map(|home| fs::read_dir(home).into_iter().flatten().flatten()).next();
    let folder = folder.context("the folder of the lab's certificate")?.path();
    let (certificate, key) = (folder.join("ssl.crt"), folder.join("ssl.key"));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&key)?.permissions().mode() & 0o777, 0o600);
    assert!(over_tls(&trust, Some((&certificate, &key)), &hub, "/hub/api").await?.starts_with("HTTP/1.1 200"));
    assert!(over_tls(&trust, Some((&certificate, &key)), &lab, "/user/alice/api").await.is_err());

    // The lab agent shows what the lab was given, and so hears the hub's own word.
    let agent = |with: bool| -> Result<String> {
        let token = specola.labs().into_iter().find_map(|lab| lab.variable("JUPYTERHUB_API_TOKEN").map(str::to_owned));
        let mut command = Command::new(place::agent());
        command.args(["credentials", "--storage", "nothing"]).env_clear();
        command.env("JUPYTERHUB_API_TOKEN", token.context("the token of the lab")?);
        command.env("JUPYTERHUB_API_URL", format!("https://{hub}/hub/api"));
        if with {
            command.env("JUPYTERHUB_SSL_KEYFILE", &key).env("JUPYTERHUB_SSL_CERTFILE", &certificate);
            command.env("JUPYTERHUB_SSL_CLIENT_CA", folder.join("notebooks-ca_trust.crt"));
        }
        let output = command.output().context("the lab agent")?;
        ensure!(!output.status.success(), "there is no storage of this name");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (heard, deaf) = (agent(true)?, agent(false)?);
    assert!(heard.contains("no storage") && deaf.contains("not reached"), "{heard}\n{deaf}");

    // While the hub is away, who has a lab listens at its port: the proxy tells it nothing.
    let pid = specola.proxy()?.id;
    specola.kill_hub();
    let listening = tokio::spawn(listens_as(TcpListener::bind(&hub).await?, certificate.clone(), key.clone()));
    let answer = alice.get("/hub/home").await?;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(!listening.is_finished(), "the proxy believes a lab that it is the hub");
    listening.abort();
    ensure!(listening.await.is_err_and(|error| error.is_cancelled()), "it listens no more");

    // A hub whose authorities were lost does not begin while servers of theirs run.
    let [authorities, aside] = ["internal-ssl", "aside"].map(|name| specola.ground.folder.join(name));
    fs::rename(&authorities, &aside)?;
    specola.launch(&[])?;
    assert!(!specola.ended()?.success(), "{}", specola.log());
    let told = format!("of other authorities than those in {}", authorities.display());
    assert!(specola.log().contains(&told), "{}", specola.log());
    fs::remove_dir_all(&authorities)?;
    fs::rename(&aside, &authorities)?;

    // The next hub has the same authorities: lab, proxy and the open websocket go on.
    specola.run().await?;
    assert_eq!(specola.proxy()?.id, pid);
    assert_eq!(kernel.run("6 * 8").await?, "48");
    let status = alice.with_token(&token).send(Method::GET, "/user/alice/api/status", Body::Empty).await?;
    assert_eq!(status.status, 200, "{}", status.text());
    let mut alice = specola.logged_in("alice").await?;
    let (_, page) = alice.follow("/user/alice/lab").await?;
    assert_eq!(page.status, 200, "{}", page.text());
    alice.stop_server("alice").await
}

#[tokio::test]
async fn a_proxy_elsewhere_shows_what_it_was_given() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let folder = tempfile::tempdir()?;
    let (token, control) = (folder.path().join("token"), format!("127.0.0.1:{}", place::free_port()?));
    fs::write(&token, "the-token-that-hub-and-proxies-share")?;
    let options = options(&python).set("proxy", "control_address", &format!("{control:?}")).set(
        "proxy",
        "token_file",
        &format!("{:?}", token.display().to_string()),
    );
    let specola = Specola::start(options).await?;
    let hub = format!("https://127.0.0.1:{}", specola.ground.hub_port);
    let (token, control) = (fs::read_to_string(&token)?, format!("http://{control}"));
    let of_proxy = specola.ground.folder.join("proxy");
    let other = Elsewhere::secured("other", folder.path(), &token, &hub, &control, &of_proxy)?;
    other.is_ready().await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.start_server("alice").await?;
    let mut elsewhere = alice.at(&other.origin)?;
    let (_, page) = elsewhere.follow("/user/alice/lab").await?;
    assert_eq!(page.status, 200, "{}", page.text());
    alice.stop_server("alice").await
}

/// As with the chart: the hub writes a secret, and the cluster puts it into the proxy's pod, some time after it began.
#[tokio::test]
async fn proxies_of_a_cluster_have_from_a_secret_what_they_show() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let kubernetes = FakeKubernetes::start(Pace::default()).await?;
    kubernetes.put("secrets", json!({ "metadata": { "name": "of-proxies", "namespace": NAMESPACE } })).await?;
    let folder = tempfile::tempdir()?;
    let (token, control) = (folder.path().join("token"), format!("127.0.0.1:{}", place::free_port()?));
    fs::write(&token, "the-token-that-hub-and-proxies-share")?;
    let options = options(&python)
        .set("proxy", "control_address", &format!("{control:?}"))
        .set("proxy", "token_file", &format!("{:?}", token.display().to_string()))
        .set("proxy", "internal_ssl_secret", &format!("\"{NAMESPACE}/of-proxies\""))
        .variable("KUBECONFIG", &kubernetes.kubeconfig().display().to_string());
    let mut specola = Specola::start(options).await?;
    let hub = format!("https://127.0.0.1:{}", specola.ground.hub_port);
    let (token, control) = (fs::read_to_string(&token)?, format!("http://{control}"));
    // Who looks after the hub needs no certificate, and is told nothing else.
    let asked = async |path: &str| Ok::<_, anyhow::Error>(Session::new(&control)?.get(path).await?.status.as_u16());
    assert_eq!(asked("/health").await?, 200);
    let ready = async || Ok((asked("/health/ready").await? == 200).then_some(()));
    until("a hub that is ready", Duration::from_secs(30), ready).await?;
    assert_eq!(asked("/routes/stream").await?, 403);

    let mounted = folder.path().join("mounted");
    fs::create_dir(&mounted)?;
    let other = Elsewhere::mounted("other", folder.path(), &token, &hub, &control, &mounted)?;
    other.is_ready().await?;
    let written = async || {
        let secrets = kubernetes.objects("secrets").await?;
        let data = secrets.first().and_then(|secret| secret["data"].as_object()).filter(|data| data.len() == 3);
        Ok(data.cloned())
    };
    let data = until("the secret", Duration::from_secs(30), written).await?;
    for (name, content) in data {
        fs::write(mounted.join(name), BASE64_STANDARD.decode(content.as_str().context("a text")?)?)?;
    }
    let mut stranger = Session::new(&other.origin)?;
    let login = async || Ok((stranger.clone().get("/hub/login").await?.status == 200).then_some(()));
    until("a proxy that the hub hears", Duration::from_secs(60), login).await?;
    stranger.log_in("alice", tests::jupyterhub::PASSWORD).await?.expect(&[302, 303])?;
    stranger.start_server("alice").await?;
    let (_, page) = stranger.follow("/user/alice/lab").await?;
    assert_eq!(page.status, 200, "{}", page.text());
    stranger.stop_server("alice").await?;
    // The next hub has signed others.
    let count = kubernetes.asked("PATCH /api/v1/namespaces/labs/secrets/of-proxies").await?;
    specola.stop_hub()?;
    specola.run().await?;
    let again = async || {
        let now = kubernetes.asked("PATCH /api/v1/namespaces/labs/secrets/of-proxies").await?;
        Ok((now > count).then_some(()))
    };
    until("another secret", Duration::from_secs(30), again).await
}

/// Asks the hub as `HubAuth` of JupyterHub does, with what it was given, and writes down what it is told.
const SERVICE: &str = r#"
import json, os, sys, time, urllib.request
from jupyterhub.utils import make_ssl_context
names = ["KEYFILE", "CERTFILE", "CLIENT_CA"]
context = make_ssl_context(*[os.environ["JUPYTERHUB_SSL_" + name] for name in names])
request = urllib.request.Request(os.environ["JUPYTERHUB_API_URL"] + "/user")
request.add_header("Authorization", "token " + os.environ["JUPYTERHUB_API_TOKEN"])
told = urllib.request.urlopen(request, context=context).read().decode()
with open(sys.argv[1] + ".draft", "w") as file:
    file.write(told)
os.rename(sys.argv[1] + ".draft", sys.argv[1])
time.sleep(7011)
"#;

#[tokio::test]
async fn a_service_of_the_hubs_is_heard_by_it() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let folder = tempfile::tempdir()?;
    let (script, told) = (folder.path().join("service.py"), folder.path().join("told"));
    fs::write(&script, SERVICE)?;
    let (mark, shown) = (Mark::default(), |path: &Path| format!("{:?}", path.display().to_string()));
    let (variable, value) = mark.pair();
    let service = format!(
        "[{{ name = \"asks\", command = [{}, {}, {}], environment = {{ {variable} = {value:?} }} }}]",
        shown(&python),
        shown(&script),
        shown(&told)
    );
    let options = options(&python).set("hub", "services", &service);
    let mut specola = Specola::on(Ground::new(folder.path())?, options, mark);
    specola.run().await?;
    let model = until("what the service is told", Duration::from_secs(60), async || {
        Ok(fs::read(&told).ok().and_then(|told| serde_json::from_slice::<serde_json::Value>(&told).ok()))
    })
    .await?;
    assert_eq!((&model["kind"], &model["name"]), (&json!("service"), &json!("asks")));
    assert!(specola.stop_hub()?.success());
    Ok(())
}
