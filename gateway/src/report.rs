//! What staff are told of grants and of the gateway itself. Not here: records (`records`).

use std::collections::BTreeMap;

use sealcare_provider::{Alarm, Grant, GrantId, GrantStatus, LinkState, Timestamp};
use serde::{Deserialize, Serialize};

use crate::desk::Desk;
use crate::error::Result;
use crate::handle::GrantHandle;
use crate::view;

/// A grant that staff must look at. Names a patient: for staff's eyes, never for logs.
#[derive(Deserialize, Serialize)]
pub(crate) struct HeldGrant {
    /// To name it on a command line.
    pub(crate) grant: String,
    /// The raw id, printed with `--json` only.
    pub(crate) grant_id: String,
    /// To compare with the patient's screen.
    pub(crate) short_code: String,
    /// Why: `paper`, `person-mismatch`.
    pub(crate) held: Vec<String>,
    /// The chart's patient, `SYSTEM|ID`.
    pub(crate) patient: String,
    /// As the patient says.
    pub(crate) name: String,
    /// As the patient says, `YYYY-MM-DD`.
    pub(crate) birth_date: String,
    /// Milliseconds since 1970.
    pub(crate) since_ms: u64,
}

/// A grant's state, for status: nobody is named.
#[derive(Deserialize, Serialize)]
pub(crate) struct GrantReport {
    /// To name it on a command line.
    pub(crate) grant: String,
    /// The raw id, printed with `--json` only.
    pub(crate) grant_id: String,
    /// None once it is over: the key that it is derived from is destroyed.
    pub(crate) short_code: Option<String>,
    /// `open`, `paused`, `held`, `lapsed` (hidden until it is heard of again), `revoked`, `rejected` or `silent`
    /// (over after 90 days of silence).
    pub(crate) state: String,
    /// Why it is held.
    pub(crate) held: Vec<String>,
    /// Names of the types that are shared.
    pub(crate) types: Vec<String>,
    /// Records before are not shared, milliseconds since 1970; none without such a limit.
    pub(crate) from_ms: Option<u64>,
    /// Records in the view.
    pub(crate) records: u64,
    /// Records in the view by the name of their type.
    pub(crate) by_type: BTreeMap<String, u64>,
    /// When it began, or ended if it is over, milliseconds since 1970.
    pub(crate) since_ms: u64,
    /// When something was last accepted, milliseconds since 1970; none once it is over.
    pub(crate) heard_ms: Option<u64>,
    /// Until when it is shown without another session, milliseconds since 1970; none once it is over.
    pub(crate) lease_until_ms: Option<u64>,
}

/// Something that somebody must see to.
#[derive(Deserialize, Serialize)]
pub(crate) struct AlarmReport {
    /// For programs.
    pub(crate) alarm: String,
    /// For people.
    pub(crate) meaning: String,
}

/// How the gateway stands.
#[derive(Deserialize, Serialize)]
pub(crate) struct Status {
    /// The organization's id, printed with `--json` only.
    pub(crate) organization_id: String,
    /// Where its bundle is served.
    pub(crate) domain: String,
    /// Where patients deposit.
    pub(crate) relay: String,
    /// `stopped`, `connecting`, `catching-up` or `live`.
    pub(crate) link: String,
    /// The bundle's serial.
    pub(crate) bundle_serial: u64,
    /// Milliseconds since 1970.
    pub(crate) bundle_expires_ms: u64,
    /// Whether the relay has it.
    pub(crate) bundle_is_published: bool,
    /// Until when the gateway has keys that the root signed for, milliseconds since 1970.
    pub(crate) keys_until_ms: u64,
    /// What somebody must see to; the exit status is 2 while there is any.
    pub(crate) alarms: Vec<AlarmReport>,
    /// Grants that a restored gateway knows of, and hides until their patients' next sessions.
    pub(crate) awaited: u64,
    /// Records in the view, of all grants.
    pub(crate) records: u64,
    /// By the grants' ids.
    pub(crate) grants: Vec<GrantReport>,
    /// Refusals by name since `serve` started; none while it does not run.
    pub(crate) refused_by: BTreeMap<String, u64>,
    /// Refusals by name since the organization was founded.
    pub(crate) refused_ever_by: BTreeMap<String, u64>,
}

/// The grants that staff must look at.
///
/// # Errors
/// Those of the vault.
pub(crate) fn held(desk: &Desk) -> Result<Vec<HeldGrant>> {
    let held = desk.grants()?.into_iter().filter(|grant| grant.status == GrantStatus::Held);
    Ok(held.map(|grant| held_grant(&grant)).collect())
}

/// How the gateway stands.
///
/// # Errors
/// Those of the vault.
pub(crate) fn status(desk: &Desk) -> Result<Status> {
    let organization = desk.organization();
    let refused_ever_by = organization.refusals()?;
    let mut grants = Vec::new();
    for grant in desk.grants()? {
        // In the writer's turn, which a destruction does not share.
        let by_type = organization.vault().write(|tx| view::count_by_type(tx, &grant.id))?;
        grants.push(open_grant(&grant, by_type));
    }
    let ended = organization.vault().read(view::ended)?;
    grants.extend(ended.iter().map(|(grant, ended)| ended_grant(grant, ended)));
    let bundle = organization.bundle();
    Ok(Status {
        organization_id: organization.id().to_hex(),
        domain: organization.domain().as_str().to_owned(),
        relay: organization.relay().as_str().to_owned(),
        link: link(desk).to_owned(),
        bundle_serial: bundle.serial(),
        bundle_expires_ms: bundle.expires().as_millis(),
        bundle_is_published: organization.is_published()?,
        keys_until_ms: organization.keys_end()?.as_millis(),
        alarms: organization.alarms(desk.now())?.into_iter().map(alarm_report).collect(),
        awaited: organization.awaited()?,
        records: grants.iter().map(|grant| grant.records).sum(),
        grants,
        refused_by: desk
            .running()
            .map_or_else(BTreeMap::new, |running| increase(&refused_ever_by, &running.refused_before)),
        refused_ever_by,
    })
}

fn alarm_report(alarm: Alarm) -> AlarmReport {
    AlarmReport { alarm: alarm.name().to_owned(), meaning: alarm.meaning().to_owned() }
}

/// What was counted since, without what was not.
fn increase(now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let since = |(name, count): (&String, &u64)| {
        let more = count.saturating_sub(before.get(name).copied().unwrap_or_default());
        (more > 0).then(|| (name.clone(), more))
    };
    now.iter().filter_map(since).collect()
}

fn link(desk: &Desk) -> &'static str {
    let Some(running) = desk.running() else { return "stopped" };
    match *running.link.borrow() {
        LinkState::Connecting => "connecting",
        LinkState::CatchingUp => "catching-up",
        LinkState::Live => "live",
    }
}

fn held_grant(grant: &Grant) -> HeldGrant {
    HeldGrant {
        grant: GrantHandle::of(&grant.id).to_string(),
        grant_id: grant.id.to_hex(),
        short_code: grant.short_code.to_string(),
        held: reasons(grant),
        patient: grant.patient.to_string(),
        name: grant.person.name().to_owned(),
        birth_date: grant.person.birth_date().to_owned(),
        since_ms: grant.since.as_millis(),
    }
}

fn reasons(grant: &Grant) -> Vec<String> {
    grant.held.iter().map(|reason| reason.name().to_owned()).collect()
}

fn open_grant(grant: &Grant, by_type: BTreeMap<String, u64>) -> GrantReport {
    let state = match grant.status {
        GrantStatus::Active => "open",
        other => other.name(),
    };
    GrantReport {
        grant: GrantHandle::of(&grant.id).to_string(),
        grant_id: grant.id.to_hex(),
        short_code: Some(grant.short_code.to_string()),
        state: state.to_owned(),
        held: reasons(grant),
        types: grant.scope.types.iter().map(|name| name.as_str().to_owned()).collect(),
        from_ms: grant.scope.from.map(Timestamp::as_millis),
        records: by_type.values().sum(),
        by_type,
        since_ms: grant.since.as_millis(),
        heard_ms: Some(grant.heard.as_millis()),
        lease_until_ms: Some(grant.lease_until.as_millis()),
    }
}

fn ended_grant(grant: &GrantId, ended: &view::Ended) -> GrantReport {
    GrantReport {
        grant: GrantHandle::of(grant).to_string(),
        grant_id: grant.to_hex(),
        short_code: None,
        state: ended.cause.name().to_owned(),
        held: Vec::new(),
        types: Vec::new(),
        from_ms: None,
        records: 0,
        by_type: BTreeMap::new(),
        since_ms: ended.at,
        heard_ms: None,
        lease_until_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_refused_since_the_start_is_told() {
        let counts = |pairs: &[(&str, u64)]| {
            pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<BTreeMap<_, _>>()
        };
        let before = counts(&[("data-open", 2), ("data-out-of-scope", 1)]);
        let now = counts(&[("data-open", 3), ("data-out-of-scope", 1), ("init-open", 4)]);
        assert_eq!(increase(&now, &before), counts(&[("data-open", 1), ("init-open", 4)]));
    }
}
