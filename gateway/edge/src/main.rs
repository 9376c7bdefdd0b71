//! The `gateway` command; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    edge::main()
}
