//! The staff's program that tells of everything as it happens, read line by line.

use serde_json::Value;

use crate::world::{Program, soon};

/// `records --follow --events`.
pub struct Follower(Program);

impl Follower {
    pub(super) const fn new(program: Program) -> Self {
        Self(program)
    }

    /// The next event by that name; others are passed over.
    pub async fn is_told(&mut self, name: &str) -> Value {
        let reading = async {
            loop {
                let event: Value = serde_json::from_str(&self.0.next_line().await).unwrap();
                if event["event"] == name {
                    return event;
                }
            }
        };
        soon(&format!("staff are told: {name}"), reading).await
    }
}
