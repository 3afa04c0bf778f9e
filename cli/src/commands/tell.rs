//! After a choice about one grant: its organization is told at once, with what follows from it. Not here: the choice
//! (`scope`, `pause`), passes over all grants (`share`).

use std::fmt;

use sealcare_client::{GrantId, PassOutcome, Patient, ShareProgress};

use crate::{context::Context, error::Result, progress::Meter, request};

/// Shares with the grant. The choice is kept whatever becomes of this, and `share` repeats it; what other commands
/// ask for meanwhile is carried out in the middle of it.
pub(super) async fn tell(context: &Context, patient: &Patient, grant: GrantId) -> Result<PassOutcome> {
    let meter = Meter::of_work("telling the organization", context.output);
    let on_progress = |progress: ShareProgress| {
        meter.say(format!("sharing: {} of {}", progress.bodies_deposited, progress.bodies_total));
    };
    request::heed(context, patient, patient.share_with(grant, &on_progress)).await
}

/// How far the word of a choice has come, for people.
pub(super) fn write_told(f: &mut fmt::Formatter<'_>, is_told: Told) -> fmt::Result {
    match is_told {
        Told::Yes => {
            writeln!(f, "The relay has your word for it; `sealcare status` shows when it was taken.")
        }
        Told::NotYet => writeln!(f, "It was not told yet: run `sealcare share`."),
    }
}

/// Whether a choice is with the relay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Told {
    Yes,
    NotYet,
}

impl serde::Serialize for Told {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*self == Self::Yes)
    }
}

impl Told {
    pub(super) fn by(outcome: &Result<PassOutcome>) -> Self {
        if outcome.is_ok() { Self::Yes } else { Self::NotYet }
    }
}
