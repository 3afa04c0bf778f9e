//! What is done every hour, and once more in it when the relay has been heard to its end: keys follow each other, silent grants are looked for, and the operator is warned.

use std::collections::BTreeMap;
use std::{sync::Arc, time::Duration};

use sealcare_provider::{Alarm, LinkState, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::desk::Desk;
use crate::error::Result;
use crate::serve::survivable;
use crate::view;

/// Epoch keys are drawn and destroyed, gateway keys changed and the bundle signed anew, when this finds that it is time.
const INTERVAL: Duration = Duration::from_hours(1);
/// An alarm that goes on is logged this often.
const WARNED_AGAIN_AFTER: Duration = Duration::from_hours(24);

/// Goes on until `stop`.
///
/// # Errors
/// Those after which nothing can be kept any more.
pub(crate) async fn keep_up(
    desk: Arc<Desk>,
    mut link: watch::Receiver<LinkState>,
    stop: CancellationToken,
) -> Result<()> {
    let mut hourly = tokio::time::interval(INTERVAL);
    let mut has_heard = false;
    let mut warned = Warned::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = hourly.tick() => has_heard = false,
            () = caught_up(&mut link), if !has_heard => has_heard = true,
        }
        let rotated = desk.blocking(|desk| {
            desk.organization().rotate(desk.now(), &mut rand::rng())?;
            desk.organization().vault().write(|tx| view::trim(tx, view::REMOVALS_MAX))
        });
        if let Err(error) = rotated.await {
            survivable(error, "the keys could not be rotated")?;
        }
        let swept = desk.blocking(|desk| Ok(desk.organization().sweep(desk.now())?));
        if let Err(error) = swept.await {
            survivable(error, "silent grants could not be looked for")?;
        }
        match desk.blocking(|desk| Ok(desk.organization().alarms(desk.now())?)).await {
            Ok(alarms) => {
                for alarm in warned.due(&alarms, desk.now()) {
                    tracing::warn!(alarm = alarm.name(), "{}", alarm.meaning());
                }
            }
            Err(error) => survivable(error, "alarms could not be looked for")?,
        }
    }
}

/// Completes when the subscription becomes live.
async fn caught_up(link: &mut watch::Receiver<LinkState>) {
    while link.changed().await.is_ok() {
        if *link.borrow_and_update() == LinkState::Live {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// When each alarm that is raised was last logged.
#[derive(Default)]
struct Warned(BTreeMap<Alarm, Timestamp>);

impl Warned {
    /// Those to log now; one that was lowered in between is logged at once when it is raised again.
    fn due(&mut self, raised: &[Alarm], now: Timestamp) -> Vec<Alarm> {
        self.0.retain(|alarm, _| raised.contains(alarm));
        let is_due =
            |alarm: &&Alarm| self.0.get(*alarm).is_none_or(|last| now.since(*last) >= WARNED_AGAIN_AFTER);
        let due: Vec<Alarm> = raised.iter().filter(is_due).copied().collect();
        self.0.extend(due.iter().map(|alarm| (*alarm, now)));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_that_goes_on_is_logged_once_a_day() {
        let hour = |hour: u64| Timestamp::from_millis(hour * 3_600_000);
        let mut warned = Warned::default();
        let unreached = [Alarm::RelayUnreached];
        assert_eq!(warned.due(&unreached, hour(0)), unreached);
        assert_eq!(warned.due(&unreached, hour(23)), []);
        assert_eq!(warned.due(&[Alarm::KeysEnding, Alarm::RelayUnreached], hour(23)), [Alarm::KeysEnding]);
        assert_eq!(warned.due(&unreached, hour(24)), unreached);
        assert_eq!(warned.due(&[], hour(25)), []);
        assert_eq!(warned.due(&unreached, hour(26)), unreached);
    }
}
