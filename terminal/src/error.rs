//! Why nothing was drawn.

/// This crate's result.
pub type Result<T, E = DrawError> = std::result::Result<T, E>;

/// Why nothing was drawn.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DrawError {
    /// More than a phone reads off a screen.
    #[error("the text is too long for a QR code")]
    TooLong,
}
