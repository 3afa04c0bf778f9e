//! `sheet`: the recovery sheet, on the terminal or in a file of its own. Not here: what is in it (`sealcare-client`).

use std::{
    fmt::{self, Write as _},
    fs::OpenOptions,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
};

use sealcare_client::{RecoverySheet, SheetState};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    args::Sheet,
    context::Context,
    error::{Error, Result},
    output::Output,
};

/// Above the lines that `recover` reads.
const HEAD: &str = "\
SEALCARE RECOVERY SHEET
Whoever has this page can share in your name, and stop what you share. Keep it where you keep your papers.
With it and `sealcare recover` a lost phone loses nothing, and a stolen one is shut out.

";

#[derive(Serialize)]
struct Made {
    /// Where it is, unless it was shown.
    file: Option<String>,
    relays: Vec<String>,
}

pub(super) async fn run(context: &Context, args: Sheet) -> Result<()> {
    let patient = context.open().await?;
    let sheet = patient.recovery_sheet().await?;
    match &args.out {
        Some(file) => write_file(file, &sheet)?,
        None => show(&sheet, context.output)?,
    }
    patient.note_sheet(&sheet).await?;
    let relays = sheet.relays().iter().map(ToString::to_string).collect();
    context.output.print(&Made { file: args.out.map(|file| file.display().to_string()), relays })
}

/// In its owner's hands only; what is there already is not replaced.
fn write_file(file: &Path, sheet: &RecoverySheet) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let failed = |error: io::Error| Error::SheetFile(error.kind());
    let mut out = options.open(file).map_err(failed)?;
    out.write_all(page(sheet).as_bytes()).and_then(|()| out.sync_all()).map_err(failed)
}

/// On a terminal only: what is redirected lies around.
fn show(sheet: &RecoverySheet, output: Output) -> Result<()> {
    if output == Output::Json || !io::stdout().is_terminal() {
        return Err(Error::SheetNotShown);
    }
    let mut terminal = io::stdout().lock();
    terminal.write_all(page(sheet).as_bytes()).map_err(Error::Output)?;
    // For a phone; the lines above say the same. A sheet of very many relays makes no code that a phone reads.
    if let Ok(code) = sealcare_terminal::draw_qr(&sheet.to_text()) {
        terminal.write_all(Zeroizing::new(code).as_bytes()).map_err(Error::Output)?;
    }
    terminal.flush().map_err(Error::Output)
}

fn page(sheet: &RecoverySheet) -> Zeroizing<String> {
    let lines = sheet.to_text();
    let mut page = Zeroizing::new(String::with_capacity(HEAD.len() + lines.len() + 1));
    page.push_str(HEAD);
    page.push_str(&lines);
    page.push('\n');
    page
}

/// What a person is told about the sheet beside something else; nothing if it is enough.
pub(super) fn reminder(state: &SheetState) -> Option<&'static str> {
    match state {
        SheetState::Complete => None,
        SheetState::NeverMade => Some(
            "You have no recovery sheet: a lost phone would lose all grants. Print it: `sealcare sheet`.",
        ),
        SheetState::Lacks(_) => Some(
            "Your recovery sheet lacks a relay that is used meanwhile. Print it again: `sealcare sheet`.",
        ),
    }
}

/// The word for a state, in JSON.
pub(super) fn state_name(state: &SheetState) -> &'static str {
    match state {
        SheetState::Complete => "complete",
        SheetState::NeverMade => "never-made",
        SheetState::Lacks(_) => "incomplete",
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            writeln!(f, "Your recovery sheet is in {file}. Print it, then delete the file.")?;
        }
        if self.relays.is_empty() {
            f.write_str("It names no relay yet: print it again once you share with somebody.\n")?;
        }
        f.write_char('\n')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> RecoverySheet {
        let code = "2GA1V-850MY-2GA1H-850M0-2GA1F-850MA-2GA15-850MS-2GA1P-850MK-2GA1W-850MD-2GA12-FS2FR";
        RecoverySheet::new(code, &["relay.example:7443"]).unwrap()
    }

    #[test]
    fn a_page_is_read_back_and_never_replaces_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sheet.txt");
        write_file(&file, &sheet()).unwrap();
        let page = std::fs::read_to_string(&file).unwrap();
        let again = RecoverySheet::from_text(&page).unwrap();
        assert_eq!((again.code(), again.relays()), (sheet().code(), sheet().relays()));
        assert!(matches!(write_file(&file, &sheet()), Err(Error::SheetFile(io::ErrorKind::AlreadyExists))));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
