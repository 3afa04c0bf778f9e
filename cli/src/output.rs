//! Results on standard output, for people or for programs. Not here: errors (`error`), progress (`progress`).

use std::{
    fmt,
    io::{self, Write},
};

use serde::Serialize;

use crate::error::{Error, Result};

/// For whom results are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs: one JSON object on one line.
    Json,
}

impl Output {
    /// Prints a result; its `Display` is the text for people.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub(crate) fn print(self, result: &(impl Serialize + fmt::Display)) -> Result<()> {
        write(self, result, &mut io::stdout().lock()).map_err(Error::Output)
    }
}

fn write(output: Output, result: &(impl Serialize + fmt::Display), to: &mut impl Write) -> io::Result<()> {
    match output {
        Output::Text => writeln!(to, "{}", result.to_string().trim_end())?,
        Output::Json => {
            serde_json::to_writer(&mut *to, result)?;
            writeln!(to)?;
        }
    }
    to.flush()
}

/// `1 record`, `2 records`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Answer {
        count: u64,
    }

    impl fmt::Display for Answer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            writeln!(f, "{}", counted(self.count, "record"))
        }
    }

    #[test]
    fn a_result_is_one_text_or_one_line_of_json() {
        let printed = |output| {
            let mut bytes = Vec::new();
            write(output, &Answer { count: 2 }, &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(printed(Output::Text), "2 records\n");
        assert_eq!(printed(Output::Json), "{\"count\":2}\n");
    }
}
