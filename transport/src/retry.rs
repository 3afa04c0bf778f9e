//! Trying again: exponential back-off with full jitter, within a deadline.

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::{Instant, sleep_until, timeout};

use crate::{
    connector::CALL_TIMEOUT,
    error::{Result, TransportError},
};

/// How long a call is tried, unless told otherwise.
pub(crate) const DEADLINE_DEFAULT: Duration = Duration::from_secs(20);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Runs `attempt` until it succeeds, fails for good, or `deadline` is over; then the last error stands.
pub(crate) async fn retry<T, A>(deadline: Duration, mut attempt: impl FnMut() -> A) -> Result<T>
where
    A: Future<Output = Result<T>>,
{
    let end = Instant::now() + deadline;
    let mut backoff = BACKOFF_FIRST;
    loop {
        let left = end.saturating_duration_since(Instant::now()).min(CALL_TIMEOUT);
        let outcome = timeout(left, attempt()).await.unwrap_or(Err(TransportError::Deadline));
        let again = Instant::now() + jittered(backoff);
        match outcome {
            Err(error) if error.is_transient() && again < end => sleep_until(again).await,
            outcome => return outcome,
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Between half and all of `backoff`.
fn jittered(backoff: Duration) -> Duration {
    backoff.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn attempts(error: TransportError, succeed_at: u32) -> (u32, Result<()>) {
        let mut count = 0;
        let outcome = retry(Duration::from_secs(20), || {
            count += 1;
            std::future::ready(if count == succeed_at { Ok(()) } else { Err(error) })
        });
        let outcome = outcome.await;
        (count, outcome)
    }

    #[tokio::test(start_paused = true)]
    async fn transient_failures_are_tried_again_until_the_deadline() {
        assert_eq!(attempts(TransportError::Unavailable, 3).await, (3, Ok(())));
        let (count, outcome) = attempts(TransportError::Unavailable, u32::MAX).await;
        assert!((6..40).contains(&count), "{count}");
        assert_eq!(outcome, Err(TransportError::Unavailable));
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_final() {
        assert_eq!(attempts(TransportError::TicketSpent, 2).await, (1, Err(TransportError::TicketSpent)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_ends_at_the_deadline() {
        let outcome = retry(Duration::from_secs(5), std::future::pending::<Result<()>>).await;
        assert_eq!(outcome, Err(TransportError::Deadline));
    }
}
