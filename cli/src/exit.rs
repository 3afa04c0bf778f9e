//! Exit statuses, after BSD's `sysexits.h`; `--help` lists the same. Not here: which error has which (`error`).

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// Done.
    Success,
    /// Failed, or `doctor` found a problem.
    Failed,
    /// Wrong usage or configuration.
    Usage,
    /// Input that is not acceptable.
    Data,
    /// An input file cannot be read.
    NoInput,
    /// Relay or domain cannot be reached.
    Unavailable,
    /// Disk or vault failed.
    Storage,
    /// Another command holds the vault.
    Busy,
    /// Not permitted.
    Refused,
}

impl Exit {
    /// The number.
    pub(crate) const fn status(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 64,
            Self::Data => 65,
            Self::NoInput => 66,
            Self::Unavailable => 69,
            Self::Storage => 74,
            Self::Busy => 75,
            Self::Refused => 77,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}
