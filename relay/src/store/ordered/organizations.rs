//! Organizations: registration, bundles and the epochs they named, the operator's decisions.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message as _;
use sealcare_proto::v1 as wire;
use sealcare_protocol::{Domain, KeyId, OrganizationId, Timestamp};

use super::{
    engine::Space,
    gate::Gate,
    layout,
    reads::{Committed, Rows},
    rows::{BundleRow, EpochRow, OrganizationRow, decode},
    transaction::Transaction,
};
use crate::store::{
    EPOCH_GRACE, LANES, OrganizationRecord, OrganizationState, PutBundleOutcome, RegisterOutcome, Registrant,
    Result, StoreError,
};

/// How long a domain is kept for an organization that was never approved.
const PENDING_FOR: Duration = Duration::from_hours(7 * 24);
/// Organizations that may wait for their first approval.
pub(in crate::store) const PENDING_MAX: usize = 1_000;
/// Epoch keys of an organization whose inits are taken; an honest one has about ten.
const EPOCHS_MAX: usize = 64;

pub(super) fn register(
    t: &mut Transaction<'_>,
    registrant: &Registrant,
    now: Timestamp,
) -> Result<RegisterOutcome> {
    let known: Option<OrganizationRow> = t.row(&layout::organization(&registrant.organization))?;
    if known.is_none() && is_full(t)? {
        return Ok(RegisterOutcome::Full);
    }
    if !claim_domain(t, registrant, now)? {
        return Ok(RegisterOutcome::DomainTaken);
    }
    let mut row = match known {
        Some(row) if row.pin()?.check_pin(&registrant.pin).is_err() => return Ok(RegisterOutcome::Stale),
        Some(row) => row,
        None => {
            let mut row = OrganizationRow::default();
            row.registered_ms = now.as_millis();
            row.decide(OrganizationState::Pending);
            row
        }
    };
    let state = row.state()?;
    renew(t, &mut row, registrant, now);
    Ok(RegisterOutcome::Listed(state))
}

/// Whether the organization was never approved and has waited long enough.
pub(super) fn is_stale(row: &OrganizationRow, now: Timestamp) -> bool {
    row.approved_ms.is_none() && now.since(Timestamp::from_millis(row.registered_ms)) > PENDING_FOR
}

/// Forgets those of `organizations` that are still stale, and frees their domains.
pub(super) fn forget_stale(
    t: &mut Transaction<'_>,
    organizations: &[OrganizationId],
    now: Timestamp,
) -> Result<()> {
    for id in organizations {
        let key = layout::organization(id);
        let Some(row) = t.row::<OrganizationRow>(&key)?.filter(|row| is_stale(row, now)) else { continue };
        let domain = row.domain.parse().map_err(|_| StoreError::Corrupt("organization"))?;
        t.delete(Space::Rows, layout::domain(&domain));
        t.delete(Space::Rows, layout::bundle(id));
        t.delete(Space::Rows, key);
    }
    Ok(())
}

/// Whether as many wait for an approval as may.
fn is_full(t: &mut Transaction<'_>) -> Result<bool> {
    let end = layout::end_of(layout::ORGANIZATIONS);
    let mut pending = 0;
    for (_, value) in t.scan(Space::Rows, layout::ORGANIZATIONS, &end, usize::MAX)? {
        let row: OrganizationRow = decode("organization", value)?;
        pending += usize::from(row.approved_ms.is_none());
    }
    Ok(pending >= PENDING_MAX)
}

/// Takes the domain unless another organization has it.
fn claim_domain(t: &mut Transaction<'_>, registrant: &Registrant, now: Timestamp) -> Result<bool> {
    let key = layout::domain(&registrant.domain);
    if let Some(holder) = t.get(Space::Rows, &key)? {
        let holder = OrganizationId::from_slice(&holder).map_err(|_| StoreError::Corrupt("domain"))?;
        if holder == registrant.organization {
            return Ok(true);
        }
        let row = t.organization(&holder)?;
        let gives_way = row.approved_ms.is_none() && row.state()? == OrganizationState::Suspended;
        if !(gives_way || is_stale(&row, now)) {
            return Ok(false);
        }
        t.delete(Space::Rows, layout::organization(&holder));
        t.delete(Space::Rows, layout::bundle(&holder));
    }
    t.put(Space::Rows, key, registrant.organization.as_bytes().to_vec());
    Ok(true)
}

fn renew(t: &mut Transaction<'_>, row: &mut OrganizationRow, registrant: &Registrant, now: Timestamp) {
    registrant.domain.as_str().clone_into(&mut row.domain);
    // A registration can be repeated by anyone who saw it: it does not bring back a key that was replaced.
    let created_ms = registrant.oauth_created.as_millis();
    if let Some(jwk) = registrant.oauth_jwk.as_ref().filter(|_| created_ms >= row.oauth_created_ms) {
        row.oauth_jwk.clone_from(jwk);
        row.oauth_created_ms = created_ms;
    }
    row.bundle_expires_ms = registrant.bundle_expires.as_millis();
    row.root_fingerprint = Bytes::copy_from_slice(&registrant.root_fingerprint);
    row.set_pin(&registrant.pin);
    remember_epochs(row, &registrant.epochs, now);
    let bundle = BundleRow { bundle: registrant.bundle.clone(), put_ms: now.as_millis() };
    t.put(Space::Rows, layout::bundle(&registrant.organization), bundle.encode_to_vec());
    t.put(Space::Rows, layout::organization(&registrant.organization), row.encode_to_vec());
}

/// Adds the bundle's epochs, drops those whose inits are refused anyway.
fn remember_epochs(row: &mut OrganizationRow, epochs: &[(KeyId, Timestamp)], now: Timestamp) {
    row.epochs.retain(|epoch| Timestamp::from_millis(epoch.encrypt_until_ms).plus(EPOCH_GRACE) >= now);
    for (key, until) in epochs {
        let key_id = Bytes::copy_from_slice(key.as_bytes());
        row.epochs.retain(|epoch| epoch.key_id != key_id);
        row.epochs.push(EpochRow { key_id, encrypt_until_ms: until.as_millis() });
    }
    row.epochs.sort_by_key(|epoch| epoch.encrypt_until_ms);
    let excess = row.epochs.len().saturating_sub(EPOCHS_MAX);
    row.epochs.drain(..excess);
}

pub(super) fn put_bundle(
    t: &mut Transaction<'_>,
    registrant: &Registrant,
    now: Timestamp,
) -> Result<PutBundleOutcome> {
    let mut row = t.organization(&registrant.organization)?;
    if row.domain != registrant.domain.as_str() || row.pin()?.check_pin(&registrant.pin).is_err() {
        return Ok(PutBundleOutcome::Stale);
    }
    renew(t, &mut row, registrant, now);
    Ok(PutBundleOutcome::Stored)
}

pub(super) fn bundle(
    rows: &mut Committed<'_>,
    organization: &OrganizationId,
) -> Result<(wire::Signed, Timestamp)> {
    let row: BundleRow = rows.row(&layout::bundle(organization))?.ok_or(StoreError::NotFound)?;
    Ok((row.bundle, Timestamp::from_millis(row.put_ms)))
}

pub(super) fn list(rows: &mut Committed<'_>) -> Result<Vec<OrganizationRecord>> {
    let end = layout::end_of(layout::ORGANIZATIONS);
    let found = rows.scan(Space::Rows, layout::ORGANIZATIONS, &end, usize::MAX)?;
    let records = found.into_iter().map(|(key, value)| {
        let id = layout::organization_of(&key).ok_or(StoreError::Corrupt("organization"))?;
        record(id, &decode("organization", value)?)
    });
    records.collect()
}

pub(super) fn record(organization: OrganizationId, row: &OrganizationRow) -> Result<OrganizationRecord> {
    let corrupt = StoreError::Corrupt("organization");
    Ok(OrganizationRecord {
        organization,
        domain: row.domain.parse().map_err(|_| corrupt)?,
        state: row.state()?,
        oauth_jwk: row.oauth_jwk.clone(),
        registered: Timestamp::from_millis(row.registered_ms),
        bundle_expires: Timestamp::from_millis(row.bundle_expires_ms),
        root_fingerprint: row.root_fingerprint[..].try_into().map_err(|_| corrupt)?,
    })
}

pub(super) fn decide(
    t: &mut Transaction<'_>,
    gate: &Arc<Gate>,
    domain: &Domain,
    state: OrganizationState,
) -> Result<()> {
    let holder = t.get(Space::Rows, &layout::domain(domain))?.ok_or(StoreError::NotFound)?;
    let id = OrganizationId::from_slice(&holder).map_err(|_| StoreError::Corrupt("domain"))?;
    let mut row = t.organization(&id)?;
    row.decide(state);
    if state == OrganizationState::Approved && row.approved_ms.is_none() {
        row.approved_ms = Some(row.registered_ms);
    }
    t.put(Space::Rows, layout::organization(&id), row.encode_to_vec());
    let gate = gate.clone();
    t.after_commit(move || {
        gate.close();
        (0..LANES).for_each(|lane| gate.arrived(&id, lane));
    });
    Ok(())
}
