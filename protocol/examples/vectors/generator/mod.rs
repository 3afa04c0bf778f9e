//! HS/1's vectors from fixed seeds. Each file is made by the crate, and where bytes are sealed or signed
//! also by `spec`, a second and independent writing of `docs/PROTOCOL.md`; the two must agree.
#![allow(clippy::unwrap_used, reason = "fixed input; the test that compares would fail")]

pub(crate) mod malformed_data;
pub(crate) mod malformed_init;
pub(crate) mod malformed_objects;
pub(crate) mod objects;
pub(crate) mod script;
pub(crate) mod session;
pub(crate) mod spec;
pub(crate) mod world;

use data_encoding::HEXLOWER;
use serde_json::Value;

/// Every file: its name and content.
pub(crate) fn files() -> [(&'static str, Value); 5] {
    [
        ("hs1-session.json", session::file()),
        ("hs1-objects.json", objects::file()),
        ("hs1-malformed-init.json", malformed_init::file()),
        ("hs1-malformed-data.json", malformed_data::file()),
        ("hs1-malformed-objects.json", malformed_objects::file()),
    ]
}

pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}
