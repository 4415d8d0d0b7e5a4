//! Services: processes of the hub and programs of others, at their addresses, with their tokens and OAuth clients.

mod opened;
mod processes;
mod runtime;
mod shown;

use tests::Mark;
use tests::specola::Options;

/// An inline table of TOML for each service. They inherit the mark by which a test ends what it has started.
pub fn configured(options: Options, services: &[String]) -> Options {
    let options = options.set("spawner", "env_keep", &words(&["PATH", Mark::default().pair().0]));
    let tables: Vec<String> = services.iter().map(|service| format!("{{ {service} }}")).collect();
    options.set("hub", "services", &format!("[{}]", tables.join(", ")))
}

/// A list of TOML.
pub fn words(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(", "))
}
