//! Sealcare's end-to-end stories: the actors that play them in this process ([`world`]) and as programs that are given
//! commands ([`cast`]), and the search through what programs have written ([`needles`])
//! and what a relay has kept ([`relay_files`]). The frozen vectors lie in `vectors/`; the stories themselves in `tests/`.

pub mod cast;
pub mod needles;
pub mod relay_files;
pub mod world;

/// The README, so that its Rust is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
