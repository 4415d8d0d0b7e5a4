//! The binary `specola`.

use std::process::ExitCode;

fn main() -> ExitCode {
    specola::command::main()
}
