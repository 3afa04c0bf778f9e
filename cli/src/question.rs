//! Asking a person on the terminal. Not here: what is asked.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64;

/// Asks `question` on standard error; only `y` or `yes` is a yes.
///
/// # Errors
/// [`Error::NobodyToAsk`] without a terminal, [`Error::Declined`] for any other answer.
pub(crate) fn ask(question: &str) -> Result<()> {
    if !io::stdin().is_terminal() {
        return Err(Error::NobodyToAsk);
    }
    let mut terminal = io::stderr().lock();
    write!(terminal, "{question} [y/N] ").and_then(|()| terminal.flush()).map_err(Error::Output)?;
    let mut answer = String::new();
    io::stdin().lock().take(ANSWER_BYTES_MAX).read_line(&mut answer).map_err(|_| Error::Declined)?;
    if is_yes(&answer) { Ok(()) } else { Err(Error::Declined) }
}

/// Bytes of a line that are read.
const LINE_BYTES_MAX: u64 = 1_024;

/// Asks for a line, which may be secret, on standard error.
///
/// # Errors
/// [`Error::SheetNeeded`] without a terminal.
pub(crate) fn line(prompt: &str) -> Result<Zeroizing<String>> {
    if !io::stdin().is_terminal() {
        return Err(Error::SheetNeeded);
    }
    let mut terminal = io::stderr().lock();
    write!(terminal, "{prompt}").and_then(|()| terminal.flush()).map_err(Error::Output)?;
    let mut typed = Zeroizing::new(String::new());
    let read =
        io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut typed).map_err(|_| Error::SheetNeeded)?;
    if read == 0 {
        return Err(Error::SheetNeeded);
    }
    let len = typed.trim_end_matches(['\r', '\n']).len();
    typed.truncate(len);
    Ok(typed)
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        assert!(is_yes("y\n") && is_yes(" YES \n"));
        for no in ["", "\n", "n", "yeah", "yes please"] {
            assert!(!is_yes(no), "{no}");
        }
    }
}
