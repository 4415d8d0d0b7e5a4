//! Named places at which the process can be made to die, for the tests of what a crash leaves behind.

/// All places, in the order in which a start and a stop pass them.
pub const NAMES: &[&str] = &[
    "intent.start.before",
    "intent.start.after",
    "prepare.before",
    "prepare.after",
    "start.before",
    "start.hooked",
    "start.saved",
    "start.after",
    "arrive.after",
    "probe.after",
    "route.before",
    "route.after",
    "ready.after",
    "intent.stop.before",
    "intent.stop.after",
    "unroute.before",
    "unroute.route",
    "unroute.after",
    "stop.before",
    "stop.after",
    "finish.before",
    "finish.after",
];

/// The environment variable that names the place to die at.
pub const VARIABLE: &str = "SPECOLA_BREAKPOINT";

/// Ends the process at once, as `kill -9` would, when the environment names this place.
pub fn pass(name: &'static str) {
    debug_assert!(NAMES.contains(&name), "{name} is not in the list");
    if std::env::var_os(VARIABLE).is_some_and(|wanted| wanted == name) {
        eprintln!("breakpoint {name} reached");
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    }
}
