//! What travels on the control socket, and its bounds.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use crate::desk::Answer;
use crate::error::{GatewayError, Result};

/// Bytes of a request.
pub(super) const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a frame: a record of 1 MiB and what names it; a status of 10,000 grants.
pub(super) const FRAME_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// One line of an answer.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Frame<'a> {
    /// A line of the record view.
    #[serde(borrow)]
    Line(&'a RawValue),
    /// The answer; nothing follows.
    Done(Box<Answer>),
    /// Why there is none; nothing follows.
    Refused {
        /// The exit status.
        status: u8,
        /// For people.
        text: String,
    },
}

impl Frame<'_> {
    pub(super) fn refused(error: &GatewayError) -> Self {
        Self::Refused { status: error.exit_status(), text: error.to_string() }
    }
}

/// Writes a value as one line.
pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), value: &impl Serialize) -> Result<()> {
    let mut line = Zeroizing::new(serde_json::to_vec(value).expect("frames have string keys only"));
    line.push(b'\n');
    to.write_all(&line).await.map_err(GatewayError::Output)
}

/// Reads one line of at most `bytes_max`, without its end; `None` where there is no whole one.
pub(super) async fn read(
    from: &mut (impl AsyncBufRead + Unpin),
    bytes_max: u64,
) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let mut line = Zeroizing::new(Vec::new());
    from.take(bytes_max).read_until(b'\n', &mut line).await.map_err(GatewayError::Output)?;
    Ok((line.pop() == Some(b'\n')).then_some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_without_end_or_beyond_its_bound_is_none() {
        let line = async |bytes: &[u8]| read(&mut &bytes[..], 4).await.unwrap().map(|line| line.to_vec());
        assert_eq!(line(b"abc\nd").await.as_deref(), Some(&b"abc"[..]));
        assert_eq!(line(b"abcd\n").await, None);
        assert_eq!(line(b"abc").await, None);
        assert_eq!(line(b"").await, None);
    }
}
