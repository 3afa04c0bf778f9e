//! Which grant a person means: its code, its organization's domain, or (for programs) its id.
//! Not here: what is done with it.

use sealcare_client::{ClientError, GrantStatus};

use crate::error::{Error, Result};

/// The one grant that `text` names. A domain means the grant that is not confirmed as over, if there is one.
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
        .partition(|grant| grant.state.confirmed_at().is_some());
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

#[cfg(test)]
mod tests {
    use super::*;
    use sealcare_client::{GrantState, Timestamp};
    use sealcare_protocol::{AccountSecret, GrantIdentity, OrganizationId};

    fn grant(seed: u8, domain: &str, state: GrantState) -> GrantStatus {
        let account = AccountSecret::from_bytes(&[seed; 32]);
        let (relay, organization) =
            ("https://relay.example:443".parse().unwrap(), OrganizationId::from_bytes([1; 32]));
        let identity = GrantIdentity::derive(&account, &organization, &account.deposit_key(&relay, 0));
        GrantStatus {
            recovery: None,
            grant: identity.id,
            domain: domain.parse().unwrap(),
            organization,
            relay,
            created: Timestamp::from_millis(0),
            state,
            statement: sealcare_client::StatementState::Confirmed,
            types: std::collections::BTreeSet::new(),
            from: None,
            short_code: sealcare_client::ShortCode::derive(&identity.id, &identity.grant_key.public()),
            records_pending: 0,
            records_confirmed: 0,
            records_too_large: 0,
            refusals: std::collections::BTreeMap::new(),
            is_held: false,
            views: Vec::new(),
            heard: None,
            last_deposit: None,
        }
    }

    #[test]
    fn a_grant_has_a_code_an_id_and_a_domain() {
        let revoked = GrantState::Revoked { at: Timestamp::from_millis(1) };
        let grants = [
            grant(1, "a.example", revoked),
            grant(2, "a.example", GrantState::Active),
            grant(3, "b.example", revoked),
        ];
        let code = grants[0].short_code.to_string();
        for (text, expected) in [
            (code.clone(), 0),
            (code.to_lowercase().replace('-', ""), 0),
            (grants[2].grant.to_hex(), 2),
            (" A.example ".to_owned(), 1),
            ("b.example".to_owned(), 2),
        ] {
            assert_eq!(find(&grants, &text).unwrap().grant, grants[expected].grant, "{text}");
        }
    }

    #[test]
    fn an_unclear_or_unknown_name_is_refused() {
        let grants =
            [grant(1, "a.example", GrantState::Active), grant(2, "a.example", GrantState::Unanswered)];
        assert!(matches!(find(&grants, "a.example"), Err(Error::AmbiguousGrant)));
        for unknown in ["", "-", "b.example", "AAAA-AAAA"] {
            let refused = find(&grants, unknown).unwrap_err();
            assert!(matches!(refused, Error::Client(ClientError::UnknownGrant)), "{unknown}");
        }
    }
}
