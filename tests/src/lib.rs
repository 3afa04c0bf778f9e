//! Sealcare's end-to-end stories, and the actors that play them ([`world`]). The frozen vectors lie in `vectors/`.

pub mod world;
