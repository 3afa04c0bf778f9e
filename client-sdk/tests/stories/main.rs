//! Stories of a patient's app against a real relay: one binary, so that the world is built once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod backlog;
mod choices;
mod complete;
mod crash;
mod devices;
mod recovery;
mod sharing;
mod trust;
mod world;
