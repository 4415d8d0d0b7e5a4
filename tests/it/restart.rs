//! A hub restart is not seen by an open notebook.

use anyhow::Result;
use tests::specola::Options;
use tests::{Kernel, Specola, need, place};

/// Prints a number each time the file it waits for grows by a line.
const COUNTING: &str = "
import pathlib, time
path = pathlib.Path('steps'); path.touch()
seen = 0
while seen < 3:
    if len(path.read_text().splitlines()) > seen:
        seen += 1
        print(seen, flush=True)
    else:
        time.sleep(0.01)
";

#[tokio::test]
async fn the_websocket_of_a_computing_kernel_outlives_the_hub() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let mut specola = Specola::start(Options::default().real_lab(&python)).await?;
    let mut alice = specola.logged_in("alice").await?;
    let token = alice.new_token("alice").await?;
    alice.start_server("alice").await?;
    let mut kernel = Kernel::start(&specola.origin(), "/user/alice/", &token).await?;
    let folder = kernel.run("import os; print(os.getcwd(), end='')").await?;
    let step = || -> Result<()> {
        use std::io::Write;
        let mut file = std::fs::File::options().append(true).open(format!("{folder}/steps"))?;
        Ok(writeln!(file, "on")?)
    };

    kernel.run("open('steps', 'w').close()").await?;
    let message = kernel.begin(COUNTING).await?;
    step()?;
    assert_eq!(kernel.next_output(&message).await?.as_deref(), Some("1\n"));
    specola.kill_hub();
    step()?;
    assert_eq!(kernel.next_output(&message).await?.as_deref(), Some("2\n"));
    specola.run().await?;
    step()?;
    assert_eq!(kernel.next_output(&message).await?.as_deref(), Some("3\n"));
    assert_eq!(kernel.next_output(&message).await?, None);
    assert_eq!(kernel.run("seen").await?, "3");
    // A second connection needs the hub, which has to know the token and the server still.
    let mut second = Kernel::connect(&specola.origin(), "/user/alice/", &token, &kernel.id).await?;
    assert_eq!(second.run("seen + 1").await?, "4");
    alice.stop_server("alice").await
}
