//! The folders of object stores that the hub put into this lab, as they are from inside: mounted, and answering.

use std::fs;
use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::oneshot::{self, Receiver};

/// The paths of the folders, from the hub, with colons between.
const NAMES: &str = "SPECOLA_FOLDERS";
/// How long a folder may take to tell about itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Those of this lab.
pub struct Folders(Vec<Folder>);

struct Folder {
    path: String,
    /// The last look, while it has no answer: a second one would have none either.
    under_way: Option<Receiver<Seen>>,
}

/// How a folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is there.
    Ready,
    /// Nothing is mounted there.
    Absent,
    /// It does not answer.
    Silent,
    /// It answers with an error.
    Broken(String),
}

impl Folders {
    /// By the hub's word.
    pub fn of_environment() -> Self {
        Self::new(&std::env::var(NAMES).unwrap_or_default())
    }

    fn new(names: &str) -> Self {
        let paths = names.split(':').filter(|path| path.starts_with('/'));
        Self(paths.map(|path| Folder { path: path.to_owned(), under_way: None }).collect())
    }

    /// Looks at each.
    pub async fn look(&mut self) -> Vec<(String, Seen)> {
        join_all(self.0.iter_mut().map(async |folder| (folder.path.clone(), folder.look().await))).await
    }
}

impl Folder {
    async fn look(&mut self) -> Seen {
        let mut answer = match self.under_way.take() {
            Some(mut before) => match before.try_recv() {
                Err(TryRecvError::Empty) => {
                    self.under_way = Some(before);
                    return Seen::Silent;
                }
                Ok(_) | Err(TryRecvError::Closed) => look_aside(&self.path),
            },
            None => look_aside(&self.path),
        };
        match tokio::time::timeout(PATIENCE, &mut answer).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(_)) => Seen::Silent,
            Err(_) => {
                self.under_way = Some(answer);
                Seen::Silent
            }
        }
    }
}

/// In a thread of its own, which nobody waits for: a folder without a helper can keep it for ever, and is not to keep the
/// agent from ending.
fn look_aside(path: &str) -> Receiver<Seen> {
    let (tell, told) = oneshot::channel();
    let path = path.to_owned();
    let started = std::thread::Builder::new().spawn(move || drop(tell.send(seen(&path))));
    // Without a thread nobody tells, and that is seen.
    drop(started);
    told
}

fn seen(path: &str) -> Seen {
    let looked = fs::read_to_string("/proc/self/mountinfo").and_then(|table| match is_mounted(&table, path) {
        true => fs::metadata(path).map(|_| true),
        false => Ok(false),
    });
    match looked {
        Ok(true) => Seen::Ready,
        Ok(false) => Seen::Absent,
        Err(error) => Seen::Broken(plain(&error)),
    }
}

fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Whether something is mounted there, by the table of the system, in which odd characters are numbers.
fn is_mounted(table: &str, path: &str) -> bool {
    let written: String = path
        .chars()
        .map(|char| match char {
            ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", u32::from(char)),
            char => char.to_string(),
        })
        .collect();
    table.lines().filter_map(|line| line.split(' ').nth(4)).any(|point| point == written)
}

impl Seen {
    /// As it is told, with whether it is well.
    pub fn told(&self) -> (Value, bool) {
        let (word, message) = match self {
            Self::Ready => return (json!({ "ok": true }), true),
            Self::Absent => ("absent", "nothing is mounted there"),
            Self::Silent => ("silent", "it does not answer"),
            Self::Broken(reason) => ("broken", reason.as_str()),
        };
        (json!({ "ok": false, "code": word, "message": message }), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_is_found_also_under_odd_names() {
        let table = "1 2 0:1 / / rw - ext4 a rw\n3 1 0:2 / /s3/an\\040na rw - fuse.rclone b rw\n";
        for (path, expected) in [("/", true), ("/s3/an na", true), ("/s3", false), ("/s3/an\\040na", false)] {
            assert_eq!(is_mounted(table, path), expected, "{path}");
        }
    }

    #[tokio::test]
    async fn folders_are_looked_at_and_what_is_no_path_is_left_out() {
        let mut folders = Folders::new("/proc:/no/such/folder:relative::");
        let seen = folders.look().await;
        assert_eq!(seen, [("/proc".to_owned(), Seen::Ready), ("/no/such/folder".to_owned(), Seen::Absent)]);
        assert!(Folders::new("").look().await.is_empty());
    }

    #[tokio::test]
    async fn a_folder_that_is_silent_is_not_asked_again_while_it_is() {
        let (tell, under_way) = oneshot::channel();
        let mut folder = Folder { path: "/proc".to_owned(), under_way: Some(under_way) };
        assert_eq!((folder.look().await, folder.look().await), (Seen::Silent, Seen::Silent));
        tell.send(Seen::Ready).unwrap();
        assert_eq!(folder.look().await, Seen::Ready);
    }
}
