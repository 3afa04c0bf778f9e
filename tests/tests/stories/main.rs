//! Stories of patients and organizations, from the first word to the last, through a real relay.
//!
//! Not here: what the SDKs' own stories show against a real relay, in `client-sdk/tests/stories` (crashes anywhere in a
//! pass, months offline, restored phones, what a domain serves instead of a bundle) and `provider-sdk/tests` (restored
//! vaults, held grants, what halts a grant); the relay's own promises, in `relay/tests`.
#![allow(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod courier;
mod keys;
mod outage;
mod sharing;
mod stopping;
