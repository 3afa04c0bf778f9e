//! The programs of a story, each its own process: this one binary, and `SEALCARE_ACTOR` says which. Not here: what
//! they do, which is the crates' own.

use std::process::ExitCode;

use sealcare_tests::world::Role;

fn main() -> ExitCode {
    let role = std::env::var(Role::VARIABLE).ok();
    let args = std::env::args_os().skip(1);
    match role.as_deref().and_then(Role::of_name) {
        Some(Role::Patient) => sealcare::main_from(args),
        Some(Role::Gateway) => sealcare_gateway::main_from(args),
        Some(Role::Relay) => sealcare_relay::main_from(args),
        None => {
            eprintln!("actor: {} names no role", Role::VARIABLE);
            ExitCode::FAILURE
        }
    }
}
