//! The binary `basalt`: see [`basalt::main`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    basalt::main()
}
