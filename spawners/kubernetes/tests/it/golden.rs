//! What the driver's pods are compared with (`src/golden`) is what the KubeSpawner that is installed makes.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn what_pods_are_compared_with_is_what_kubespawner_makes() {
    let Some(python) = std::env::var_os("SPECOLA_KUBESPAWNER_PYTHON") else {
        eprintln!("SKIPPED: SPECOLA_KUBESPAWNER_PYTHON is not set");
        return;
    };
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let fresh = tempfile::tempdir().unwrap();
    let asked = Command::new(python).arg("-B").arg(kept.join("make.py")).arg(fresh.path()).output().unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let (kept, fresh) = (all(&kept), all(fresh.path()));
    assert_eq!(
        kept.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        fresh.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
    for ((name, kept), (_, fresh)) in kept.iter().zip(&fresh) {
        assert_eq!(kept, fresh, "{name} has to be made anew: tests/golden/make.py");
    }
}

/// What was made, by name.
fn all(folder: &Path) -> Vec<(String, Value)> {
    let cases = folder.join("made").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<(String, Value)> = cases
        .chain([folder.join("names.json")])
        .map(|path| {
            let mut made: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            if let Value::Object(made) = &mut made {
                // Another one that makes the same will do.
                made.remove("kubespawner");
            }
            (path.file_name().unwrap().to_string_lossy().into_owned(), made)
        })
        .collect();
    all.sort_by(|(name, _), (other, _)| name.cmp(other));
    all
}
