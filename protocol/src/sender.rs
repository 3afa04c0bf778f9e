//! The patient's end of a session: start it, seal under it. Not here: which bodies, and when (the SDK's outbox).

use std::{fmt, time::Duration};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    body::EncodedBody,
    bundle::KeyBundle,
    chain::ChainKey,
    envelope::{DataHeader, InitHeader, data_header},
    error::{Error, Result, SealError},
    hpke::{self, Sealer},
    ids::{GrantId, OrganizationId, SenderId, SessionId},
    init::{self, InitFields},
    invitation::LinkCode,
    keys::{DepositKey, DepositPublicKey, GrantKey},
    reply::ReplyKey,
    statement::{GrantState, Person, Scope, Statement},
    terms::{MarkKey, Terms},
    time::Timestamp,
};

/// A lease asks for 30 days, the most that the receiver gives.
const LEASE: Duration = Duration::from_hours(720);
const KEPT_VERSION: u8 = 1;

/// A grant's names and keys on the patient's side.
#[derive(Debug)]
pub struct GrantIdentity {
    /// Of organization and deposit key.
    pub id: GrantId,
    /// To whom.
    pub organization: OrganizationId,
    /// Who deposits.
    pub deposit_key: DepositPublicKey,
    /// Who signs inits.
    pub grant_key: GrantKey,
    /// Marks what is stated, for the account's other devices.
    pub mark_key: MarkKey,
}

impl GrantIdentity {
    /// The grant of `deposit_key` to `organization`, with the grant key that `account` derives for it.
    pub fn derive(
        account: &crate::keys::AccountSecret,
        organization: &OrganizationId,
        deposit_key: &DepositKey,
    ) -> Self {
        let deposit_key = deposit_key.public();
        let id = GrantId::derive(organization, &deposit_key);
        Self {
            id,
            organization: *organization,
            deposit_key,
            grant_key: account.grant_key(&id),
            mark_key: account.mark_key(&id),
        }
    }

    /// The statement of a recovered device, which does not know yet what was chosen: it says nothing, not even whose
    /// the grant is. An organization that knows the grant answers with what stands.
    pub fn silent_statement(&self) -> Statement {
        let terms = Terms { revision: 0, state: GrantState::Paused, scope: Scope::default() };
        self.statement(terms, Person::unnamed(), None)
    }

    /// States `terms` for the grant, marked for the account's other devices.
    pub fn statement(&self, terms: Terms, person: Person, link_code: Option<LinkCode>) -> Statement {
        let mark = Some(self.mark_key.mark(&self.id, &terms));
        let Terms { revision, state, scope } = terms;
        Statement {
            grant_key: self.grant_key.public(),
            deposit_key: self.deposit_key,
            revision,
            state,
            scope,
            person,
            link_code,
            mark,
        }
    }
}

/// What a session starts from.
#[derive(Debug)]
pub struct SessionStart<'a> {
    /// The grant.
    pub grant: &'a GrantIdentity,
    /// Verified keys of its organization.
    pub bundle: &'a KeyBundle,
    /// This installation.
    pub sender: SenderId,
    /// The number of the session's first body.
    pub base: u64,
}

/// A sealed init and the session that it starts.
#[derive(Debug)]
pub struct SealedInit {
    /// Kind 1 envelope.
    pub envelope: Vec<u8>,
    /// Seals what follows.
    pub session: SenderSession,
    /// Opens the replies to it.
    pub reply_key: ReplyKey,
}

impl SessionStart<'_> {
    /// Seals `statement` to the bundle's epoch of `now`.
    ///
    /// # Errors
    /// [`SealError`]: another organization's bundle, an expired one, no epoch, a statement too long.
    pub fn seal(
        self,
        statement: Statement,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<SealedInit, SealError> {
        if self.bundle.organization() != &self.grant.organization {
            return Err(SealError::WrongOrganization);
        }
        if now >= self.bundle.expires() {
            return Err(SealError::BundleExpired);
        }
        if !statement.scope.is_in_bounds() {
            return Err(SealError::StatementTooLarge);
        }
        let epoch = &self.bundle.epoch_at(now).ok_or(SealError::NoEpoch)?.key;
        let session = SessionId::random(rng);
        let info = hpke::info(&self.grant.organization, epoch, &self.grant.id, &session);
        let sealer = Sealer::new(epoch, &info, rng).ok_or(SealError::Key)?;
        let header = InitHeader { session, key: epoch.id() }.to_bytes();
        let fields = self.fields(statement, now).encode();
        let transcript = init::transcript(&header, &sealer.enc, &info, &fields, &sealer.exports.auth);
        let plain = init::plaintext(&fields, &self.grant.grant_key, &transcript)?;
        let chain = ChainKey::new(&sealer.exports.chain);
        let reply_key = ReplyKey::new(session, self.grant.id, &sealer.exports.reply);
        let enc = sealer.enc.clone();
        let ciphertext = sealer.seal(&plain, &header).ok_or(SealError::Key)?;
        let envelope = [&header[..], &enc, &ciphertext].concat();
        let session = SenderSession { session, grant: self.grant.id, base: self.base, counter: 0, chain };
        Ok(SealedInit { envelope, session, reply_key })
    }

    fn fields(&self, statement: Statement, now: Timestamp) -> InitFields {
        InitFields {
            sender: self.sender,
            base: self.base,
            bundle: self.bundle.hash(),
            lease_until: now.plus(LEASE),
            created: now,
            statement,
        }
    }
}

/// A started session: an id, a counter and the chain key of the next envelope.
pub struct SenderSession {
    session: SessionId,
    grant: GrantId,
    base: u64,
    counter: u64,
    chain: ChainKey,
}

impl SenderSession {
    /// Its id.
    pub fn id(&self) -> &SessionId {
        &self.session
    }

    /// The number of its first body.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The counter of the next envelope.
    pub fn counter(&self) -> u64 {
        self.counter
    }

    /// The number that the next body gets: base + counter.
    pub fn next_sequence(&self) -> u64 {
        self.base.saturating_add(self.counter)
    }

    /// Seals the next body and moves on; the key of this envelope is gone afterwards. The session must be
    /// kept durably before the envelope leaves the machine.
    ///
    /// # Errors
    /// [`SealError::Exhausted`] after 2⁶⁴ − 1 numbers.
    pub fn seal(&mut self, body: &EncodedBody, rng: &mut impl CryptoRng) -> Result<Vec<u8>, SealError> {
        let next = self.counter.checked_add(1).ok_or(SealError::Exhausted)?;
        self.base.checked_add(next).ok_or(SealError::Exhausted)?;
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let header = data_header(DataHeader { session: self.session, counter: self.counter }, &salt);
        let aad = [&header[..], self.grant.as_bytes()].concat();
        let sealed = self.chain.message(&salt).seal(&body.padded(), &aad);
        self.chain = self.chain.next();
        self.counter = next;
        Ok([&header[..], &sealed].concat())
    }

    /// To be kept under seal, outside backups.
    pub fn to_kept(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(
            [
                &[KEPT_VERSION][..],
                self.session.as_bytes(),
                self.grant.as_bytes(),
                &self.base.to_be_bytes(),
                &self.counter.to_be_bytes(),
                self.chain.as_bytes(),
            ]
            .concat(),
        )
    }

    /// From where it was kept.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_kept(kept: &[u8]) -> Result<Self> {
        let mut fields = Fields(kept);
        let session = (|| {
            (fields.take::<1>()? == [KEPT_VERSION]).then_some(())?;
            Some(Self {
                session: SessionId::from_bytes(fields.take()?),
                grant: GrantId::from_bytes(fields.take()?),
                base: u64::from_be_bytes(fields.take()?),
                counter: u64::from_be_bytes(fields.take()?),
                chain: ChainKey::new(&fields.take()?),
            })
        })();
        session.filter(|_| fields.0.is_empty()).ok_or(Error::Malformed("kept session"))
    }
}

/// Reads fixed-size fields one after another.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
}

impl fmt::Debug for SenderSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SenderSession({:?}, next {})", self.session, self.counter)
    }
}
