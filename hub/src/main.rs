//! The binary `specola`.

use std::process::ExitCode;

/// The proxy's requests are small and many; docs/performance.md has what this one is worth.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    specola::command::main()
}
