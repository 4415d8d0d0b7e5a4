//! Why a container has ended, in words for people.

use bollard::models::ContainerState;

/// What its exit code, its state and the end of its log tell. `memory`: its memory was full, with its limit of it.
pub(crate) fn reason(state: &ContainerState, memory: Option<Option<i64>>, tail: &str) -> (Option<i32>, String) {
    let code = state.exit_code.and_then(|code| i32::try_from(code).ok());
    let error = state.error.as_deref().unwrap_or_default();
    if let Some(limit) = memory {
        let limit = limit.filter(|limit| *limit > 0).map(|limit| format!(" of {}", size(limit))).unwrap_or_default();
        return (signalled(code), format!("It used more memory than its limit{limit}, and was ended."));
    }
    let denied =
        ["Permission denied", "PermissionError", "Read-only file system"].iter().any(|text| tail.contains(text));
    let full = tail.contains("No space left on device") || tail.contains("Disk quota exceeded");
    let sentence = match code {
        _ if full => "It ended because its disk is full.".to_owned(),
        Some(0) => "It ended by itself, without an error.".to_owned(),
        Some(127) => "Its command was not found.".to_owned(),
        Some(126) => "Its command could not be run.".to_owned(),
        _ if denied => "It may not write in a folder that it needs: a volume may belong to another user.".to_owned(),
        Some(137) => "It was killed from outside.".to_owned(),
        Some(143) => "It was asked to end from outside.".to_owned(),
        Some(code) if (129..160).contains(&code) => format!("It was ended by signal {}.", code - 128),
        Some(code) => format!("It ended with exit code {code}."),
        None => "It ended.".to_owned(),
    };
    if !error.is_empty() {
        tracing::info!("the engine tells of an ended server: {}", callout::excerpt(error.as_bytes(), 600));
    }
    (signalled(code), sentence)
}

/// A shell's way to tell a signal as a negative number.
fn signalled(code: Option<i32>) -> Option<i32> {
    code.map(|code| if (129..160).contains(&code) { 128 - code } else { code })
}

fn size(bytes: i64) -> String {
    let mib = bytes >> 20;
    if mib >= 1024 && mib % 1024 == 0 { format!("{} GiB", mib / 1024) } else { format!("{mib} MiB") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(exit_code: i64, memory: bool, tail: &str) -> (Option<i32>, String) {
        let state = ContainerState { exit_code: Some(exit_code), ..ContainerState::default() };
        reason(&state, memory.then_some(Some(512 << 20)), tail)
    }

    #[test]
    fn people_are_told_why_their_server_ended() {
        let table = [
            (137, true, "", Some(-9), "It used more memory than its limit of 512 MiB, and was ended."),
            (137, false, "", Some(-9), "It was killed from outside."),
            (0, false, "", Some(0), "It ended by itself, without an error."),
            (3, false, "", Some(3), "It ended with exit code 3."),
            (139, false, "", Some(-11), "It was ended by signal 11."),
            (
                1,
                false,
                "PermissionError: [Errno 13] Permission denied: '/home/jovyan/.local'",
                Some(1),
                "It may not write in a folder that it needs: a volume may belong to another user.",
            ),
            (1, false, "OSError: [Errno 28] No space left on device", Some(1), "It ended because its disk is full."),
        ];
        for (exit_code, memory, tail, code, sentence) in table {
            assert_eq!(told(exit_code, memory, tail), (code, sentence.to_owned()));
        }
        assert_eq!(size(2 << 30), "2 GiB");
    }
}
