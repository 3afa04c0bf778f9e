//! Randomness that is written down: hands out given bytes in order.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// Hands out its bytes once, in order; asking for more is the script's mistake.
pub(crate) struct Script(std::collections::VecDeque<u8>);

impl Script {
    /// The parts one after another.
    pub(crate) fn new(parts: &[&[u8]]) -> Self {
        Self(parts.concat().into())
    }

    /// Whether all of it was asked for.
    pub(crate) fn is_spent(&self) -> bool {
        self.0.is_empty()
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.0.pop_front().expect("the script is long enough"))
    }
}

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.take()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.take()))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        for byte in dst {
            [*byte] = self.take();
        }
        Ok(())
    }
}

impl TryCryptoRng for Script {}
