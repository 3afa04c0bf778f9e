//! Sealcare's relay: the untrusted courier of sealed envelopes.
pub mod store;
