//! A PostgreSQL cluster of this process alone, made with the machine's own programs and gone with the process.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Makes, runs and removes the cluster. The script ends when its standard input does, and that is held open by this
/// process: however this process ends, the cluster is stopped and its directory removed.
const SCRIPT: &str = r#"
set -e
dir=$(mktemp -d /tmp/hub-store-pg.XXXXXX)
trap 'rm -rf "$dir"' EXIT
if [ -z "$FROM" ]; then
    "$BIN/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 -N >"$dir/made.log" 2>&1 ||
        { cat "$dir/made.log" >&2; exit 1; }
else
    "$BIN/pg_basebackup" -h "$FROM" -U postgres -D "$dir/data" -X stream -c fast -N >"$dir/made.log" 2>&1 ||
        { cat "$dir/made.log" >&2; exit 1; }
    touch "$dir/data/standby.signal"
fi
"$BIN/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off -c synchronous_commit=off \
    -c full_page_writes=off -c max_connections=300 >"$dir/log" 2>&1 &
pid=$!
tries=0
until "$BIN/pg_isready" -q -h "$dir"; do
    kill -0 $pid || { cat "$dir/log" >&2; exit 1; }
    tries=$((tries + 1)); [ $tries -lt 600 ] || { cat "$dir/log" >&2; kill -QUIT $pid; exit 1; }
    sleep 0.05
done
echo "$dir"
cat >/dev/null || true
kill -INT $pid
wait $pid || true
"#;

/// A cluster that runs.
pub struct Cluster {
    /// Where its socket is.
    pub directory: PathBuf,
    bin: PathBuf,
    /// Holds the script's standard input open.
    _child: Child,
}

impl Cluster {
    /// One for a test alone.
    pub fn own() -> Option<Self> {
        start(None)
    }

    /// A standby that has everything of this moment, and hears of nothing that comes after.
    pub fn standby(&self) -> Self {
        start(Some(&self.directory)).expect("it has the programs of the first")
    }

    /// How a store is told a database of it.
    pub fn url(&self, name: &str) -> String {
        url(&self.directory, name)
    }
}

/// How a store is told a database behind a socket in a folder.
pub fn url(directory: &Path, name: &str) -> String {
    format!("postgresql://postgres@/{name}?host={}", directory.display())
}

/// Makes an empty database and returns its URL. `None`, with a line that says so, where PostgreSQL is not installed.
pub fn new_database() -> Option<String> {
    made_of("template0")
}

/// Makes a database with the same content as another, which nobody may be connected to.
pub fn made_of(template: &str) -> Option<String> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let cluster = CLUSTER.get_or_init(|| start(None)).as_ref()?;
    let name = format!("store_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let made = Command::new(cluster.bin.join("createdb"))
        .arg("-h")
        .arg(&cluster.directory)
        .args(["-U", "postgres", "-T", template, &name])
        .status()
        .expect("createdb runs");
    assert!(made.success(), "createdb failed");
    Some(cluster.url(&name))
}

fn start(from: Option<&Path>) -> Option<Cluster> {
    let Some(bin) = programs() else {
        let required = std::env::var("SPECOLA_REQUIRE_POSTGRES").is_ok_and(|value| value == "1");
        assert!(!required, "SPECOLA_REQUIRE_POSTGRES=1, and no initdb is installed");
        eprintln!("skipped: no PostgreSQL programs (apt install postgresql, or set SPECOLA_POSTGRES_BIN)");
        return None;
    };
    // PostgreSQL refuses to run as root.
    let mut command = match std::fs::metadata("/proc/self").map(|process| std::os::unix::fs::MetadataExt::uid(&process))
    {
        Ok(0) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "sh", "-c", SCRIPT]);
            command
        }
        _ => {
            let mut command = Command::new("sh");
            command.args(["-c", SCRIPT]);
            command
        }
    };
    // A group of its own, so that an interrupt from the terminal does not end the script before its clean-up.
    let from = from.map(Path::as_os_str).unwrap_or_default();
    let command = command.env("BIN", &bin).env("FROM", from).current_dir("/").process_group(0);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the script starts");
    let mut line = String::new();
    let output = child.stdout.take().expect("a pipe");
    BufReader::new(output).read_line(&mut line).expect("the script writes a line");
    let directory = PathBuf::from(line.trim());
    assert!(directory.is_absolute(), "the cluster did not start");
    Some(Cluster { directory, bin, _child: child })
}

/// Where `initdb` is: named, in Debian's place (the newest), or on the path.
fn programs() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("SPECOLA_POSTGRES_BIN") {
        return Some(PathBuf::from(named));
    }
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = debian.filter(|path| version(path).is_some()).max_by_key(version).map(|path| path.join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |directory: &Path| directory.join("initdb").exists();
    newest.into_iter().chain(std::env::split_paths(&path)).find(|directory| has(directory))
}
