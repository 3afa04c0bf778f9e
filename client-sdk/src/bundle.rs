//! Which bundle a grant seals with: kept, mirrored by the relay, or from the organization's own domain. Pins are
//! checked here and nowhere else, so that a proof of transparency joins here.

use std::time::Duration;

use prost::Message as _;
use sealcare_protocol::{GrantId, KeyBundle, OrganizationId, Timestamp, UnverifiedKeyBundle};
use sealcare_transport::{DirectoryChannel, fetch_bundle_at_domain};
use sealcare_vault::{ReadTransaction, WriteTransaction};

use crate::{
    error::{ClientError, Result},
    grant::{BundleNeed, GrantRow},
    patient::Patient,
    store::BUNDLES,
};

/// A bundle is looked after once in this time.
const FRESH: Duration = Duration::from_hours(12);
/// A bundle that ends within this time is replaced first.
const MARGIN: Duration = Duration::from_mins(10);

/// Keeps a bundle that was verified at `now`.
pub(crate) fn keep(tx: &mut WriteTransaction<'_>, id: &GrantId, bundle: &KeyBundle) -> Result<()> {
    Ok(tx.put(BUNDLES, id.as_bytes(), &bundle.signed().encode_to_vec())?)
}

/// The kept bundle. It is verified again as of the time when it was verified first, and may have expired since.
pub(crate) fn load(tx: &ReadTransaction<'_>, id: &GrantId, row: &GrantRow) -> Result<KeyBundle> {
    let kept = tx.get(BUNDLES, id.as_bytes())?.ok_or(ClientError::Kept(BUNDLES.name()))?;
    let unverified = UnverifiedKeyBundle::decode(&kept).map_err(|_| ClientError::Kept(BUNDLES.name()))?;
    Ok(unverified.verify(&row.organization, row.bundle_verified)?)
}

impl Patient {
    /// A bundle to seal with now. The relay's mirror is asked first; where it is stale, silent or contradicts what
    /// was seen, the organization's domain.
    pub(crate) async fn bundle(&self, id: GrantId) -> Result<KeyBundle> {
        let (row, kept) = self
            .store
            .read(move |tx| {
                let row = GrantRow::load_active(tx, &id)?;
                let kept = load(tx, &id, &row)?;
                Ok((row, kept))
            })
            .await?;
        let now = self.clock.now();
        let is_good = now.plus(MARGIN) < kept.expires();
        if is_good && now.since(row.bundle_verified) < FRESH && row.bundle_need == BundleNeed::Usual {
            return Ok(kept);
        }
        match self.newer(&row, &kept, now).await {
            Ok(bundle) => self.adopt(id, bundle, now).await,
            // What is kept may still be sealed with.
            Err(_) if is_good => Ok(kept),
            Err(error) => Err(error),
        }
    }

    /// Looks for a newer bundle than the kept one, whatever the grant's phase: for a word of the organization's that
    /// the kept one does not vouch for, as after a succession of roots.
    pub(crate) async fn renew_bundle(&self, id: GrantId) -> Result<()> {
        let load_both = move |tx: &ReadTransaction<'_>| {
            let row = GrantRow::load(tx, &id)?;
            let kept = load(tx, &id, &row)?;
            Ok((GrantRow { bundle_need: BundleNeed::Fresh, ..row }, kept))
        };
        let (row, kept) = self.store.read(load_both).await?;
        let now = self.clock.now();
        let bundle = self.newer(&row, &kept, now).await?;
        self.adopt(id, bundle, now).await.map(drop)
    }

    async fn newer(&self, row: &GrantRow, kept: &KeyBundle, now: Timestamp) -> Result<KeyBundle> {
        match self.mirrored(row, kept, now).await {
            Ok(bundle) => Ok(bundle),
            Err(_) => self.published(row, kept, now).await,
        }
    }

    async fn mirrored(&self, row: &GrantRow, kept: &KeyBundle, now: Timestamp) -> Result<KeyBundle> {
        let directory = DirectoryChannel::new(&row.relay, &self.trust)?.with_deadline(self.deadline);
        let bundle = directory.fetch_bundle(&row.organization).await?;
        let bundle = checked(bundle, &row.organization, kept, now)?;
        // A mirror that shows the same as before is stale once that is due to change.
        let is_stale = bundle.serial() == kept.serial()
            && (row.bundle_need == BundleNeed::Fresh || now.plus(MARGIN) >= bundle.expires());
        if is_stale { Err(sealcare_protocol::Error::Stale.into()) } else { Ok(bundle) }
    }

    async fn published(&self, row: &GrantRow, kept: &KeyBundle, now: Timestamp) -> Result<KeyBundle> {
        let bundle = fetch_bundle_at_domain(&row.domain, &self.trust).await?;
        checked(bundle, &row.organization, kept, now)
    }

    async fn adopt(&self, id: GrantId, bundle: KeyBundle, now: Timestamp) -> Result<KeyBundle> {
        self.store
            .write(move |tx| {
                let mut row = GrantRow::load(tx, &id)?;
                // Another pass may have been faster.
                load(tx, &id, &row)?.pin().check(&bundle)?;
                keep(tx, &id, &bundle)?;
                (row.bundle_verified, row.bundle_need) = (now, BundleNeed::Usual);
                row.save(tx, &id)?;
                Ok(bundle)
            })
            .await
    }
}

fn checked(
    bundle: UnverifiedKeyBundle,
    organization: &OrganizationId,
    kept: &KeyBundle,
    now: Timestamp,
) -> Result<KeyBundle> {
    let bundle = bundle.verify(organization, now)?;
    kept.pin().check(&bundle)?;
    Ok(bundle)
}
