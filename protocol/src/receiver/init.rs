//! Session inits: from an unknown sender's bytes to a session that the organization has checked.

use std::time::Duration;

use crate::{
    chain::ChainKey,
    envelope::{EnvelopeHeader, INIT_BYTES, INIT_HEADER_BYTES, InitHeader},
    epoch::EpochKey,
    error::InitRefusal,
    hpke::{self, ENC_BYTES, Exports, OpenFailure},
    ids::{BundleHash, GrantId, KeyId, OrganizationId, SenderId, SessionId},
    init::{self, InitFields},
    invitation::LinkCodeHash,
    keys::GrantPublicKey,
    receiver::data::ReceiverSession,
    reply::ReplyKey,
    statement::Statement,
    time::Timestamp,
    transcript::Label,
};

/// A lease is at most this long after the receiver's clock.
const LEASE_MAX: Duration = Duration::from_hours(720);
/// A statement's revision is at most this far ahead of the receiver's clock.
const REVISION_AHEAD_MAX: Duration = Duration::from_hours(24);

/// What became of an epoch key.
#[derive(Debug)]
pub enum EpochLookup {
    /// It opens.
    Known(EpochKey),
    /// It was the organization's and is destroyed.
    Destroyed,
    /// It never was the organization's.
    Unknown,
}

/// What the organization holds of a grant.
#[derive(Clone, Copy, Debug)]
pub struct KnownGrant {
    /// Who signs its inits.
    pub grant_key: GrantPublicKey,
    /// The revision of the statement that stands; 0 if none is kept, as after a restore.
    pub revision: u64,
}

/// An invitation whose link code has not been used.
#[derive(Clone, Copy, Debug)]
pub struct OpenInvitation {
    /// Until when it may be.
    pub expires: Timestamp,
}

/// A consistent view of the organization's state, as of one transaction.
pub trait ReceiverState {
    /// The store's failure; it is never a refusal.
    type Error;

    /// Whether a session of this id was ever accepted.
    ///
    /// # Errors
    /// The store's.
    fn is_session_known(&self, session: &SessionId) -> Result<bool, Self::Error>;
    /// The epoch key with this id.
    ///
    /// # Errors
    /// The store's.
    fn epoch(&self, key: &KeyId) -> Result<EpochLookup, Self::Error>;
    /// Whether the grant was revoked.
    ///
    /// # Errors
    /// The store's.
    fn is_revoked(&self, grant: &GrantId) -> Result<bool, Self::Error>;
    /// The grant, if it is known.
    ///
    /// # Errors
    /// The store's.
    fn grant(&self, grant: &GrantId) -> Result<Option<KnownGrant>, Self::Error>;
    /// The invitation that a link code opens.
    ///
    /// # Errors
    /// The store's.
    fn invitation(&self, code: &LinkCodeHash) -> Result<Option<OpenInvitation>, Self::Error>;
    /// The next number of a sender of a grant; `None` for a new sender.
    ///
    /// # Errors
    /// The store's.
    fn next_sequence(&self, grant: &GrantId, sender: &SenderId) -> Result<Option<u64>, Self::Error>;
}

/// Which statement stands after an init.
#[derive(Debug)]
pub enum StatementDecision {
    /// The one that came.
    Adopt(Box<Statement>),
    /// The stored one: what came is no newer, or impossibly new. The reply carries it.
    KeepStored,
}

/// How a session's base fits what was received of its sender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BaseDecision {
    /// It goes on where the last one stopped, or begins at 0.
    Continues,
    /// Numbers below `next` come again and are not delivered again.
    Repeats,
    /// Numbers are missing: an event, and the reply asks for everything again.
    Gap,
}

/// A checked init. Commit all of it, or nothing.
#[derive(Debug)]
pub struct AcceptedInit {
    /// Its grant.
    pub grant: GrantId,
    /// Its sender, whose earlier sessions close.
    pub sender: SenderId,
    /// Who signs for the grant.
    pub grant_key: GrantPublicKey,
    /// The session, with its capped lease.
    pub session: ReceiverSession,
    /// For replies to it.
    pub reply_key: ReplyKey,
    /// Which statement stands.
    pub statement: StatementDecision,
    /// How its numbers fit.
    pub base: BaseDecision,
    /// The link code to spend in the same commit: present for a new grant only.
    pub link_code: Option<LinkCodeHash>,
    /// The bundle that the sender used: unknown is an event, never a refusal.
    pub bundle: BundleHash,
    /// When the sender made it, by its clock.
    pub created: Timestamp,
}

/// Checks an init that the relay delivered for `grant`.
///
/// # Errors
/// Outer: the store's. Inner: the [`InitRefusal`]; nothing is to be recorded then, the session id included.
pub fn receive_init<S: ReceiverState>(
    state: &S,
    organization: &OrganizationId,
    grant: &GrantId,
    envelope: &[u8],
    now: Timestamp,
) -> Result<Result<AcceptedInit, InitRefusal>, S::Error> {
    let header = match parse(envelope) {
        Ok(header) => header,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if state.is_session_known(&header.session)? {
        return Ok(Err(InitRefusal::Duplicate));
    }
    let key = match state.epoch(&header.key)? {
        EpochLookup::Known(key) => key,
        EpochLookup::Destroyed => return Ok(Err(InitRefusal::DestroyedKey)),
        EpochLookup::Unknown => return Ok(Err(InitRefusal::UnknownKey)),
    };
    let opened = match open(organization, grant, header, &key, envelope) {
        Ok(opened) => opened,
        Err(refusal) => return Ok(Err(refusal)),
    };
    admit(state, grant, header, opened, now)
}

fn parse(envelope: &[u8]) -> Result<InitHeader, InitRefusal> {
    if envelope.len() != INIT_BYTES {
        return Err(InitRefusal::Size);
    }
    match EnvelopeHeader::parse(envelope) {
        Some(EnvelopeHeader::Init(header)) => Ok(header),
        _ => Err(InitRefusal::Version),
    }
}

struct Opened {
    fields: InitFields,
    exports: Exports,
}

/// Low order → open → fields and binding → signature.
fn open(
    organization: &OrganizationId,
    grant: &GrantId,
    header: InitHeader,
    key: &EpochKey,
    envelope: &[u8],
) -> Result<Opened, InitRefusal> {
    let (clear, rest) = envelope.split_at(INIT_HEADER_BYTES);
    let (enc, ciphertext) = rest.split_at(ENC_BYTES);
    let info = hpke::info(organization, &key.public(), grant, &header.session);
    let (plain, exports) =
        hpke::open(key, enc, &info, ciphertext, clear).map_err(|failure| match failure {
            OpenFailure::LowOrder => InitRefusal::LowOrder,
            OpenFailure::Sealed => InitRefusal::Open,
        })?;
    let (bytes, signature) = init::split(&plain).ok_or(InitRefusal::Fields)?;
    let fields = InitFields::decode(bytes).map_err(|_| InitRefusal::Fields)?;
    if GrantId::derive(organization, &fields.statement.deposit_key) != *grant {
        return Err(InitRefusal::Binding);
    }
    let transcript = init::transcript(clear, enc, &info, bytes, &exports.auth);
    fields
        .statement
        .grant_key
        .verify(Label::Init, &[&transcript], signature, "init")
        .map_err(|_| InitRefusal::Signature)?;
    Ok(Opened { fields, exports })
}

/// Revoked → keys or link code → revision → lease → base.
fn admit<S: ReceiverState>(
    state: &S,
    grant: &GrantId,
    header: InitHeader,
    opened: Opened,
    now: Timestamp,
) -> Result<Result<AcceptedInit, InitRefusal>, S::Error> {
    let Opened { fields, exports } = opened;
    if state.is_revoked(grant)? {
        return Ok(Err(InitRefusal::Revoked));
    }
    let grant_key = fields.statement.grant_key;
    let known = state.grant(grant)?;
    let link_code = match known {
        Some(known) if known.grant_key != grant_key => return Ok(Err(InitRefusal::KeyMismatch)),
        Some(_) => None,
        None => match open_invitation(state, &fields.statement, now)? {
            Some(code) => Some(code),
            None => return Ok(Err(InitRefusal::LinkCode)),
        },
    };
    if fields.lease_until <= now {
        return Ok(Err(InitRefusal::Lease));
    }
    let next = state.next_sequence(grant, &fields.sender)?;
    let session = ReceiverSession::new(
        header.session,
        *grant,
        fields.sender,
        fields.base,
        fields.lease_until.min(now.plus(LEASE_MAX)),
        ChainKey::new(&exports.chain),
    );
    Ok(Ok(AcceptedInit {
        grant: *grant,
        sender: fields.sender,
        grant_key,
        session,
        reply_key: ReplyKey::new(header.session, *grant, &exports.reply),
        base: base_decision(fields.base, next.unwrap_or(0)),
        statement: decide_statement(fields.statement, known, now),
        link_code,
        bundle: fields.bundle,
        created: fields.created,
    }))
}

fn open_invitation<S: ReceiverState>(
    state: &S,
    statement: &Statement,
    now: Timestamp,
) -> Result<Option<LinkCodeHash>, S::Error> {
    let Some(code) = statement.link_code.as_ref().map(crate::invitation::LinkCode::hash) else {
        return Ok(None);
    };
    Ok(state.invitation(&code)?.filter(|open| now < open.expires).map(|_| code))
}

fn decide_statement(mut came: Statement, known: Option<KnownGrant>, now: Timestamp) -> StatementDecision {
    let latest = now.plus(REVISION_AHEAD_MAX).as_millis();
    match known {
        // A recovered device does not know what was chosen: it says nothing and learns what stands.
        Some(_) if came.revision == 0 => StatementDecision::KeepStored,
        None | Some(KnownGrant { revision: 0, .. }) => {
            // The first statement stands whatever the sender's clock says, and leaves room for later ones. The mark
            // is of another revision then: the sender brings both again once its time has come.
            if came.revision > latest {
                (came.revision, came.mark) = (latest, None);
            }
            StatementDecision::Adopt(Box::new(came))
        }
        Some(known) if came.revision > known.revision && came.revision <= latest => {
            StatementDecision::Adopt(Box::new(came))
        }
        Some(_) => StatementDecision::KeepStored,
    }
}

fn base_decision(base: u64, next: u64) -> BaseDecision {
    match base.cmp(&next) {
        std::cmp::Ordering::Equal => BaseDecision::Continues,
        std::cmp::Ordering::Less => BaseDecision::Repeats,
        std::cmp::Ordering::Greater => BaseDecision::Gap,
    }
}
