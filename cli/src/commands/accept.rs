//! `accept`: from an invitation to a grant. The organization is checked at its own domain, the person decides.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
};

use sealcare_client::{AcceptedGrant, Invitation, PendingGrant, RecordType, SharedScope};
use serde::Serialize;
use zeroize::Zeroizing;

use super::sheet;
use crate::{
    args::Accept,
    context::Context,
    error::{Error, Result},
    progress::Meter,
    question::ask,
};

/// Bytes of an invitation's file that are read; an invitation has a few hundred.
const INVITATION_BYTES_MAX: u64 = 16 * 1024;

#[derive(Serialize)]
struct Accepted {
    grant: String,
    code: String,
    domain: String,
    relay: String,
    types: Vec<&'static str>,
    /// Whether the recovery sheet is enough: `complete`, `incomplete` or `never-made`.
    sheet: &'static str,
    #[serde(skip)]
    reminder: Option<&'static str>,
}

pub(super) async fn run(context: &Context, args: Accept) -> Result<()> {
    if args.invitation == "-" && context.home.reads_standard_input() {
        return Err(Error::StandardInputTwice);
    }
    let text = read(&args.invitation)?;
    let invitation = Invitation::from_text(&text).map_err(|_| Error::NotAnInvitation)?;
    let types = if args.types.is_empty() { RecordType::ALL.to_vec() } else { args.types };
    let scope = SharedScope::of(types);
    let patient = context.open().await?;
    let meter = Meter::of_work("checking the organization at its own domain", context.output);
    let pending = patient.consider(invitation).await?;
    drop(meter);
    if !args.yes {
        ask(&question(&pending, &scope))?;
    }
    let (domain, relay) = (pending.domain().to_string(), pending.relay().to_string());
    let meter = Meter::of_work("accepting", context.output);
    let AcceptedGrant { id, short_code } = pending.accept(&scope).await?;
    drop(meter);
    let types = scope.types.iter().map(|kind| kind.name()).collect();
    let state = patient.sheet_state().await?;
    let accepted = Accepted {
        grant: id.to_hex(),
        code: short_code.to_string(),
        domain,
        relay,
        types,
        sheet: sheet::state_name(&state),
        reminder: sheet::reminder(&state),
    };
    context.output.print(&accepted)
}

fn question(pending: &PendingGrant<'_>, scope: &SharedScope) -> String {
    let types: Vec<&str> = scope.types.iter().map(|kind| kind.name()).collect();
    format!(
        "{domain} wants to receive your records.\n\
         Its keys were checked at {domain} itself. Be sure that this is the address of those who care for you.\n\
         It will receive, until you stop it: {types}.\n\
         What it copies into its own chart stays there after a stop.\n\
         Share with {domain}?",
        domain = pending.domain(),
        types = types.join(", "),
    )
}

/// The invitation's text: the argument, a file, or standard input.
fn read(argument: &str) -> Result<Zeroizing<String>> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidData => Error::NotAnInvitation,
        kind => Error::InvitationFile(kind),
    };
    let source: Box<dyn Read> = match argument.strip_prefix('@') {
        Some(path) => Box::new(File::open(Path::new(path)).map_err(unreadable)?),
        None if argument == "-" => Box::new(io::stdin()),
        None => return Ok(Zeroizing::new(argument.to_owned())),
    };
    let capacity = usize::try_from(INVITATION_BYTES_MAX).unwrap_or(usize::MAX);
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    source.take(INVITATION_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} may receive: {}.", self.domain, self.types.join(", "))?;
        writeln!(f, "If staff ask for a code, it is {}.", self.code)?;
        writeln!(f, "Next: `sealcare share`. To stop: `sealcare revoke {}`.", self.code)?;
        self.reminder.map_or(Ok(()), |reminder| writeln!(f, "{reminder}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_is_taken_from_the_argument_or_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("i");
        std::fs::write(&file, "sealcare:abc\n").unwrap();
        assert_eq!(read("sealcare:abc").unwrap().as_str(), "sealcare:abc");
        assert_eq!(read(&format!("@{}", file.display())).unwrap().as_str(), "sealcare:abc\n");
        std::fs::write(&file, [0xff, 0xfe]).unwrap();
        assert!(matches!(read(&format!("@{}", file.display())), Err(Error::NotAnInvitation)));
        assert!(matches!(read("@no such file"), Err(Error::InvitationFile(io::ErrorKind::NotFound))));
    }
}
