//! What each sender of a grant is told: numbers, refusals, and the sealed reply that carries them.

use std::collections::HashSet;

use rand_core::CryptoRng;
use sealcare_protocol::{
    GrantId, Refusal, RefusalReason, Reply, ReplyKey, SenderId, SessionId, Timestamp, UnverifiedTerms,
};
use sealcare_vault::{KeyRange, ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{ProviderError, Result};
use crate::grant::StatementRow;
use crate::inbox::queue::{self, KeptEvent};
use crate::kept::{self, Kept};
use crate::organization::Organization;
use crate::spaces::{COUNTERS, REPLIES_DUE, SENDERS, SESSIONS, grant_wrapping_key, sender_key, session_key};

/// Refused numbers that are remembered of a sender: as many as a reply carries.
const REFUSALS_MAX: usize = 64;
/// Senders of a grant that are remembered; the longest silent one is forgotten for the next.
const SENDERS_MAX: usize = 64;
const VERSION: &[u8] = b"next reply version";

/// What is known of one installation of a patient's app.
#[derive(Deserialize, Serialize)]
pub(crate) struct SenderRow {
    pub(crate) next_sequence: u64,
    /// Its newest accepted session, open or not: replies go there.
    #[serde(with = "kept::hex")]
    session: [u8; 16],
    #[serde(with = "kept::hex")]
    reply_key: Zeroizing<Vec<u8>>,
    /// Of the last reply.
    reply_counter: u64,
    pub(crate) must_resync: bool,
    refusals: Vec<KeptRefusal>,
    heard: u64,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
struct KeptRefusal {
    sequence: u64,
    reason: KeptReason,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum KeptReason {
    Malformed,
    OutOfScope,
    Paused,
}

impl Kept for SenderRow {
    const NAME: &'static str = "sender";
}

/// A reply on its way to the relay, and which state of the sender it tells.
#[derive(Debug)]
pub(crate) struct DueReply {
    pub(crate) grant: GrantId,
    pub(crate) envelope: bytes::Bytes,
    pub(crate) key: Vec<u8>,
    version: u64,
}

impl SenderRow {
    pub(crate) fn new(reply_key: &ReplyKey, next_sequence: u64, now: Timestamp) -> Self {
        Self {
            next_sequence,
            session: *reply_key.session().as_bytes(),
            reply_key: reply_key.to_kept(),
            reply_counter: 0,
            must_resync: false,
            refusals: Vec::new(),
            heard: now.as_millis(),
        }
    }

    /// Answers on another session from now on.
    pub(crate) fn move_to(&mut self, reply_key: &ReplyKey, now: Timestamp) {
        self.session = *reply_key.session().as_bytes();
        self.reply_key = reply_key.to_kept();
        self.heard = now.as_millis();
    }

    pub(crate) fn session(&self) -> SessionId {
        SessionId::from_bytes(self.session)
    }

    /// Asks the sender to send everything again; to be stored.
    pub(crate) fn ask_for_everything(
        &mut self,
        tx: &mut WriteTransaction<'_>,
        grant: &GrantId,
        now: Timestamp,
    ) -> Result<()> {
        self.must_resync = true;
        queue::put(tx, grant, now, &KeptEvent::Resync)
    }

    pub(crate) fn refuse(&mut self, sequence: u64, reason: RefusalReason) {
        let reason = match reason {
            RefusalReason::OutOfScope => KeptReason::OutOfScope,
            RefusalReason::Paused => KeptReason::Paused,
            RefusalReason::Malformed | RefusalReason::Unknown => KeptReason::Malformed,
        };
        self.refusals.push(KeptRefusal { sequence, reason });
        let surplus = self.refusals.len().saturating_sub(REFUSALS_MAX);
        self.refusals.drain(..surplus);
    }

    pub(crate) fn load(tx: &ReadTransaction<'_>, grant: &GrantId, sender: &SenderId) -> Result<Option<Self>> {
        kept::get(tx, SENDERS, &sender_key(grant, sender))
    }

    /// Stores what is known, and that the sender is to be told.
    pub(crate) fn store(
        &self,
        tx: &mut WriteTransaction<'_>,
        grant: &GrantId,
        sender: &SenderId,
    ) -> Result<()> {
        let key = sender_key(grant, sender);
        kept::put_wrapped(tx, &grant_wrapping_key(grant), SENDERS, &key, self)?;
        mark_due(tx, &key)
    }

    /// Without a statement, as in a restored vault that heard of a recovered device only, it says so.
    fn reply(&self, sender: SenderId, statement: Option<&StatementRow>) -> Result<Reply> {
        let refusal = |kept: &KeptRefusal| Refusal {
            sequence: kept.sequence,
            reason: match kept.reason {
                KeptReason::Malformed => RefusalReason::Malformed,
                KeptReason::OutOfScope => RefusalReason::OutOfScope,
                KeptReason::Paused => RefusalReason::Paused,
            },
        };
        let said = statement.map(StatementRow::statement).transpose()?;
        Ok(Reply {
            sender,
            next_sequence: self.next_sequence,
            refusals: self.refusals.iter().map(refusal).collect(),
            stored_revision: said.as_ref().map_or(0, |said| said.revision),
            stored: said.as_ref().map(UnverifiedTerms::of),
            resync: self.must_resync,
            views: Vec::new(),
            held: statement.is_some_and(|row| !row.held.is_empty()),
        })
    }
}

/// Forgets the longest silent sender if one more would be too many.
pub(crate) fn make_room(tx: &mut WriteTransaction<'_>, grant: &GrantId) -> Result<()> {
    let rows = tx.scan(SENDERS, &KeyRange::prefix(grant.as_bytes()), usize::MAX)?;
    if rows.len() < SENDERS_MAX {
        return Ok(());
    }
    let heard = |row: &[u8]| SenderRow::decode(row).map_or(0, |row| row.heard);
    if let Some((key, row)) = rows.iter().min_by_key(|(_, row)| heard(row)) {
        tx.delete(SESSIONS, &session_key(grant, &SenderRow::decode(row)?.session()))?;
        tx.delete(SENDERS, key)?;
        tx.delete(REPLIES_DUE, key)?;
    }
    Ok(())
}

/// Every sender of the grant is to send everything again.
pub(crate) fn ask_again(tx: &mut WriteTransaction<'_>, grant: &GrantId, now: Timestamp) -> Result<()> {
    queue::put(tx, grant, now, &KeptEvent::Resync)?;
    for (key, row) in tx.scan(SENDERS, &KeyRange::prefix(grant.as_bytes()), usize::MAX)? {
        let mut row = SenderRow::decode(&row)?;
        row.must_resync = true;
        kept::put_wrapped(tx, &grant_wrapping_key(grant), SENDERS, &key, &row)?;
        mark_due(tx, &key)?;
    }
    Ok(())
}

/// Every sender of the grant is to be told anew.
pub(crate) fn mark_all_due(tx: &mut WriteTransaction<'_>, grant: &GrantId) -> Result<()> {
    for (key, _) in tx.scan(SENDERS, &KeyRange::prefix(grant.as_bytes()), usize::MAX)? {
        mark_due(tx, &key)?;
    }
    Ok(())
}

fn mark_due(tx: &mut WriteTransaction<'_>, key: &[u8]) -> Result<()> {
    let version = kept::count_up(tx, COUNTERS, VERSION)?;
    Ok(tx.put(REPLIES_DUE, key, &version.to_be_bytes())?)
}

impl Organization {
    /// Seals replies that are due, each under a counter that is durable before it leaves: those of the next
    /// `limit` keys behind `after`, but for the `waiting`. Says behind which key to go on, if there may be more.
    pub(crate) fn seal_replies(
        &self,
        after: Option<&[u8]>,
        limit: usize,
        waiting: &HashSet<Vec<u8>>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<DueReply>, Option<Vec<u8>>)> {
        if self.vault.read(|tx| tx.count(REPLIES_DUE, &KeyRange::all()))? == 0 {
            return Ok((Vec::new(), None));
        }
        self.vault.write(|tx| {
            let mut sealed = Vec::new();
            let range = after.map_or(KeyRange::all(), |key| KeyRange::all().after(key));
            let due = tx.scan(REPLIES_DUE, &range, limit)?;
            let last = due.last().filter(|_| due.len() >= limit).map(|(key, _)| key.clone());
            for (key, version) in due {
                if waiting.contains(&key) {
                    continue;
                }
                match seal(tx, &key, now, rng)? {
                    Some((grant, envelope)) => {
                        let version = kept::number(&version)?;
                        sealed.push(DueReply { grant, envelope: envelope.into(), key, version });
                    }
                    None => drop(tx.delete(REPLIES_DUE, &key)?),
                }
            }
            Ok((sealed, last))
        })
    }

    /// The relay has this reply; what happened since is still due.
    pub(crate) fn mark_replied(&self, reply: &DueReply) -> Result<()> {
        self.vault.write(|tx| {
            let due = tx.get(REPLIES_DUE, &reply.key)?.map_or(Ok(None), |v| kept::number(&v).map(Some))?;
            if due == Some(reply.version) {
                tx.delete(REPLIES_DUE, &reply.key)?;
            }
            Ok(())
        })
    }
}

/// `None` for a sender that is gone.
fn seal(
    tx: &mut WriteTransaction<'_>,
    key: &[u8],
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<Option<(GrantId, Vec<u8>)>> {
    let (grant, sender) = key.split_at_checked(GrantId::SIZE).ok_or(ProviderError::Damaged("due reply"))?;
    let (grant, sender) = (GrantId::from_slice(grant)?, SenderId::from_slice(sender)?);
    let Some(mut row) = SenderRow::load(tx, &grant, &sender)? else { return Ok(None) };
    let statement = StatementRow::load(tx, &grant)?;
    let reply = row.reply(sender, statement.as_ref())?;
    let reply_key = ReplyKey::from_kept(&row.reply_key)?;
    let (envelope, counter) = reply_key.seal(&reply, row.reply_counter, now, rng);
    row.reply_counter = counter;
    kept::put_wrapped(tx, &grant_wrapping_key(&grant), SENDERS, key, &row)?;
    Ok(Some((grant, envelope)))
}
