//! The side of the other commands.

use std::{io, path::Path};

use tokio::io::BufReader;
use tokio::net::UnixStream;

use super::frame::{self, FRAME_BYTES_MAX, Frame};
use crate::desk::{Answer, Request};
use crate::error::{GatewayError, Result};
use crate::line::Line;

/// A connection to a running gateway.
pub(crate) struct Connected(BufReader<UnixStream>);

/// Connects to the gateway at `socket`; `None` if none runs there.
///
/// # Errors
/// [`GatewayError::File`] if there is a socket that this user may not open.
pub(crate) async fn connect(socket: &Path) -> Result<Option<Connected>> {
    match UnixStream::connect(socket).await {
        Ok(stream) => Ok(Some(Connected(BufReader::new(stream)))),
        // A socket that an ended process left behind refuses.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Ok(None)
        }
        Err(error) => Err(GatewayError::file("open the control socket")(error)),
    }
}

impl Connected {
    /// Asks, hands over the lines that come, and returns the answer.
    ///
    /// # Errors
    /// [`GatewayError::Running`] with what the gateway refused, [`GatewayError::Unavailable`] if it stopped, and
    /// those of `take`.
    pub(crate) async fn ask(
        mut self,
        request: &Request,
        mut take: impl FnMut(&Line) -> Result<()>,
    ) -> Result<Answer> {
        frame::write(&mut self.0, request).await?;
        loop {
            let stopped = GatewayError::Unavailable("the gateway stopped before it had answered");
            let line = frame::read(&mut self.0, FRAME_BYTES_MAX).await?.ok_or(stopped)?;
            match serde_json::from_slice(&line).map_err(|_| GatewayError::Damaged("answer"))? {
                Frame::Line(line) => take(&Line::from_text(line.get())?)?,
                Frame::Done(answer) => return Ok(*answer),
                Frame::Refused { status, text } => return Err(GatewayError::Running { status, text }),
            }
        }
    }
}
