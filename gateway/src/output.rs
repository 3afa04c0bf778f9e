//! How answers are printed, for people and for programs.

use std::fmt::Write as _;

use serde_json::json;
use zeroize::Zeroizing;

use crate::backup::{BackedUp, Restored};
use crate::desk::Answer;
use crate::founding::Founded;

use crate::report::{AlarmReport, GrantReport, HeldGrant, Status};
use crate::rotation::Rotated;

/// How answers are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs: one object on one line.
    Json,
}

/// An answer as it is printed, without a line end after it; empty for nothing.
pub(crate) fn render(answer: &Answer, output: Output) -> Zeroizing<String> {
    Zeroizing::new(match output {
        Output::Text => text(answer),
        Output::Json => json(answer),
    })
}

/// What was founded, and what comes next.
pub(crate) fn founded(founded: &Founded, output: Output) -> String {
    if output == Output::Json {
        return json!(founded).to_string();
    }
    format!(
        "founded for {domain}\n\
         roots:  {roots}  take this file offline; nobody can replace it\n\
         secret: {key}  keep it apart from backups of the data folder\n\
         next:   `sealcare-gateway serve`, then `sealcare-gateway register`",
        domain = founded.domain,
        roots = founded.root_file,
        key = founded.key_file,
    )
}

/// What was rotated, and what comes next.
pub(crate) fn rotated(rotated: &Rotated, output: Output) -> String {
    if output == Output::Json {
        return json!(rotated).to_string();
    }
    let mut text = String::from("the epoch keys are replaced");
    if rotated.keys_until_ms.is_some() {
        text.push_str("\nthe gateway has new keys, signed for three years; take the root file offline again");
    }
    if rotated.is_disowned {
        text.push_str(
            "\nwhat the old keys signed is refused from now on: make invitations that are out again",
        );
    }
    if let Some(file) = &rotated.root_file {
        let _ = write!(text, "\nroots:  {file}  take this file offline, and destroy the old one");
    }
    text
}

/// Where the backup is, and what it is worth.
pub(crate) fn backed_up(backed_up: &BackedUp, output: Output) -> String {
    if output == Output::Json {
        return json!(backed_up).to_string();
    }
    let BackedUp { folder, key_file } = backed_up;
    format!("backed up into {folder}; to restore it, the key file {key_file} is needed too: keep it apart")
}

/// What was restored, and what comes next.
pub(crate) fn restored(restored: &Restored, output: Output) -> String {
    if output == Output::Json {
        return json!(restored).to_string();
    }
    format!(
        "restored for {}\n\
         Start `sealcare-gateway serve`. Nothing is shown before the relay told what was revoked since, and a grant\n\
         is shown from its patient's next session on, within a week; the app then sends everything again.\n\
         If keys were rotated with --root after this backup, run `rotate --root FILE` now.",
        restored.domain
    )
}

fn json(answer: &Answer) -> String {
    match answer {
        Answer::Registered { state, root_fingerprint } => {
            json!({ "state": state, "root_fingerprint": root_fingerprint }).to_string()
        }
        Answer::Invited { invitation } => json!({ "invitation": invitation.expose() }).to_string(),
        Answer::Held { grants } => json!({ "grants": grants }).to_string(),
        Answer::Admitted { grant, left } if left.is_empty() => {
            json!({ "grant": grant, "state": "admitted" }).to_string()
        }
        Answer::Admitted { grant, left } => {
            json!({ "grant": grant, "state": "held", "held": left }).to_string()
        }
        Answer::Rejected { grant } => json!({ "grant": grant, "state": "rejected" }).to_string(),
        Answer::Status(status) => json!(status).to_string(),
        // Between this program's own processes.
        Answer::Listed
        | Answer::EpochsReplaced
        | Answer::Offered(_)
        | Answer::Renewed { .. }
        | Answer::BackedUp => String::new(),
    }
}

fn text(answer: &Answer) -> String {
    match answer {
        Answer::Registered { state, root_fingerprint } => registered(state, root_fingerprint),
        Answer::Invited { invitation } => invitation.expose().to_owned(),
        Answer::Held { grants } => held(grants),
        Answer::Admitted { grant, left } if left.is_empty() => format!("{grant} is admitted"),
        Answer::Admitted { grant, left } => {
            format!("{grant} is still held ({}): look at it with `held`", left.join(", "))
        }
        Answer::Rejected { grant } => format!("{grant} is rejected; what came for it is destroyed"),
        Answer::Status(report) => status(report),
        Answer::Listed
        | Answer::EpochsReplaced
        | Answer::Offered(_)
        | Answer::Renewed { .. }
        | Answer::BackedUp => String::new(),
    }
}

fn registered(state: &str, root_fingerprint: &str) -> String {
    let next = match state {
        "pending" => {
            "\nnext: read the fingerprint to the relay's operator by telephone, who compares it and approves"
        }
        _ => "",
    };
    format!("{state}\nroot fingerprint: {root_fingerprint}{next}")
}

/// Writing to a string does not fail.
fn held(grants: &[HeldGrant]) -> String {
    if grants.is_empty() {
        return "no grant is held".into();
    }
    let mut text = String::from("GRANT     SHORT CODE  WHY                     BIRTH DATE  PATIENT, NAME");
    for HeldGrant { grant, short_code, held, patient, name, birth_date, .. } in grants {
        let why = held.join(", ");
        let _ = write!(text, "\n{grant}  {short_code}   {why:<22}  {birth_date}  {patient}, {name}");
    }
    text.push_str("\ncompare the short code with the patient's screen, then `admit GRANT` or `reject GRANT`");
    text
}

fn status(status: &Status) -> String {
    let mut text = format!(
        "{}  link {}  bundle {}  records {}",
        status.domain, status.link, status.bundle_serial, status.records
    );
    for AlarmReport { meaning, .. } in &status.alarms {
        let _ = write!(text, "\nALARM: {meaning}");
    }
    if status.awaited > 0 {
        let _ = write!(text, "\n{} grants are hidden until their patients' next session", status.awaited);
    }
    if !status.grants.is_empty() {
        text.push_str("\nGRANT     SHORT CODE  STATE     RECORDS  TYPES");
    }
    for GrantReport { grant, short_code, state, records, types, .. } in &status.grants {
        let (code, types) = (short_code.as_deref().unwrap_or("-"), types.join(" "));
        let _ = write!(text, "\n{grant}  {code:<10}  {state:<8}  {records:>7}  {types}");
    }
    for (name, count) in &status.refused_by {
        let _ = write!(text, "\nrefused {count} × {name}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret_text::SecretText;

    fn held_grant() -> HeldGrant {
        HeldGrant {
            grant: "00aaff11".into(),
            grant_id: "ab".repeat(32),
            short_code: "ABCD-EFGH".into(),
            held: vec!["paper".into()],
            patient: "s|1".into(),
            name: "Ana Silva".into(),
            birth_date: "1990-05-20".into(),
            since_ms: 1,
        }
    }

    #[test]
    fn the_raw_id_is_printed_for_programs_only() {
        let answer = Answer::Held { grants: vec![held_grant()] };
        let (text, json) = (render(&answer, Output::Text), render(&answer, Output::Json));
        assert!(text.contains("ABCD-EFGH") && text.contains("00aaff11"));
        assert!(!text.contains("abab"));
        assert!(json.contains(&"ab".repeat(32)) && !json.contains('\n'));
    }

    #[test]
    fn an_invitation_is_printed_alone() {
        let invitation = SecretText::new(Zeroizing::new("sealcare:x".to_owned()));
        assert_eq!(&*render(&Answer::Invited { invitation }, Output::Text), "sealcare:x");
    }
}
