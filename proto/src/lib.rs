//! Sealcare's protobuf messages and, with the features `client` and `server`, its gRPC stubs.
//!
//! Generated from `sealcare/v1/*.proto`, where every field is described. No logic lives here: what is
//! signed or sealed is made and checked in `sealcare-protocol`.

/// Messages and stubs of package `sealcare.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/sealcare.v1.rs"));
}

/// The encoded `FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// `domain` of every `google.rpc.ErrorInfo` that a relay sends.
pub const ERROR_DOMAIN: &str = "sealcare";
