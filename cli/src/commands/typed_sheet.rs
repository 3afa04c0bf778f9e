//! A recovery sheet and its person as they are typed from paper on a terminal: a mistyped group is asked for again, alone.
//! Not here: the form of a sheet (`sealcare-client`).

use sealcare_client::{ClientError, CodeError, RecoverySheet, SHEET_RELAYS_MAX};
use zeroize::Zeroizing;

use crate::{
    error::{Error, Result},
    question::line,
};

/// Groups of a code, and of one of its lines.
const GROUPS: usize = 14;
/// Lines that a code may be typed in.
const LINES_MAX: usize = 2 * GROUPS;

/// Asks for the code and the relays.
///
/// # Errors
/// [`Error::SheetNeeded`] without a terminal, and those of [`RecoverySheet::new`] that asking again does not mend.
pub(super) fn ask() -> Result<RecoverySheet> {
    let mut groups: Vec<Zeroizing<String>> = Vec::new();
    for _ in 0..LINES_MAX {
        if groups.len() >= GROUPS {
            break;
        }
        let prompt = format!("Recovery code, from group {} of {GROUPS}: ", groups.len() + 1);
        groups.extend(split(&line(&prompt)?));
    }
    let code = mended(groups, |group| line(&format!("Group {group} is mistyped. Once more: ")))?;
    let mut relays = Vec::new();
    while relays.len() < SHEET_RELAYS_MAX {
        let relay = line("Relay as on the sheet (an empty line ends them): ")?;
        if relay.trim().is_empty() {
            break;
        }
        relays.push(relay);
    }
    let relays: Vec<&str> = relays.iter().map(|relay| relay.as_str()).collect();
    Ok(RecoverySheet::new(&code, &relays)?)
}

/// As given, or asked for.
pub(super) fn name(given: Option<&str>) -> Result<Zeroizing<String>> {
    given.map_or_else(|| line("Your full name, as the organizations know it: "), |name| Ok(own(name)))
}

/// As given, or asked for.
pub(super) fn birth_date(given: Option<&str>) -> Result<Zeroizing<String>> {
    given.map_or_else(|| line("Your birth date (YYYY-MM-DD): "), |date| Ok(own(date)))
}

fn own(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

fn split(typed: &str) -> Vec<Zeroizing<String>> {
    let parts = typed.split(|c: char| c.is_whitespace() || c == '-');
    parts.filter(|part| !part.is_empty()).map(own).collect()
}

/// The code with each mistyped group asked for again.
fn mended(
    mut groups: Vec<Zeroizing<String>>,
    mut again: impl FnMut(usize) -> Result<Zeroizing<String>>,
) -> Result<Zeroizing<String>> {
    for _ in 0..LINES_MAX {
        let code = Zeroizing::new(groups.iter().map(|group| group.as_str()).collect::<Vec<_>>().join("-"));
        let mistyped = match RecoverySheet::new(&code, &[]) {
            Err(ClientError::SheetCode(CodeError::Mistyped { groups })) => groups,
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(code),
        };
        for group in mistyped {
            let place = groups.get_mut(group - 1).ok_or(Error::SheetNeeded)?;
            *place = again(group)?;
        }
    }
    Err(Error::SheetNeeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "2GA1V-850MY-2GA1H-850M0-2GA1F-850MA-2GA15-850MS-2GA1P-850MK-2GA1W-850MD-2GA12-FS2FR";

    #[test]
    fn only_mistyped_groups_are_asked_for_again() {
        let mut groups = split(CODE);
        (groups[2], groups[9]) = (own("2GA1J"), own("85OMX"));
        let mut asked = Vec::new();
        let code = mended(groups, |group| {
            asked.push(group);
            Ok(split(CODE).swap_remove(group - 1))
        });
        assert_eq!((code.unwrap().as_str(), asked), (CODE, vec![3, 10]));
    }

    #[test]
    fn a_code_that_stays_wrong_is_given_up() {
        let mut groups = split(CODE);
        groups[0] = own("00000");
        assert!(matches!(mended(groups, |_| Ok(own("00000"))), Err(Error::SheetNeeded)));
        let short = mended(split("2GA1V-850MY"), |_| Ok(own("")));
        assert!(matches!(short, Err(Error::Client(ClientError::SheetCode(CodeError::Groups)))));
    }
}
