//! `sealcare-relay`: hands the command line to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealcare_relay::main_from(std::env::args_os().skip(1))
}
