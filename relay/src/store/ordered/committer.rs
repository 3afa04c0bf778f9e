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

use tokio::sync::oneshot;

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

type Answer = Box<dyn FnOnce(Result<()>) + Send>;
type Work = Box<dyn FnOnce(&mut Transaction<'_>) -> Answer + Send>;

struct Operation {
    bytes: usize,
    work: Work,
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

/// Hands operations to the committing thread.
pub(super) struct Committer {
    queue: Option<SyncSender<Operation>>,
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
        Ok(Self { queue: Some(queue), failed, thread: Some(thread) })
    }

    /// Runs `work` in the next batch; what it returns is told once the batch is durable. `bytes` is about
    /// what it adds to the batch.
    ///
    /// # Errors
    /// What `work` returns; [`StoreError::Unavailable`] if the queue is full or the store failed. If the
    /// caller stops waiting, the work is done all the same.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.failed.check()?;
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |transaction| {
            let result = transaction.attempt(work);
            Box::new(move |committed: Result<()>| {
                // A caller that went away does not want its answer.
                let _ = answer.send(committed.and(result));
            })
        });
        let queue = self.queue.as_ref().expect("taken only when dropped");
        match queue.try_send(Operation { bytes, work }) {
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
        let refuse = |operation: Operation| (operation.work)(&mut transaction)(Err(StoreError::Unavailable));
        return batch.into_iter().for_each(refuse);
    }
    metrics::histogram!("relay_commit_operations").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
    let answers: Vec<Answer> =
        batch.into_iter().map(|operation| (operation.work)(&mut transaction)).collect();
    let (changes, effects, engine_error) = transaction.finish();
    let written = match (engine_error, changes.is_empty()) {
        (Some(error), _) => Err(error),
        // A duplicate changes nothing; what it was answered with must be durable all the same.
        (None, true) => engine.sync(),
        (None, false) => engine.commit(changes),
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
        answer(committed);
    }
}
