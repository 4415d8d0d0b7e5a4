//! Headless Chromium with a driver and a profile of its own, one a test.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use url::Url;

use crate::mark::Mark;
use crate::place;
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(90);

pub struct Browser {
    pub client: Client,
    driver: Child,
    _profile: tempfile::TempDir,
    _mark: Mark,
}

/// How a page is looked at.
#[derive(Clone, Copy)]
pub struct Look {
    pub name: &'static str,
    pub width: u32,
    pub height: u32,
    pub scheme: &'static str,
}

/// The looks every page is shown in.
pub const LOOKS: [Look; 4] = [
    Look { name: "wide-light", width: 1280, height: 900, scheme: "light" },
    Look { name: "wide-dark", width: 1280, height: 900, scheme: "dark" },
    Look { name: "narrow-light", width: 390, height: 844, scheme: "light" },
    Look { name: "narrow-dark", width: 390, height: 844, scheme: "dark" },
];

impl Browser {
    /// None when this machine has no Chromium or no driver.
    pub async fn open() -> Result<Option<Browser>> {
        Browser::with(&[]).await
    }

    /// The same, for which a host and all below it are this machine, whatever their certificates.
    pub async fn resolving(host: &str) -> Result<Option<Browser>> {
        let rules = format!("--host-resolver-rules=MAP {host} 127.0.0.1, MAP *.{host} 127.0.0.1");
        Browser::with(&[&rules, "--ignore-certificate-errors"]).await
    }

    async fn with(more: &[&str]) -> Result<Option<Browser>> {
        let (Some(driver), Some(chromium)) = (place::command("chromedriver"), place::command("chromium")) else {
            return Ok(None);
        };
        let (mark, profile, port) = (Mark::default(), tempfile::tempdir()?, place::free_port()?);
        let mut command = Command::new(driver);
        command.arg(format!("--port={port}")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        mark.put_on(&mut command);
        let driver = command.spawn().context("chromedriver")?;
        let profile_folder = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--window-size=1280,900",
            &profile_folder,
        ];
        let arguments: Vec<&str> = arguments.iter().chain(more).copied().collect();
        let capabilities = json!({"goog:chromeOptions": {"binary": chromium, "args": arguments}});
        let Value::Object(capabilities) = capabilities else { bail!("capabilities are an object") };
        let address = format!("http://127.0.0.1:{port}");
        let client = until("browser", PATIENCE, async || {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            Ok(Some(builder.capabilities(capabilities.clone()).connect(&address).await?))
        })
        .await?;
        Ok(Some(Browser { client, driver, _profile: profile, _mark: mark }))
    }

    pub async fn go(&self, url: &str) -> Result<()> {
        Ok(self.client.goto(url).await?)
    }

    /// Waits for an element that is shown. What it finds may be taken off the page at once by a script.
    pub async fn shown(&self, css: &str) -> Result<Element> {
        let found = until(css, PATIENCE, async || {
            for element in self.client.find_all(Locator::Css(css)).await? {
                if element.is_displayed().await? {
                    return Ok(Some(element));
                }
            }
            Ok(None)
        });
        match found.await {
            Ok(element) => Ok(element),
            Err(error) => Err(error.context(self.what_it_shows().await)),
        }
    }

    /// Clicks on an element once it is shown, again if the page was changing under the click.
    pub async fn click(&self, css: &str) -> Result<()> {
        until("click", PATIENCE, async || Ok(Some(self.shown(css).await?.click().await?))).await
    }

    pub async fn fill(&self, css: &str, text: &str) -> Result<()> {
        Ok(self.shown(css).await?.send_keys(text).await?)
    }

    /// Waits until some element's text satisfies the condition, and gives the text.
    pub async fn text(&self, css: &str, condition: impl Fn(&str) -> bool) -> Result<String> {
        let found = until(css, PATIENCE, async || {
            for element in self.client.find_all(Locator::Css(css)).await? {
                let text = element.text().await?;
                if condition(&text) {
                    return Ok(Some(text));
                }
            }
            Ok(None)
        });
        match found.await {
            Ok(text) => Ok(text),
            Err(error) => Err(error.context(self.what_it_shows().await)),
        }
    }

    /// Waits until the address satisfies the condition, and gives it.
    pub async fn arrives(&self, what: &str, condition: impl Fn(&Url) -> bool) -> Result<Url> {
        let arrived = until(what, PATIENCE, async || Ok(Some(self.client.current_url().await?).filter(&condition)));
        match arrived.await {
            Ok(url) => Ok(url),
            Err(error) => Err(error.context(self.what_it_shows().await)),
        }
    }

    /// Logs in by the form, from wherever the browser is.
    pub async fn log_in(&self, origin: &str, name: &str, password: &str) -> Result<()> {
        self.go(&format!("{origin}/hub/login")).await?;
        self.fill("#username_input", name).await?;
        self.fill("#password_input", password).await?;
        self.click("#login_submit").await?;
        self.arrives("page after the log-in", |url| !url.path().ends_with("/login")).await?;
        Ok(())
    }

    /// Sets size and colour scheme until it is set again.
    pub async fn look(&self, look: Look) -> Result<()> {
        let narrow = look.width < 600;
        let size = json!({"width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": narrow});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await?;
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": look.scheme}]});
        self.devtools("Emulation.setEmulatedMedia", scheme).await?;
        Ok(())
    }

    /// Writes what is on the screen to `target/screenshots/NAME.png`.
    pub async fn screenshot(&self, name: &str) -> Result<()> {
        let folder = place::target().join("screenshots");
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(format!("{name}.png")), self.client.screenshot().await?)?)
    }

    /// One screenshot of the page in each of the looks, as `NAME-LOOK.png`.
    pub async fn screenshots(&self, name: &str) -> Result<()> {
        for look in LOOKS {
            self.look(look).await?;
            self.screenshot(&format!("{name}-{}", look.name)).await?;
        }
        self.look(LOOKS[0]).await
    }

    /// Whether something on the page is wider than the window: a page that scrolls sideways.
    pub async fn scrolls_sideways(&self) -> Result<bool> {
        let script = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        Ok(self.client.execute(script, vec![]).await? == json!(true))
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        Ok(self.client.issue_cmd(Devtools { command: command.to_owned(), parameters }).await?)
    }

    async fn what_it_shows(&self) -> String {
        let url = self.client.current_url().await.map(String::from).unwrap_or_default();
        let script = "return document.body ? document.body.innerText : ''";
        let text = self.client.execute(script, vec![]).await.unwrap_or_default();
        let text: String = text.as_str().unwrap_or_default().chars().take(1500).collect();
        let _ = self.screenshot(&format!("broken-{}", uuid::Uuid::new_v4().simple())).await;
        format!("the browser shows {url}:\n{text}\n")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A command of the DevTools protocol, through the driver.
#[derive(Debug)]
struct Devtools {
    command: String,
    parameters: Value,
}

impl WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({"cmd": self.command, "params": self.parameters}).to_string()))
    }
}
