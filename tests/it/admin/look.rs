//! How the panel looks.

use std::process::Command;

use anyhow::Result;
use http::Method;
use serde_json::json;
use tests::jupyterhub::PASSWORD;
use tests::{Body, Browser, Specola, need, place};

use super::options;

const FLAVOURS: &str = r#"[{ name = "small", display_name = "Small", cpu = 1, memory = "2G" }, { name = "large", display_name = "Large and fast", cpu = 8, memory = "32G" }]"#;

/// Ten days of looks, as they come every five minutes: more by day than by night, less at the weekend, and one group that
/// has begun a short while ago.
const HISTORY: &str = "import math, sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
now = int(time.time())
groups = [('group', 'physics-2026', 34, 2000, 4, 0), ('group', 'theory/lattice', 12, 8000, 32, 1), ('none', '', 7, 1000, 2, 0)]
rows = []
for at in range(now - 10 * 86400, now - 300, 300):
    day = max(0.08, math.sin((at % 86400 / 86400 - 0.27) * 2 * math.pi)) * (0.3 if at // 86400 % 7 in (2, 3) else 1)
    for kind, name, most, millicores, gigabytes, gpus in groups:
        if name == 'theory/lattice' and at < now - 3 * 86400:
            continue
        count = round(most * day + 2 * math.sin(at / 4000 + most))
        if count > 0:
            rows.append((at, kind, name, count, count * millicores, count * gigabytes << 30, count * gpus))
connection.execute('BEGIN IMMEDIATE')
connection.executemany('INSERT INTO specola_usage (at, kind, name, servers, millicores, memory, gpus) VALUES (?, ?, ?, ?, ?, ?, ?)', rows)
connection.execute('COMMIT')
";

#[tokio::test]
async fn the_panel_has_its_look_wide_and_narrow_light_and_dark() -> Result<()> {
    let browser = need!(Browser::open().await?, "Chromium", "SPECOLA_REQUIRE_BROWSER");
    let specola = Specola::start(options()?.set("options", "flavours", FLAVOURS)).await?;
    let written = Command::new(place::plain_python()?)
        .args(["-c", HISTORY])
        .arg(specola.ground.folder.join("jupyterhub.sqlite"))
        .status()?;
    anyhow::ensure!(written.success(), "the history was not written");
    let mut admin = specola.logged_in("admin").await?;
    let mut alice = specola.logged_in("alice").await?;
    let names: Vec<String> = (0..60).map(|number| format!("student-{number:02}@uni-castelvecchio.example")).collect();
    admin.api(Method::POST, "/users", Body::Json(json!({"usernames": names}))).await?.expect(&[201])?;
    let group = json!({"users": ["alice", "admin"]});
    admin.api(Method::POST, "/groups/physics-2026", Body::Json(group)).await?.expect(&[201])?;
    for (name, flavour) in [("alice", "large"), ("student-00@uni-castelvecchio.example", "small")] {
        let chosen = Body::Json(json!({"flavour": flavour}));
        admin.api(Method::POST, &format!("/users/{name}/server"), chosen).await?.expect(&[201, 202])?;
        admin.server_ready(name).await?;
    }
    alice.new_token("alice").await?;
    browser.log_in(&specola.origin(), "admin", PASSWORD).await?;
    for (path, name) in [
        ("/hub/admin", "admin-people"),
        ("/hub/admin?q=nobody", "admin-none"),
        ("/hub/admin/users/alice", "admin-person"),
        ("/hub/groups", "admin-groups"),
        ("/hub/groups/physics-2026", "admin-one-group"),
        ("/hub/admin/services", "admin-services"),
        ("/hub/admin/roles", "admin-roles"),
        ("/hub/admin/usage", "admin-usage"),
        ("/hub/admin/usage?period=week", "admin-usage-week"),
        ("/hub/admin/audit", "admin-audit"),
    ] {
        browser.go(&format!("{}{path}", specola.origin())).await?;
        for look in tests::browser::LOOKS {
            browser.look(look).await?;
            assert!(!browser.scrolls_sideways().await?, "{name} is wider than the window when {}", look.name);
            browser.screenshot(&format!("{name}-{}", look.name)).await?;
        }
        browser.look(tests::browser::LOOKS[0]).await?;
    }
    browser.go(&format!("{}/hub/admin", specola.origin())).await?;
    browser.click("tbody tr:nth-child(2) input").await?;
    browser.click("tbody tr:nth-child(3) input").await?;
    browser.shown("#bulk").await?;
    browser.screenshots("admin-ticked").await
}
