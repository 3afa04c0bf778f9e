pub mod envelopes {}
