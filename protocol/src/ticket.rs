//! The part of an invitation that a relay sees, and spends once.

use std::{fmt, time::Duration};

use bytes::Bytes;
use prost::Message as _;
use rand_core::CryptoRng;
use sealcare_proto::v1 as wire;

use crate::{
    address::RelayOrigin,
    delegation::{Authority, Delegation},
    error::{Error, Result},
    ids::{OrganizationId, TicketId},
    keys::GatewayKey,
    time::Timestamp,
    transcript::Label,
};

/// A ticket lives at most 7 days.
const LIFETIME_MAX: Duration = Duration::from_hours(168);

/// What the relay holds for a grant at most.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TicketLimits {
    /// Undelivered ciphertext, bytes.
    pub stored_bytes_max: u64,
}

impl Default for TicketLimits {
    /// 256 MiB: years of samples in full bodies.
    fn default() -> Self {
        Self { stored_bytes_max: 256 * 1024 * 1024 }
    }
}

/// What a gateway signs.
#[derive(Clone, Debug)]
pub struct TicketDraft<'a> {
    /// The relay that will spend it.
    pub relay: &'a RelayOrigin,
    /// What the grant may hold there.
    pub limits: TicketLimits,
}

impl TicketDraft<'_> {
    /// Signs a ticket that lives 7 days.
    pub fn sign(
        &self,
        organization: &OrganizationId,
        delegation: &Delegation,
        key: &GatewayKey,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> wire::Signed {
        let payload = wire::Ticket {
            organization_id: Bytes::copy_from_slice(organization.as_bytes()),
            relay_origin: self.relay.as_str().to_owned(),
            ticket_id: Bytes::copy_from_slice(TicketId::random(rng).as_bytes()),
            expires_ms: now.plus(LIFETIME_MAX).as_millis(),
            limits: Some(wire::TicketLimits { stored_bytes_max: self.limits.stored_bytes_max }),
            delegation: Some(delegation.signed().clone()),
        };
        let payload = Bytes::from(payload.encode_to_vec());
        let signature = Bytes::copy_from_slice(&key.sign(Label::Ticket, &[&payload]));
        wire::Signed { payload, signature }
    }
}

/// A ticket as it came.
#[derive(Clone)]
pub struct UnverifiedTicket {
    signed: wire::Signed,
    fields: wire::Ticket,
    organization: OrganizationId,
}

impl fmt::Debug for UnverifiedTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnverifiedTicket({:?})", self.organization)
    }
}

impl UnverifiedTicket {
    /// From the wire.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn new(signed: wire::Signed) -> Result<Self> {
        let fields = wire::Ticket::decode(signed.payload.clone()).map_err(|_| Error::Malformed("ticket"))?;
        let organization = OrganizationId::from_slice(&fields.organization_id)?;
        Ok(Self { signed, fields, organization })
    }

    /// Whose it claims to be: to look up its authority.
    pub fn organization(&self) -> &OrganizationId {
        &self.organization
    }

    /// Checks organization, relay, delegation, signature and lifetime.
    ///
    /// # Errors
    /// One of [`Error`]'s names; [`Error::Expired`] for a ticket that was good once.
    pub fn verify(self, authority: &Authority, relay: &RelayOrigin, now: Timestamp) -> Result<Ticket> {
        if self.organization != *authority.organization() {
            return Err(Error::WrongOrganization);
        }
        let delegation = authority.delegation_at(self.fields.delegation.as_ref(), now)?;
        delegation.gateway_key().verify(
            Label::Ticket,
            &[&self.signed.payload],
            &self.signed.signature,
            "ticket",
        )?;
        if self.fields.relay_origin != relay.as_str() {
            return Err(Error::WrongRelay);
        }
        let expires = Timestamp::from_millis(self.fields.expires_ms);
        if now >= expires {
            return Err(Error::Expired("ticket"));
        }
        if expires.since(now) > LIFETIME_MAX + Duration::from_hours(24) {
            return Err(Error::Lifetime("ticket"));
        }
        let limits = self.fields.limits.ok_or(Error::Malformed("ticket"))?;
        Ok(Ticket {
            id: TicketId::from_slice(&self.fields.ticket_id)?,
            organization: self.organization,
            expires,
            limits: TicketLimits { stored_bytes_max: limits.stored_bytes_max },
        })
    }
}

/// A verified ticket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ticket {
    /// Spent once.
    pub id: TicketId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// Until when it can be spent.
    pub expires: Timestamp,
    /// What the grant may hold.
    pub limits: TicketLimits,
}
