//! What the commands of patients and organizations draw on a terminal: text as a QR code, for an invitation and for a
//! recovery sheet. Not here: what they print and ask, which is each command's own.

mod error;

use fast_qr::{ECL, QRBuilder};

pub use error::{DrawError, Result};

/// Bytes of text that a code is made of: what a phone still reads off a screen (version 25 of 40, level L).
const TEXT_BYTES_MAX: usize = 1_200;
/// Light modules around a code (ISO/IEC 18004 §6.3.8).
const QUIET_MODULES: usize = 4;

/// Two rows of modules a line, dark on light whatever the terminal's colours are: light modules are drawn.
///
/// # Errors
/// [`DrawError::TooLong`] for a text that makes no readable code.
pub fn draw_qr(text: &str) -> Result<String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(DrawError::TooLong);
    }
    let code = QRBuilder::new(text).ecl(ECL::L).build().map_err(|_| DrawError::TooLong)?;
    let side = code.size + 2 * QUIET_MODULES;
    let is_dark = |row: usize, column: usize| {
        let inside = QUIET_MODULES..QUIET_MODULES + code.size;
        inside.contains(&row)
            && inside.contains(&column)
            && code[row - QUIET_MODULES][column - QUIET_MODULES].value()
    };
    let mut drawing = String::new();
    for row in (0..side).step_by(2) {
        let cell = |column| match (is_dark(row, column), row + 1 >= side || is_dark(row + 1, column)) {
            (false, false) => '█',
            (false, true) => '▀',
            (true, false) => '▄',
            (true, true) => ' ',
        };
        drawing.extend((0..side).map(cell));
        drawing.push('\n');
    }
    Ok(drawing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_square_with_a_light_border() {
        let drawing = draw_qr("sealcare:abc").unwrap();
        let lines: Vec<Vec<char>> = drawing.lines().map(|line| line.chars().collect()).collect();
        let side = lines[0].len();
        assert_eq!(lines.len(), side.div_ceil(2));
        assert!(lines.iter().all(|line| line.len() == side && line[0] == line[side - 1]));
        assert!(lines[..QUIET_MODULES / 2].iter().flatten().all(|module| *module == '█'));
        assert!(lines.iter().flatten().any(|module| *module == ' '));
    }

    #[test]
    fn a_text_beyond_the_bound_is_refused() {
        assert!(draw_qr(&"a".repeat(TEXT_BYTES_MAX)).is_ok());
        assert_eq!(draw_qr(&"a".repeat(TEXT_BYTES_MAX + 1)), Err(DrawError::TooLong));
    }
}
