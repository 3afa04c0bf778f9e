//! The control socket: how the other commands talk to a running gateway, which alone has the vault open.
//!
//! `<data>/gateway.sock`, mode 0600, is the whole of its authentication: whoever may open it may read the data
//! folder. A connection carries one request, a line of JSON, and its answer: lines of the record view, if those
//! were asked for, then one line that says how it ended. A connection that ends without it broke off.

mod client;
mod frame;
mod server;

pub(crate) use client::{Connected, connect};
pub(crate) use server::{bind, serve};
