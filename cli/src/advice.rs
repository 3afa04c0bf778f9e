//! What a person can do about an error: the second line that is printed. Not here: the errors (`error`).

use sealcare_client::{BundleFault, ClientError, TransportError, VaultError};
use sealcare_records::RecordError;

use crate::error::Error;

const RETRY: &str = "Nothing is lost. Check the network and run the command again later.";
const NEW_INVITATION: &str = "Ask the organization for a new invitation.";
const PASSPHRASE: &str = "Use `--passphrase-file FILE`, or set SEALCARE_PASSPHRASE_FILE.";
const BACKUP: &str = "Run `sealcare doctor`. If it finds damage, restore the account's folder from a backup.";
const STRANGE_ANSWER: &str = "Update sealcare. If it stays, tell the relay's operator.";

impl Error {
    /// What to do next; none where the error says it already.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoHome => "Name a folder: `--home DIR`, or set SEALCARE_HOME.",
            Self::HomeDir(_) => {
                "Check the folder's permissions and the free space, or choose another `--home DIR`."
            }
            Self::Config(_) => "Correct the file. It may set `passphrase_file = \"/path\"` and nothing else.",
            Self::PassphraseFile(_) => {
                "Name a text file whose first line is the passphrase: `--passphrase-file FILE`."
            }
            Self::StandardInputTwice => "Give the invitation as `@FILE`.",
            Self::Name => "Give your full name: 1 to 256 bytes, no line breaks.",
            Self::BirthDate => "Write it as YYYY-MM-DD.",
            Self::Option(_) => "See `sealcare help`.",
            Self::InputFile { .. } | Self::InvitationFile(_) | Self::SheetUnreadable(_) => {
                "Check the path and its permissions."
            }
            Self::NotAnInvitation => {
                "An invitation begins with `sealcare:`. Copy it whole, or give the file that holds it as `@FILE`."
            }
            Self::OtherPerson { .. } | Self::SeveralPeople { .. } => {
                "Check that the files are about you alone. If they are, add `--yes`. Nothing was imported."
            }
            Self::NobodyToAsk => {
                "Check the organization's domain in the invitation and add `--yes`. Nothing was changed."
            }
            Self::SheetFile(_) => "Name a file that does not exist yet, in a folder that you may write.",
            Self::SheetNotShown => "Run it on a terminal, or write it: `sealcare sheet --out FILE`.",
            Self::SheetNeeded => {
                "Give `--sheet FILE --name 'YOUR NAME' --birth-date YYYY-MM-DD`, or run it on a terminal."
            }
            Self::Noted(_) => {
                "It is carried out by the command at work, or by the next one. Run this command again to see."
            }
            Self::BadRequest => "Run that command again; `sealcare status` shows what holds.",
            Self::OnlyNarrowed => {
                "To add it, run the command again, with `--yes` where there is no terminal."
            }
            Self::AmbiguousGrant => "Give the grant's handle as `sealcare grants` shows it.",
            Self::Start(_) => "Close other programs and try again.",
            Self::Declined | Self::Unhealthy(_) | Self::Output(_) => return None,
            Self::Client(error) => return of_client(error),
        })
    }
}

fn of_client(error: &ClientError) -> Option<&'static str> {
    Some(match error {
        ClientError::Vault(error) => return of_vault(error),
        ClientError::Transport(error) => return of_transport(*error),
        ClientError::Protocol(_) => {
            "Check this machine's clock and update sealcare. If it stays, ask the organization, but not over this network."
        }
        ClientError::Import { error, .. } => of_file(error),
        ClientError::FileChanged { .. } => "Wait until it is written whole, then import it again.",
        ClientError::NoSource { .. } => {
            "Import it without --complete. Complete can be an Apple Health export, or a FHIR bundle of one server. Nothing was imported."
        }
        ClientError::OlderExport { .. } => {
            "Export again and import that with --complete. Nothing was imported."
        }
        ClientError::AccountExists => {
            "Go on with `sealcare import FILE`, or choose another folder with `--home DIR`."
        }
        ClientError::NoAccount => "Make one: `sealcare init --name 'YOUR NAME' --birth-date YYYY-MM-DD`.",
        ClientError::UnknownGrant => "See `sealcare grants`.",
        ClientError::Revoked => "To share again, ask the organization for a new invitation.",
        ClientError::ClosedByRelay => {
            "Nothing was given up. Ask the organization; to stop for good, run `sealcare revoke`."
        }
        ClientError::SheetCode(_) => "Compare with the sheet; a group has 5 symbols, and no I, L, O or U.",
        ClientError::SheetRelay { .. } => "Write it as on the sheet: `https://relay.example:443`.",
        ClientError::SheetWithoutRelay => {
            "Add the sheet's relays, one a line: `relay: https://relay.example:443`."
        }
        ClientError::SheetTooLong => "Give the sheet and nothing else.",
        ClientError::OrganizationNotListed => {
            "The relay's operator may have suspended it. Run `sealcare recover` again later; ask the organization."
        }
        ClientError::LyingRelay => {
            "Nothing was told to anybody. Ask the organization; tell the relay's operator."
        }
        ClientError::SearchUnfinished => "Run `sealcare recover` again: it goes on there.",
        ClientError::TooManyGrants => "Tell the relay's operator; the grants that were found are kept.",
        ClientError::TheftPending => "Run `sealcare share` until they are confirmed, then again.",
        ClientError::NothingOffered => "Run `sealcare share`, or choose anew with `sealcare scope`.",
        ClientError::AlreadyAccepted => "See `sealcare grants`; share with `sealcare share`.",
        ClientError::WrongOrganization => "Do not use this invitation; tell the organization.",
        ClientError::Kept(_) => "Update sealcare: a newer release may have written it.",
        ClientError::Seal(_) => "Run `sealcare doctor`: it checks the organization's keys and the clock.",
        ClientError::Source => "Run the command again; what was read before is kept.",
        ClientError::Unsettled => RETRY,
        _ => return None,
    })
}

/// Where the vault's own text says what to do, there is nothing to add.
fn of_vault(error: &VaultError) -> Option<&'static str> {
    Some(match error {
        VaultError::AlreadyThere => {
            "Go on with `sealcare import FILE`, or choose another folder with `--home DIR`."
        }
        VaultError::NotThere => {
            "Make an account first: `sealcare init --name 'YOUR NAME' --birth-date YYYY-MM-DD`."
        }
        VaultError::InUse => "Another sealcare command is at work here. Wait for it, or stop it.",
        VaultError::WrongKey => "Check the passphrase; capitals and spaces count.",
        VaultError::OtherUnlock { .. }
        | VaultError::KeychainUnavailable
        | VaultError::KeychainEntryMissing
        | VaultError::KeychainNotBuilt => PASSPHRASE,
        VaultError::PassphraseTooShort => {
            "Write a longer one into the passphrase file; four random words are good."
        }
        VaultError::NewerVersion => "Update sealcare.",
        VaultError::DiskFull => "Free some space and run the command again.",
        VaultError::Corrupt { .. }
        | VaultError::Database { .. }
        | VaultError::Failed
        | VaultError::Aborted => BACKUP,
        VaultError::File { .. } => "Check the account's folder: its permissions and the free space.",
        _ => return None,
    })
}

fn of_transport(error: TransportError) -> Option<&'static str> {
    Some(match error {
        TransportError::Unreachable
        | TransportError::Deadline
        | TransportError::Unavailable
        | TransportError::RateLimited
        | TransportError::Bundle(BundleFault::Unreachable | BundleFault::Timeout) => RETRY,
        TransportError::Tls => {
            "Do not go on in this network: somebody may stand between. Try another network."
        }
        TransportError::ClockSkew => "Set this machine's clock.",
        TransportError::TicketExpired => NEW_INVITATION,
        TransportError::NotFound => {
            "The relay does not know this organization or grant. Ask the organization."
        }
        TransportError::TicketSpent => {
            "If it was not you, tell the organization. It can make a new invitation."
        }
        TransportError::GrantRevoked => "To share again, ask the organization for a new invitation.",
        TransportError::GrantFull => {
            "The organization has not fetched for a while. Run `sealcare share` again later."
        }
        TransportError::OrganizationNotApproved => {
            "Tell the organization; its relay's operator has to approve it. What you share waits here meanwhile, and stopping works."
        }
        TransportError::Bundle(BundleFault::Tls | BundleFault::Redirect) => {
            "Do not go on: this may not be the organization. Try another network, or ask the organization."
        }
        TransportError::Bundle(_) => {
            "Tell the organization: its domain does not serve its keys as it should."
        }
        TransportError::Malformed | TransportError::Response(_) | TransportError::UnknownReason => {
            STRANGE_ANSWER
        }
        _ => return None,
    })
}

fn of_file(error: &RecordError) -> &'static str {
    match error {
        RecordError::UnknownFormat | RecordError::NotFhir => {
            "Give an Apple Health export (export.zip or export.xml) or FHIR R4 JSON or NDJSON. Nothing was imported."
        }
        RecordError::Version { .. } => "Ask the institution for an export in FHIR R4. Nothing was imported.",
        RecordError::Zip { .. } | RecordError::Xml { .. } | RecordError::Json { .. } => {
            "The file is damaged or was altered. Export it again. Nothing was imported."
        }
        RecordError::Read { .. } => "Check the disk that the file is on. Nothing was imported.",
        _ => "Nothing was imported.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_meets_most_says_what_to_do() {
        let says = |error: Error, word: &str| {
            let advice = error.advice().unwrap_or_default();
            assert!(advice.contains(word), "{error}: {advice}");
        };
        says(VaultError::NotThere.into(), "sealcare init");
        says(VaultError::KeychainUnavailable.into(), "--passphrase-file");
        says(VaultError::InUse.into(), "Wait");
        says(TransportError::TicketExpired.into(), "new invitation");
        says(TransportError::Bundle(BundleFault::Tls).into(), "Do not go on");
        says(ClientError::UnknownGrant.into(), "sealcare grants");
        says(
            ClientError::Import { file: 0, error: RecordError::UnknownFormat }.into(),
            "Nothing was imported",
        );
    }
}
