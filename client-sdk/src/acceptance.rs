//! From an invitation to a grant: check the organization at its own domain, let the person decide, spend the ticket,
//! keep the grant. Not here: sharing (`sharing`).

use std::collections::BTreeSet;

use sealcare_protocol::{
    DepositKey, Domain, GrantId, Invitation, KeyBundle, OrganizationId, RelayOrigin, Scope, ShortCode,
    Statement, Timestamp,
};
use sealcare_records::RecordType;
use sealcare_transport::{PatientChannel, TransportError, fetch_bundle_at_domain};
use sealcare_vault::{KeyRange, ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::{
    account::Account,
    bundle,
    error::{ClientError, Result},
    grant::{BundleNeed, Flow, GrantKeys, GrantRow, Outbox, Phase},
    kept,
    patient::Patient,
    record_store::newest_version,
    store::{ACCEPTING, LINK_CODES, load, save},
};

/// Deposit keys that are tried; the recovery rule asks for 20 in a row.
const DEPOSIT_KEYS_TRIED_MAX: u32 = 20;
/// Times that another device of the account may be faster with the chosen key.
const RACES_MAX: u32 = 5;
/// Invitations that are remembered.
const ATTEMPTS_MAX: usize = 10_000;

/// The deposit key that an invitation is accepted with, chosen before the relay hears of it.
#[derive(Deserialize, Serialize)]
struct Attempt {
    #[serde(with = "kept::text")]
    relay: RelayOrigin,
    number: u32,
}

/// An invitation whose organization was checked at its own domain. Nothing has been told to the relay yet: show the
/// domain and what would be shared, ask, then [`accept`](Self::accept) or drop it.
pub struct PendingGrant<'p> {
    patient: &'p Patient,
    invitation: Invitation,
    bundle: KeyBundle,
    verified: Timestamp,
}

/// What of a patient's records a grant covers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SharedScope {
    /// Which types; none shares nothing.
    pub types: BTreeSet<RecordType>,
    /// Records that begin before are not shared.
    pub from: Option<Timestamp>,
}

impl SharedScope {
    /// All types and all times.
    pub fn everything() -> Self {
        Self { types: RecordType::ALL.into(), from: None }
    }

    /// These types, of all times.
    pub fn of(types: impl IntoIterator<Item = RecordType>) -> Self {
        Self { types: types.into_iter().collect(), from: None }
    }

    pub(crate) fn to_scope(&self) -> Result<Scope> {
        let types = self.types.iter().map(|name| name.name().parse()).collect::<Result<_, _>>()?;
        Ok(Scope { types, from: self.from })
    }
}

/// A grant that now exists.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AcceptedGrant {
    /// Its id.
    pub id: GrantId,
    /// For the patient to read to staff, where the invitation came on paper.
    pub short_code: ShortCode,
}

impl Patient {
    /// Fetches the bundle at the invitation's domain and checks it against the invitation's organization.
    ///
    /// # Errors
    /// [`TransportError::Bundle`] if the domain does not serve one, [`sealcare_protocol::Error`] if it does not hold.
    pub async fn consider(&self, invitation: Invitation) -> Result<PendingGrant<'_>> {
        let bundle = fetch_bundle_at_domain(&invitation.domain, &self.trust).await?;
        let verified = self.clock.now();
        let bundle = bundle.verify(&invitation.organization, verified)?;
        if *bundle.domain() != invitation.domain {
            return Err(sealcare_protocol::Error::WrongOrganization.into());
        }
        Ok(PendingGrant { patient: self, invitation, bundle, verified })
    }
}

impl PendingGrant<'_> {
    /// Whom the web's certificates vouch for: what the person decides on.
    pub fn domain(&self) -> &Domain {
        self.bundle.domain()
    }

    /// The organization, as the invitation named it and the bundle proved it.
    pub fn organization(&self) -> &OrganizationId {
        self.bundle.organization()
    }

    /// Where envelopes will lie until the organization fetches them.
    pub fn relay(&self) -> &RelayOrigin {
        &self.invitation.relay
    }

    /// Spends the ticket and keeps the grant. Nothing is shared before the next [`Patient::share`]. After a crash
    /// the same invitation can be accepted again.
    ///
    /// # Errors
    /// [`TransportError::TicketSpent`], [`TransportError::TicketExpired`], [`ClientError::AlreadyAccepted`] and what
    /// any call can meet.
    pub async fn accept(self, scope: &SharedScope) -> Result<AcceptedGrant> {
        let scope = scope.to_scope()?;
        let (number, organization) = self.spend().await?;
        if organization != self.invitation.organization {
            return Err(ClientError::WrongOrganization);
        }
        let now = self.patient.clock.now();
        let row = GrantRow {
            relay: self.invitation.relay.clone(),
            domain: self.invitation.domain.clone(),
            organization,
            deposit_number: number,
            phase: Phase::Active,
            created: now,
            types: scope.types,
            from: scope.from,
            flow: Flow::Active,
            accepted_version: 0,
            scopes: Vec::new(),
            revision: Statement::next_revision(0, now),
            bundle_verified: self.verified,
            bundle_need: BundleNeed::Usual,
            outbox: Outbox::new(),
            session: None,
            heard: None,
            keys: GrantKeys::Present,
            recovery: None,
        };
        self.keep(row).await
    }

    /// Spends the ticket: the deposit key's number, and the organization as the relay names it.
    async fn spend(&self) -> Result<(u32, OrganizationId)> {
        for _ in 0..RACES_MAX {
            let number = self.choose_key().await?;
            let channel = self.channel(number).await?;
            let refused = match channel.accept_invitation(&self.invitation.ticket).await {
                Ok(organization) => return Ok((number, organization)),
                Err(refused @ (TransportError::TicketSpent | TransportError::TicketExpired)) => refused,
                Err(error) => return Err(error.into()),
            };
            self.forget_key().await?;
            // The relay says the same of a key that another device of the account took since it was chosen.
            match channel.grant_status().await {
                Ok(_) if refused == TransportError::TicketSpent => {}
                Ok(_) | Err(TransportError::NotFound) => return Err(refused.into()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(ClientError::NoFreeKey)
    }

    /// The number of the deposit key: the one that this invitation was tried with before, else the first that
    /// neither this vault nor the relay knows. Durable before the ticket is spent.
    async fn choose_key(&self) -> Result<u32> {
        let place = self.place();
        let relay = self.invitation.relay.clone();
        let look = move |tx: &ReadTransaction<'_>| {
            let tried: Option<Attempt> = load(tx, ACCEPTING, &place)?;
            Ok((tried.map(|attempt| attempt.number), first_free(tx, &relay)?))
        };
        let (tried, mut number) = self.patient.store.read(look).await?;
        if let Some(tried) = tried {
            return Ok(tried);
        }
        for _ in 0..DEPOSIT_KEYS_TRIED_MAX {
            match self.channel(number).await?.grant_status().await {
                Err(TransportError::NotFound) => match self.reserve(number).await? {
                    Reserved::Number(number) => return Ok(number),
                    Reserved::TakenBelow(free) => number = free,
                },
                Ok(_) => number = number.checked_add(1).ok_or(ClientError::NoFreeKey)?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(ClientError::NoFreeKey)
    }

    /// Keeps `number` for this invitation, unless another acceptance was faster.
    async fn reserve(&self, number: u32) -> Result<Reserved> {
        let (place, relay) = (self.place(), self.invitation.relay.clone());
        self.patient.store.write(move |tx| reserve(tx, &place, relay, number)).await
    }

    /// The relay has refused for good: the key of this attempt is free again.
    async fn forget_key(&self) -> Result<()> {
        let place = self.place();
        self.patient.store.write(move |tx| Ok(tx.delete(ACCEPTING, &place).map(drop)?)).await
    }

    fn place(&self) -> [u8; 32] {
        self.patient.store.blind(ACCEPTING, &self.invitation.ticket.payload)
    }

    async fn channel(&self, number: u32) -> Result<PatientChannel> {
        let key = deposit_key(self.patient, self.invitation.relay.clone(), number).await?;
        self.patient.channel(&self.invitation.relay, key)
    }

    async fn keep(self, mut row: GrantRow) -> Result<AcceptedGrant> {
        let Self { patient, invitation, bundle, .. } = self;
        let work = move |vault: &sealcare_vault::Vault| {
            let account = vault.read(Account::load)?;
            let identity = row.identity(&account.secret);
            let id = identity.id;
            vault.create_wrapping_key(id.as_bytes())?;
            vault.write(|tx| {
                match GrantRow::load(tx, &id) {
                    Err(ClientError::UnknownGrant) => {}
                    Ok(_) => return Err(ClientError::AlreadyAccepted),
                    Err(error) => return Err(error),
                }
                tx.put_wrapped(id.as_bytes(), LINK_CODES, id.as_bytes(), invitation.link_code.as_bytes())?;
                bundle::keep(tx, &id, &bundle)?;
                row.accepted_version = newest_version(tx)?;
                row.save(tx, &id)
            })?;
            let short_code = ShortCode::derive(&id, &identity.grant_key.public());
            Ok(AcceptedGrant { id, short_code })
        };
        patient.store.run(work).await
    }
}

/// What came of keeping a number.
#[derive(Debug, Eq, PartialEq)]
enum Reserved {
    /// This number is the invitation's.
    Number(u32),
    /// Others have taken the numbers below this one meanwhile.
    TakenBelow(u32),
}

fn reserve(tx: &mut WriteTransaction<'_>, place: &[u8], relay: RelayOrigin, number: u32) -> Result<Reserved> {
    if let Some(tried) = load::<Attempt>(tx, ACCEPTING, place)? {
        return Ok(Reserved::Number(tried.number));
    }
    let free = first_free(tx, &relay)?;
    if free > number {
        return Ok(Reserved::TakenBelow(free));
    }
    save(tx, ACCEPTING, place, &Attempt { relay, number })?;
    Ok(Reserved::Number(number))
}

/// One above the highest number that this vault has used, or was about to use, at `relay`.
pub(crate) fn first_free(tx: &ReadTransaction<'_>, relay: &RelayOrigin) -> Result<u32> {
    let highest = used(tx, relay)?.pop_last();
    highest.map_or(Ok(0), |highest| highest.checked_add(1).ok_or(ClientError::NoFreeKey))
}

/// The numbers that this vault has used, or was about to use, at `relay` under the present secret.
pub(crate) fn used(tx: &ReadTransaction<'_>, relay: &RelayOrigin) -> Result<BTreeSet<u32>> {
    let grants = GrantRow::all(tx)?.into_iter().map(|(_, row)| row);
    let grants =
        grants.filter(|row| row.keys == GrantKeys::Present).map(|row| (row.relay, row.deposit_number));
    let attempts = tx.scan(ACCEPTING, &KeyRange::all(), ATTEMPTS_MAX)?;
    let attempts = attempts.iter().map(|(_, kept)| {
        let attempt: Attempt =
            serde_json::from_slice(kept).map_err(|_| ClientError::Kept(ACCEPTING.name()))?;
        Ok((attempt.relay, attempt.number))
    });
    let attempts = attempts.collect::<Result<Vec<_>>>()?;
    let used = grants.chain(attempts).filter(|(at, _)| at == relay).map(|(_, number)| number);
    Ok(used.collect())
}

async fn deposit_key(patient: &Patient, relay: RelayOrigin, number: u32) -> Result<DepositKey> {
    patient.store.read(move |tx| Ok(Account::load(tx)?.secret.deposit_key(&relay, number))).await
}

impl std::fmt::Debug for PendingGrant<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PendingGrant")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[tokio::test]
    async fn two_acceptances_at_once_take_different_keys() {
        let fixture = Fixture::new().await; // whose grant has key 0
        let relay: RelayOrigin = "https://localhost:1".parse().unwrap();
        let race = move |tx: &mut WriteTransaction<'_>| {
            let mut take = |place: &[u8], number| reserve(tx, place, relay.clone(), number);
            // Both saw that 1 is free.
            Ok([take(b"a", 1)?, take(b"b", 1)?, take(b"b", 2)?, take(b"a", 7)?])
        };
        let taken = fixture.patient.store.write(race).await.unwrap();
        let expected = [(1, true), (2, false), (2, true), (1, true)].map(|(number, is_kept)| {
            if is_kept { Reserved::Number(number) } else { Reserved::TakenBelow(number) }
        });
        assert_eq!(taken, expected);
    }
}
