//! What somebody must see to before it stops patients from sharing. Not here: who is told, and how (the application).

use std::time::Duration;

use sealcare_protocol::Timestamp;

use crate::error::Result;
use crate::organization::{Organization, Profile};

const DAY: Duration = Duration::from_hours(24);
/// Before the last gateway key ends.
const KEYS_ENDING: Duration = DAY.saturating_mul(60);
/// A bundle is signed anew each day and lives for seven: one with less left was not.
const BUNDLE_ENDING: Duration = DAY.saturating_mul(3);
/// Clients ask the relay's mirror first, and the domain once that is old.
const UNPUBLISHED: Duration = Duration::from_hours(36);

/// Something that somebody must see to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Alarm {
    /// The root has signed for gateway keys of less than 60 days.
    KeysEnding,
    /// The last gateway key is over: patients can stop, but not share.
    KeysOver,
    /// The bundle is not renewed, and ends within three days.
    BundleEnding,
    /// The bundle is over: nobody seals to this organization.
    BundleOver,
    /// The relay has not taken a bundle for a day and a half.
    BundleUnpublished,
    /// The relay has not been reached for a day.
    RelayUnreached,
}

impl Alarm {
    /// Its name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeysEnding => "keys-ending",
            Self::KeysOver => "keys-over",
            Self::BundleEnding => "bundle-ending",
            Self::BundleOver => "bundle-over",
            Self::BundleUnpublished => "bundle-unpublished",
            Self::RelayUnreached => "relay-unreached",
        }
    }

    /// What it means, for operators.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::KeysEnding => {
                "the root's signature for the gateway's keys ends within 60 days; patients cannot share after that"
            }
            Self::KeysOver => {
                "the root's signature for the gateway's keys is over: patients can stop, but not share"
            }
            Self::BundleEnding => "the organization's keys are not renewed and end within three days",
            Self::BundleOver => {
                "the organization's published keys are over: patients can stop, but not share"
            }
            Self::BundleUnpublished => "the relay does not take the organization's keys",
            Self::RelayUnreached => "the relay has not been reached for a day",
        }
    }
}

impl Organization {
    /// What somebody must see to at `now`, in the order of [`Alarm`].
    ///
    /// # Errors
    /// Those of the vault.
    pub fn alarms(&self, now: Timestamp) -> Result<Vec<Alarm>> {
        let profile = self.vault().read(Profile::load)?;
        let (keys_end, bundle) = (self.keys_end()?, self.bundle());
        let since = |at: u64| now.since(Timestamp::from_millis(at));
        let is_unpublished = profile.published < bundle.serial() && since(profile.published_at) > UNPUBLISHED;
        // One that was never reached is missed from the day that it was founded.
        let reached = profile.reached.unwrap_or(profile.published_at);
        let raised = [
            (Alarm::KeysEnding, now < keys_end && keys_end.since(now) < KEYS_ENDING),
            (Alarm::KeysOver, now >= keys_end),
            (Alarm::BundleEnding, now < bundle.expires() && bundle.expires().since(now) < BUNDLE_ENDING),
            (Alarm::BundleOver, now >= bundle.expires()),
            (Alarm::BundleUnpublished, is_unpublished),
            (Alarm::RelayUnreached, since(reached) > DAY),
        ];
        Ok(raised.into_iter().filter(|(_, is_raised)| *is_raised).map(|(alarm, _)| alarm).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sealcare_vault::{Unlock, Vault};

    use super::*;
    use crate::root::Roots;

    #[test]
    fn alarms_are_raised_in_time_and_lowered_by_what_was_done() {
        let (dir, rng) = (tempfile::tempdir().unwrap(), &mut rand::rng());
        let start = Timestamp::from_millis(1_767_225_600_000);
        let unlock = Unlock::SecretFile(dir.path().join("key"));
        let vault = Arc::new(Vault::create(&dir.path().join("vault"), &unlock, rng).unwrap());
        let roots = Roots::draw("clinic.example".parse().unwrap(), rng);
        let relay = "https://relay.example:7443".parse().unwrap();
        let organization = Organization::found(vault, &roots, &relay, start, rng).unwrap();
        let on = |day: u32| organization.alarms(start.plus(DAY * day)).unwrap();
        assert_eq!(on(1), []);
        assert_eq!(on(2), [Alarm::BundleUnpublished, Alarm::RelayUnreached]);
        assert_eq!(on(5), [Alarm::BundleEnding, Alarm::BundleUnpublished, Alarm::RelayUnreached]);
        assert_eq!(on(7), [Alarm::BundleOver, Alarm::BundleUnpublished, Alarm::RelayUnreached]);
        let visit = |day: u32| {
            let now = start.plus(DAY * day);
            organization.rotate(now, &mut rand::rng()).unwrap();
            organization.mark_published(organization.bundle().serial(), now).unwrap();
            organization.mark_reached(now).unwrap();
        };
        visit(7);
        assert_eq!(on(7), []);
        // 2 × 365 + 399 days.
        visit(1_069);
        assert_eq!(on(1_069), []);
        assert_eq!(on(1_070), [Alarm::KeysEnding]);
        visit(1_129);
        assert_eq!(on(1_129), [Alarm::KeysOver, Alarm::BundleOver]);
        let now = start.plus(DAY * 1_129);
        let offer = organization.offer_keys(&mut rand::rng()).unwrap();
        let renewal = roots.delegate(&offer, crate::delegation::OldKeys::Honoured, now).unwrap();
        organization.renew(&renewal, now).unwrap();
        assert_eq!(on(1_129), []);
    }
}
