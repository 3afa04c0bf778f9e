//! Stories of a patient's app against a real relay: one binary, so that the world is built once.

mod crash;
mod sharing;
mod trust;
mod world;
