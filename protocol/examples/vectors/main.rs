//! Writes HS/1's frozen vectors to `tests/vectors/`. They change only with the protocol's version; a test
//! derives them anew and compares.
//!
//! `cargo run -p sealcare-protocol --example vectors`

use std::{fs, io, path::Path};

#[allow(dead_code, reason = "shared with the test that compares")]
mod generator;

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    for (name, content) in generator::files() {
        fs::write(folder.join(name), format!("{content:#}\n"))?;
        println!("{name}");
    }
    Ok(())
}
