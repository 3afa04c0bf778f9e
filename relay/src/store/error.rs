//! Why a store did not do what it was asked: four reasons, the same for every engine.

/// The store's result.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Four reasons; what a healthy store decides about a request is an outcome, not an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is not there.
    #[error("not found")]
    NotFound,
    /// Something else is there already.
    #[error("conflict")]
    Conflict,
    /// Too busy, out of room, or failed until reopened. Nothing that is told as done was lost.
    #[error("the store is unavailable")]
    Unavailable,
    /// A row of this kind is damaged.
    #[error("damaged {0}")]
    Corrupt(&'static str),
}
