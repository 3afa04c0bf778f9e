//! A place to alter envelopes at delivery, for tests and the demo's `--break`. Without the feature
//! `test-util` there is nothing to set and nothing is altered.

use bytes::Bytes;

/// Alters envelopes on their way out.
#[cfg(feature = "test-util")]
pub type AlterEnvelope = std::sync::Arc<dyn Fn(Bytes) -> Bytes + Send + Sync>;

/// Alters nothing, unless a test set it.
#[derive(Clone, Default)]
pub struct DeliveryHook {
    #[cfg(feature = "test-util")]
    alter: Option<AlterEnvelope>,
}

impl DeliveryHook {
    /// Alters every envelope that is delivered.
    #[cfg(feature = "test-util")]
    pub fn altering(alter: AlterEnvelope) -> Self {
        Self { alter: Some(alter) }
    }

    #[cfg(feature = "test-util")]
    pub(crate) fn apply(&self, envelope: Bytes) -> Bytes {
        match &self.alter {
            Some(alter) => alter(envelope),
            None => envelope,
        }
    }

    #[cfg(not(feature = "test-util"))]
    #[allow(clippy::unused_self, reason = "the same call with and without the feature")]
    pub(crate) fn apply(&self, envelope: Bytes) -> Bytes {
        envelope
    }
}

impl std::fmt::Debug for DeliveryHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeliveryHook")
    }
}
