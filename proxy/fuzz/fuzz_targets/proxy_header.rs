#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| specola_proxy::fuzzing::header(bytes));
