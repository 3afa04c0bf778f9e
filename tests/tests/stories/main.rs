//! Stories of patients and organizations, from the first word to the last, through a real relay. Those that need a
//! hand on the clock or on envelopes play with the SDKs in this process (`world`); the others play by processes that
//! are given the real commands (`cast`).
//!
//! Not here: what the SDKs' own stories show against a real relay, in `client-sdk/tests/stories` (crashes anywhere in a
//! pass, months offline, restored phones, what a domain serves instead of a bundle) and `provider-sdk/tests` (restored
//! vaults, held grants, what halts a grant); the relay's own promises, in `relay/tests`.
#![allow(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod changing;
mod courier;
mod daily;
mod devices;
mod imports;
mod keys;
mod organization;
mod outage;
mod relay;
mod sharing;
mod silence;
mod stopping;
