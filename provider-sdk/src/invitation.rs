//! Invitations: a ticket for the relay and a link code, bound to one patient of the chart.

use std::{fmt, str::FromStr, time::Duration};

use rand_core::CryptoRng;
use sealcare_protocol::{Invitation, LinkCode, Person, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{ProviderError, Result};
use crate::kept::{self, Kept};
use crate::organization::Organization;
use crate::spaces::INVITATIONS;

/// A ticket's 7 days, and 21 more in which the first session may still be on its way.
const LINK_CODE_LIFETIME: Duration = Duration::from_hours(28 * 24);
/// Bytes of a chart's system, and of an id in it.
const CHART_PART_BYTES_MAX: usize = 256;

/// A patient as the chart names it: an identifier's system and value, written `SYSTEM|ID`.
#[derive(Clone, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ChartPatient {
    system: String,
    id: String,
}

impl ChartPatient {
    /// The identifier's system.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// The identifier's value.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A conditional FHIR reference (R4 §3.1.0.11.3), which needs no knowledge of the chart's own ids.
    pub fn reference(&self) -> String {
        format!("Patient?identifier={}|{}", self.system, self.id)
    }
}

impl FromStr for ChartPatient {
    type Err = ProviderError;

    fn from_str(text: &str) -> Result<Self> {
        let is_part = |part: &str| {
            (1..=CHART_PART_BYTES_MAX).contains(&part.len())
                && !part.chars().any(|c| c.is_whitespace() || c.is_control() || c == '|' || c == '&')
        };
        match text.split_once('|') {
            Some((system, id)) if is_part(system) && is_part(id) => {
                Ok(Self { system: system.to_owned(), id: id.to_owned() })
            }
            _ => Err(ProviderError::ChartPatient),
        }
    }
}

impl fmt::Display for ChartPatient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.system, self.id)
    }
}

impl fmt::Debug for ChartPatient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChartPatient")
    }
}

/// How an invitation reaches the patient, which decides whether staff look before anything is shown.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InvitationChannel {
    /// As a QR code that somebody else may have photographed: the grant starts held.
    Paper,
    /// After the patient signed in at the organization.
    SignIn,
}

/// An invitation that has not been used, under the hash of its link code.
#[derive(Deserialize, Serialize)]
pub(crate) struct InvitationRow {
    pub(crate) patient: ChartPatient,
    pub(crate) name: String,
    pub(crate) birth_date: String,
    pub(crate) channel: InvitationChannel,
    pub(crate) expires: u64,
}

impl Kept for InvitationRow {
    const NAME: &'static str = "invitation";
}

impl Organization {
    /// Invites one patient of the chart, who must turn out to be `person`. The ticket in it lives 7 days. The
    /// link code is kept as a hash only: what is returned cannot be made again.
    ///
    /// # Errors
    /// Those of the vault.
    pub fn invite(
        &self,
        patient: &ChartPatient,
        person: &Person,
        channel: InvitationChannel,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Invitation> {
        let link_code = LinkCode::random(rng);
        let row = InvitationRow {
            patient: patient.clone(),
            name: person.name().to_owned(),
            birth_date: person.birth_date().to_owned(),
            channel,
            expires: now.plus(LINK_CODE_LIFETIME).as_millis(),
        };
        self.vault.write(|tx| kept::put(tx, INVITATIONS, link_code.hash().as_bytes(), &row))?;
        Ok(self.signer().invite(&self.relay, link_code, now, rng))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_patient_has_a_system_and_an_id() {
        let patient: ChartPatient = "https://ehr.example/mrn|12345".parse().unwrap();
        assert_eq!((patient.system(), patient.id()), ("https://ehr.example/mrn", "12345"));
        assert_eq!(patient.reference(), "Patient?identifier=https://ehr.example/mrn|12345");
        assert_eq!(patient.to_string().parse::<ChartPatient>().unwrap(), patient);
        let long = format!("s|{}", "1".repeat(257));
        for bad in ["", "12345", "|1", "s|", "s|1|2", "s|1 2", "s\n|1", "s|1&x=y", &long] {
            assert!(bad.parse::<ChartPatient>().is_err(), "{bad}");
        }
        assert!(!format!("{patient:?}").contains("12345"));
    }
}
