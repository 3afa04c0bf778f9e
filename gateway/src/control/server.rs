//! The side of the running gateway.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream, unix::OwnedWriteHalf};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::frame::{self, Frame, REQUEST_BYTES_MAX};
use crate::desk::{Answer, Desk, Request};
use crate::error::{GatewayError, Result};
use crate::records::{Lines, Position};

/// Connections at a time; more wait in the listener's backlog.
const CONNECTIONS_MAX: usize = 64;
/// How long a request may take to arrive.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// Pause after the system refused to accept, which it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens at `path`, for this user only. A socket that an ended process left behind is replaced: the vault's
/// lock says that no other gateway lives in this folder.
///
/// # Errors
/// [`GatewayError::Listen`], for a path that is too long too.
pub(crate) fn bind(path: &Path) -> Result<UnixListener> {
    let listen = || -> io::Result<UnixListener> {
        if fs::symlink_metadata(path).is_ok() {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    listen().map_err(GatewayError::Listen)
}

/// Answers until `stop`, then cuts off who follows.
pub(crate) async fn serve(listener: UnixListener, desk: Arc<Desk>, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Ok((stream, permit)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (desk, stop) = (Arc::clone(&desk), stop.clone());
        connections.spawn(async move {
            if let Err(error) = answer(stream, &desk, &stop).await {
                tracing::debug!(%error, "a control connection broke off");
            }
            drop(permit);
        });
    }
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &UnixListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(UnixStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.accept().await?.0, permit))
}

async fn answer(stream: UnixStream, desk: &Desk, stop: &CancellationToken) -> Result<()> {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    let request = tokio::time::timeout(REQUEST_WITHIN, frame::read(&mut from, REQUEST_BYTES_MAX));
    let Ok(request) = request.await else { return Ok(()) };
    let Some(line) = request? else { return Ok(()) };
    let Ok(request) = serde_json::from_slice::<Request>(&line) else {
        let error =
            GatewayError::Input("the running gateway does not know this command; is it another release?");
        return frame::write(&mut to, &Frame::refused(&error)).await;
    };
    let answered = async {
        match request {
            Request::Records { until } => stream_lines(desk, &mut to, Lines::new(desk, until).await?).await,
            request => desk.answer(request).await,
        }
    };
    // Who asked may go away: nobody else would notice while there is nothing to tell.
    let left = async {
        let mut byte = [0; 1];
        while from.read(&mut byte).await.is_ok_and(|count| count > 0) {}
    };
    let outcome = tokio::select! {
        outcome = answered => outcome,
        () = left => return Ok(()),
        () = stop.cancelled() => return Ok(()),
    };
    match outcome {
        Ok(answer) => frame::write(&mut to, &Frame::Done(Box::new(answer))).await,
        Err(error @ GatewayError::Output(_)) => Err(error),
        Err(error) => frame::write(&mut to, &Frame::refused(&error)).await,
    }
}

/// One page is in memory at a time, and the next is read when this one has gone out: a reader that stops costs
/// nothing more.
async fn stream_lines(desk: &Desk, to: &mut OwnedWriteHalf, mut lines: Lines) -> Result<Answer> {
    loop {
        for line in lines.next(desk).await? {
            frame::write(to, &Frame::Line(line.raw()?)).await?;
        }
        if lines.position() == Position::End {
            return Ok(Answer::Listed);
        }
    }
}
