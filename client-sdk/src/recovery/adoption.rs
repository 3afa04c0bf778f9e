//! From a deposit key that a relay knows to a grant that is kept: who the organization is, by its own domain's word.
//! Not here: what the patient chose for it (`offer`).

use sealcare_protocol::{
    DepositKey, Error as ProtocolError, GrantId, GrantIdentity, KeyBundle, OrganizationId, Revocation,
    ShortCode, Timestamp,
};
use sealcare_transport::{DirectoryChannel, GrantReport, TransportError, fetch_bundle_at_domain};
use sealcare_vault::{ReadTransaction, Vault, WriteTransaction};

use super::{
    SearchPlace, SearchReport, failure,
    offer::Awaited,
    state::{Decision, Found, SecretAge, State},
};
use crate::{
    account::Account,
    bundle,
    error::{ClientError, Result},
    grant::{BundleNeed, Flow, GrantKeys, GrantRow, Outbox, Phase},
    patient::Patient,
    revocation,
};

/// All that a found grant is made of.
struct Evidence {
    identity: GrantIdentity,
    bundle: KeyBundle,
    report: GrantReport,
    verified: Timestamp,
}

impl Patient {
    /// Keeps what `place`'s search has found; what cannot be kept yet stays found.
    pub(super) async fn adopt_found(&self, place: &SearchPlace, report: &mut SearchReport) -> Result<()> {
        let wanted = place.clone();
        for found in self.store.read(move |tx| found(tx, &wanted)).await? {
            match self.adopt_grant(place, found).await {
                Ok(Some(grant)) => report.found.push(grant),
                Ok(None) => {}
                Err(error) => {
                    report.failures.push(failure(&place.relay, error)?);
                    let place = place.clone();
                    self.store.write(move |tx| put_off(tx, &place, found)).await?;
                }
            }
        }
        Ok(())
    }

    /// None if the grant was kept before.
    async fn adopt_grant(&self, place: &SearchPlace, found: Found) -> Result<Option<GrantId>> {
        let (relay, age) = (place.relay.clone(), place.age);
        let load = move |tx: &ReadTransaction<'_>| {
            let secret = Account::load(tx)?.into_secret(age)?;
            let key = secret.deposit_key(&relay, found.number);
            Ok((GrantIdentity::derive(&secret, &found.organization, &key), key))
        };
        let (identity, key) = self.store.read(load).await?;
        let report = self.close_or_look(place, &found, key).await?;
        let verified = self.clock.now();
        let bundle = self.organization_of(place, &found.organization, verified).await?;
        let evidence = Evidence { identity, bundle, report, verified };
        let place = place.clone();
        self.store.run(move |vault| keep(vault, &place, found, evidence)).await
    }

    /// What the relay says of the grant; one of a thief's is closed first.
    async fn close_or_look(
        &self,
        place: &SearchPlace,
        found: &Found,
        key: DepositKey,
    ) -> Result<GrantReport> {
        let revocation = Revocation::sign(&key, &found.organization);
        let channel = self.channel(&place.relay, key)?;
        if place.decision == Decision::Stop {
            channel.revoke_grant(&revocation).await?;
        }
        let report = channel.grant_status().await?;
        check_report(found, revocation.grant(), &report)?;
        Ok(report)
    }

    /// The organization's bundle. Its domain is only to be had from the relay, which cannot lie about it: the
    /// organization id commits to it. Sealing needs the domain's own word; to check a confirmation the relay's copy
    /// will do.
    async fn organization_of(
        &self,
        place: &SearchPlace,
        organization: &OrganizationId,
        now: Timestamp,
    ) -> Result<KeyBundle> {
        let directory = DirectoryChannel::new(&place.relay, &self.trust)?.with_deadline(self.deadline);
        let mirrored = directory.fetch_bundle(organization).await.map_err(|error| match error {
            TransportError::NotFound => ClientError::OrganizationNotListed,
            error => error.into(),
        })?;
        let domain = mirrored.claimed_domain()?;
        let published = match fetch_bundle_at_domain(&domain, &self.trust).await {
            Ok(bundle) => bundle,
            Err(_) if place.decision == Decision::Stop => mirrored,
            Err(error) => return Err(error.into()),
        };
        let bundle = published.verify(organization, now).map_err(|error| match error {
            ProtocolError::WrongOrganization => ClientError::LyingRelay,
            error => error.into(),
        })?;
        if *bundle.domain() == domain { Ok(bundle) } else { Err(ClientError::LyingRelay) }
    }
}

/// The relay must say the same each time, and what it shows must be of this grant.
fn check_report(found: &Found, grant: &GrantId, report: &GrantReport) -> Result<()> {
    let is_other = report
        .revocation
        .clone()
        .is_some_and(|shown| shown.verify().is_ok_and(|revocation| revocation.grant() != grant));
    if report.organization == found.organization && !is_other { Ok(()) } else { Err(ClientError::LyingRelay) }
}

/// What is to be kept now.
fn found(tx: &ReadTransaction<'_>, place: &SearchPlace) -> Result<Vec<Found>> {
    let mut state = State::load(tx)?;
    let found = state.find(&place.relay, place.age).map(|search| search.found.iter()).into_iter().flatten();
    Ok(found.filter(|found| found.is_due(place.now, place.urgency)).copied().collect())
}

fn put_off(tx: &mut WriteTransaction<'_>, place: &SearchPlace, failed: Found) -> Result<()> {
    let mut state = State::load(tx)?;
    let search = state.find(&place.relay, place.age);
    let found = search.and_then(|search| search.found.iter_mut().find(|found| found.number == failed.number));
    if let Some(found) = found {
        found.put_off(place.now);
    }
    state.save(tx)
}

/// In this order: a crash in between leaves a wrapping key of nothing, and the grant found.
fn keep(vault: &Vault, place: &SearchPlace, found: Found, evidence: Evidence) -> Result<Option<GrantId>> {
    let id = evidence.identity.id;
    if place.decision != Decision::Stop {
        vault.create_wrapping_key(id.as_bytes())?;
    }
    vault.write(|tx| {
        let mut state = State::load(tx)?;
        let search = state.find(&place.relay, place.age).ok_or(ClientError::Kept("the search"))?;
        search.found.retain(|other| other.number != found.number);
        state.save(tx)?;
        match GrantRow::load(tx, &id) {
            Ok(_) => return Ok(None),
            Err(ClientError::UnknownGrant) => {}
            Err(error) => return Err(error),
        }
        keep_row(tx, place, found, evidence)?;
        Ok(Some(id))
    })
}

fn keep_row(
    tx: &mut WriteTransaction<'_>,
    place: &SearchPlace,
    found: Found,
    evidence: Evidence,
) -> Result<()> {
    let Evidence { identity, bundle, report, verified } = evidence;
    let id = identity.id;
    let keys = match place.age {
        SecretAge::Present => GrantKeys::Present,
        SecretAge::Former => {
            GrantKeys::Former { short_code: ShortCode::derive(&id, &identity.grant_key.public()) }
        }
    };
    let is_stopped = place.decision == Decision::Stop;
    let mut row = GrantRow {
        relay: place.relay.clone(),
        domain: bundle.domain().clone(),
        organization: identity.organization,
        deposit_number: found.number,
        phase: if is_stopped { Phase::Revoking } else { Phase::Active },
        created: verified,
        types: std::collections::BTreeSet::new(),
        from: None,
        flow: Flow::Paused,
        accepted_version: 0,
        scopes: Vec::new(),
        revision: 0,
        bundle_verified: verified,
        bundle_need: BundleNeed::Usual,
        outbox: Outbox::new(),
        session: None,
        heard: None,
        keys,
        recovery: (!is_stopped).then(|| Awaited::new(place.decision)),
    };
    bundle::keep(tx, &id, &bundle)?;
    if report.is_revoked {
        match revocation::proven_phase(tx, &id, &row, report) {
            Ok(phase) => row.phase = phase,
            // A relay's bare word: the grant is kept as it is, and each pass asks again.
            Err(ClientError::ClosedByRelay) => {}
            Err(error) => return Err(error),
        }
    }
    row.save(tx, &id)
}

#[cfg(test)]
mod tests {
    use sealcare_protocol::{AccountSecret, UnverifiedRevocation};

    use super::*;
    use crate::fixture::organization;

    fn report(organization: OrganizationId, revocation: Option<&Revocation>) -> GrantReport {
        GrantReport {
            organization,
            is_revoked: revocation.is_some(),
            sessions: Vec::new(),
            confirmation: None,
            revocation: revocation.map(|made| UnverifiedRevocation::new(made.to_wire())),
            stored_bytes: 0,
        }
    }

    #[test]
    fn a_relay_that_contradicts_itself_is_refused_by_name() {
        let (one, other) = (*organization(1).1.organization(), *organization(9).1.organization());
        let account = AccountSecret::from_bytes(&[3; 32]);
        let key = |number| account.deposit_key(&"https://localhost:1".parse().unwrap(), number);
        let found = Found::new(0, one);
        let grant = *Revocation::sign(&key(0), &one).grant();
        let check = |report| check_report(&found, &grant, &report);
        assert!(check(report(one, None)).is_ok());
        assert!(check(report(one, Some(&Revocation::sign(&key(0), &one)))).is_ok());
        for lie in [
            report(other, None),
            report(one, Some(&Revocation::sign(&key(1), &one))),
            report(one, Some(&Revocation::sign(&key(0), &other))),
        ] {
            assert!(matches!(check(lie), Err(ClientError::LyingRelay)));
        }
    }
}
