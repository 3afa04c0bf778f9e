//! Which grant a person means: its code, its organization's domain, or (for programs) its id.
//! Not here: what is done with it.

use sealcare_client::{ClientError, GrantState, GrantStatus};

use crate::error::{Error, Result};

/// The one grant that `text` names. A domain means the grant that is not confirmed as stopped, if there is one.
///
/// # Errors
/// [`ClientError::UnknownGrant`], [`Error::AmbiguousGrant`].
pub(crate) fn find<'g>(grants: &'g [GrantStatus], text: &str) -> Result<&'g GrantStatus> {
    let text = text.trim();
    if let Some(grant) = grants.iter().find(|grant| is_code_or_id(grant, text)) {
        return Ok(grant);
    }
    let (stopped, open): (Vec<_>, Vec<_>) = grants
        .iter()
        .filter(|grant| grant.domain.as_str() == text.to_lowercase())
        .partition(|grant| matches!(grant.state, GrantState::Revoked { .. }));
    match (open.as_slice(), stopped.as_slice()) {
        ([grant], _) | ([], [grant]) => Ok(grant),
        ([], []) => Err(ClientError::UnknownGrant.into()),
        _ => Err(Error::AmbiguousGrant),
    }
}

fn is_code_or_id(grant: &GrantStatus, text: &str) -> bool {
    let plain = |text: &str| text.replace('-', "").to_uppercase();
    plain(&grant.short_code.to_string()) == plain(text) || grant.grant.to_hex() == text
}
