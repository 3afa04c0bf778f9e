//! Group commit: one thread takes all waiting operations, runs them one after another, makes one atomic
//! batch of them, syncs once, then answers all. Nothing is answered before it would survive a power cut.
//!
//! After a failed write or sync the committer is failed: everything is `Unavailable` until the store has
//! been opened anew.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    engine::{EngineError, OrderedKeys},
    transaction::Transaction,
};
use crate::store::{Result, StoreError};

/// Operations that may wait; more are refused.
const QUEUE_MAX: usize = 8_192;
/// Operations in one batch: bounds its memory (256 KiB each at most) and the wait of the first.
const BATCH_OPERATIONS_MAX: usize = 512;
/// Bytes that operations may bring into one batch.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Bytes that waiting operations may hold together; more are refused.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// An operation that was run and not yet answered.
struct Answer {
    verdict: Verdict,
    tell: Box<dyn FnOnce(Result<()>) + Send>,
}

/// Whether an answer says something about what is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    /// It does: it is told once that would survive a power cut.
    Decided,
    /// An error, which promises nothing.
    Refused,
}

type Work = Box<dyn FnOnce(&mut Transaction<'_>) -> Answer + Send>;

struct Operation {
    bytes: usize,
    work: Work,
    _waiting: OwnedSemaphorePermit,
}

/// Whether the store may still be used. Once failed it stays so until it has been opened anew.
#[derive(Clone, Debug, Default)]
pub(super) struct FailedLatch(Arc<AtomicBool>);

impl FailedLatch {
    pub(super) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Acquire) { Err(StoreError::Unavailable) } else { Ok(()) }
    }

    pub(super) fn fail(&self) {
        if !self.0.swap(true, Ordering::AcqRel) {
            tracing::error!("storage failed; unavailable until reopened");
        }
    }
}

/// Fails the store if its thread panics: whatever an operation left half done is never built upon.
struct FailOnPanic<'a>(&'a FailedLatch);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail();
        }
    }
}

/// Hands operations to the committing thread.
pub(super) struct Committer {
    queue: Option<SyncSender<Operation>>,
    waiting: Arc<Semaphore>,
    failed: FailedLatch,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(engine: Arc<dyn OrderedKeys>, failed: FailedLatch) -> Result<Self> {
        let (queue, operations) = sync_channel(QUEUE_MAX);
        let latch = failed.clone();
        let thread = thread::Builder::new()
            .name("committer".into())
            .spawn(move || run(engine.as_ref(), &operations, &latch))
            .map_err(|_| StoreError::Unavailable)?;
        let waiting = Arc::new(Semaphore::new(WAITING_BYTES_MAX));
        Ok(Self { queue: Some(queue), waiting, failed, thread: Some(thread) })
    }

    /// Runs `work` in the next batch; what it returns is told once the batch is durable. `bytes` is about
    /// what it adds to the batch.
    ///
    /// # Errors
    /// What `work` returns; [`StoreError::Unavailable`] if the queue holds too many or too much, or the store failed. If the
    /// caller stops waiting, the work is done all the same.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.failed.check()?;
        let permits = u32::try_from(bytes).map_err(|_| StoreError::Unavailable)?;
        let waiting = self.waiting.clone().try_acquire_many_owned(permits);
        let waiting = waiting.map_err(|_| StoreError::Unavailable)?;
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |transaction| {
            let result = transaction.attempt(work);
            let verdict = if result.is_ok() { Verdict::Decided } else { Verdict::Refused };
            let tell = Box::new(move |committed: Result<()>| {
                // A caller that went away does not want its answer.
                let _ = answer.send(committed.and(result));
            });
            Answer { verdict, tell }
        });
        let queue = self.queue.as_ref().expect("taken only when dropped");
        match queue.try_send(Operation { bytes, work, _waiting: waiting }) {
            Ok(()) => answered.await.unwrap_or(Err(StoreError::Unavailable)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(StoreError::Unavailable),
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // It panics only if an operation did, which has been reported by then.
            let _ = thread.join();
        }
    }
}

fn run(engine: &dyn OrderedKeys, operations: &Receiver<Operation>, failed: &FailedLatch) {
    let _guard = FailOnPanic(failed);
    while let Ok(first) = operations.recv() {
        let mut batch = vec![first];
        let mut bytes = batch[0].bytes;
        while batch.len() < BATCH_OPERATIONS_MAX && bytes < BATCH_BYTES_MAX {
            match operations.try_recv() {
                Ok(operation) => {
                    bytes += operation.bytes;
                    batch.push(operation);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        commit(engine, batch, failed);
    }
}

fn commit(engine: &dyn OrderedKeys, batch: Vec<Operation>, failed: &FailedLatch) {
    let mut transaction = Transaction::new(engine);
    if failed.check().is_err() {
        let refuse = |operation: Operation| {
            ((operation.work)(&mut transaction).tell)(Err(StoreError::Unavailable));
        };
        return batch.into_iter().for_each(refuse);
    }
    metrics::histogram!("relay_commit_operations").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
    let answers: Vec<Answer> =
        batch.into_iter().map(|operation| (operation.work)(&mut transaction)).collect();
    let (changes, effects, engine_error) = transaction.finish();
    let is_decided = answers.iter().any(|answer| answer.verdict == Verdict::Decided);
    let written = match engine_error {
        Some(error) => Err(error),
        None if !changes.is_empty() => engine.commit(changes),
        // A duplicate changes nothing; what it was answered with must be durable all the same.
        None if is_decided => engine.sync(),
        None => Ok(()),
    };
    if let Err(EngineError::Failed | EngineError::Damaged) = written {
        failed.fail();
    } else {
        for effect in effects {
            effect();
        }
    }
    let committed = written.map_err(|_| StoreError::Unavailable);
    for answer in answers {
        (answer.tell)(committed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ordered::FjallKeys;

    fn committer(folder: &std::path::Path) -> Committer {
        let engine = Arc::new(FjallKeys::open(folder).unwrap());
        Committer::start(engine, FailedLatch::default()).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_fails_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let committer = committer(folder.path());
        let latch = committer.failed.clone();
        let done = committer.submit::<()>(0, |_| panic!("a defect")).await;
        assert_eq!(done, Err(StoreError::Unavailable));
        drop(committer);
        assert_eq!(latch.check(), Err(StoreError::Unavailable));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn waiting_bytes_are_bounded_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let committer = committer(folder.path());
        let (busy, release) = std::sync::mpsc::channel::<()>();
        let first = committer.submit(WAITING_BYTES_MAX, move |_| {
            let _ = release.recv();
            Ok(())
        });
        let second = async {
            let refused = committer.submit(1, |_| Ok(())).await;
            drop(busy);
            refused
        };
        assert_eq!(futures::join!(first, second), (Ok(()), Err(StoreError::Unavailable)));
        assert_eq!(committer.submit(WAITING_BYTES_MAX, |_| Ok(())).await, Ok(()));
    }
}
