//! What was asked for while another command held the account: small files in the home, durable at once, that the
//! command at work, or the next one, carries out in their order. Not here: the choices themselves (`choice`).

use std::{
    fs,
    future::Future,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use sealcare_client::{ClientError, Patient};
use serde::{Deserialize, Serialize};

use crate::{
    choice::Choice,
    context::Context,
    error::{Error, Result},
    grant_name,
};

/// Between two looks of a command that works for long.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Begins the names of the files; a number follows that rises.
const PREFIX: &str = "request-";
/// Requests that wait at a time.
const REQUESTS_MAX: usize = 100;
/// Numbers that others may take while one is looked for.
const TRIES_MAX: u64 = 100;
/// Bytes of what a grant is called; its id in hex is the longest good name but a domain's.
const NAME_BYTES_MAX: usize = 512;
/// Bytes of a request, with its line's end.
const REQUEST_BYTES_MAX: usize = 4 * 1024;

/// A choice, and what the person called the grant.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Request {
    grant: String,
    choice: Choice,
}

/// A file of a request that is whole.
struct Noted {
    path: PathBuf,
    /// None: not written by this program, or by a newer one.
    request: Option<Request>,
}

/// Notes durably what is chosen for the grant that `name` means.
///
/// # Errors
/// [`Error::HomeDir`]; [`ClientError::UnknownGrant`] for what can be no grant's name.
pub(crate) fn note(dir: &Path, name: &str, choice: &Choice) -> Result<()> {
    let name = name.trim();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\n') {
        return Err(ClientError::UnknownGrant.into());
    }
    let request = Request { grant: name.to_owned(), choice: choice.clone() };
    let mut line = serde_json::to_vec(&request).map_err(|error| Error::HomeDir(error.into()))?;
    line.push(b'\n');
    if line.len() > REQUEST_BYTES_MAX {
        return Err(ClientError::UnknownGrant.into());
    }
    write_next(dir, &line).map_err(Error::HomeDir)
}

/// Carries out what was noted, in its order: durable in the account; the relay is told by the next `share`, `revoke`
/// or the like. What names no one grant, what a stopped grant takes no more and what cannot be read is reported and
/// dropped.
///
/// # Errors
/// [`Error::HomeDir`], and those of the vault; then the request is kept.
pub(crate) async fn carry_out(context: &Context, patient: &Patient) -> Result<()> {
    let dir = context.home.dir();
    for noted in noted(dir).map_err(Error::HomeDir)? {
        match answered(patient, noted.request).await {
            Err(error) if is_final(&error) => crate::report(&error, context.output),
            answered => answered?,
        }
        // A request that came back after a crash would overrule what was chosen later.
        fs::remove_file(noted.path).and_then(|()| sync_folder(dir)).map_err(Error::HomeDir)?;
    }
    Ok(())
}

/// Does long `work` with the account, and carries out in the middle of it what other commands ask for.
///
/// # Errors
/// Those of the work and of [`carry_out`]; the latter end the work where it is.
pub(crate) fn heed<T>(
    context: &Context,
    patient: &Patient,
    work: impl Future<Output = Result<T, ClientError>>,
) -> impl Future<Output = Result<T>> {
    // Boxed before it is held: a pass is large.
    let (work, watch) = (Box::pin(work), Box::pin(watch(context, patient)));
    async move {
        tokio::select! {
            done = work => Ok(done?),
            failed = watch => Err(failed),
        }
    }
}

/// Carries out what is noted, until that fails.
async fn watch(context: &Context, patient: &Patient) -> Error {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Err(error) = carry_out(context, patient).await {
            return error;
        }
    }
}

async fn answered(patient: &Patient, request: Option<Request>) -> Result<()> {
    let Request { grant, choice } = request.ok_or(Error::BadRequest)?;
    let grants = patient.status().await?;
    Ok(choice.carry_out(patient, grant_name::find(&grants, &grant)?).await?)
}

/// Whether another try would meet the same.
fn is_final(error: &Error) -> bool {
    matches!(
        error,
        Error::BadRequest
            | Error::AmbiguousGrant
            | Error::Client(ClientError::UnknownGrant | ClientError::Revoked | ClientError::Protocol(_))
    )
}

/// Writes under a number above all that are there.
fn write_next(dir: &Path, line: &[u8]) -> io::Result<()> {
    let files = files(dir)?;
    if files.len() >= REQUESTS_MAX {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    let first = files.last().map_or(0, |(number, _)| number.saturating_add(1));
    for number in first..first.saturating_add(TRIES_MAX) {
        match write(&dir.join(format!("{PREFIX}{number}")), line) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            written => return written.and_then(|()| sync_folder(dir)),
        }
    }
    Err(io::ErrorKind::QuotaExceeded.into())
}

fn write(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(line)?;
    file.sync_all()
}

#[cfg(unix)]
fn sync_folder(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

/// A folder cannot be synced elsewhere.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "the same signature on every platform")]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The requests' files by their numbers, the oldest first.
fn files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        files.extend(number.map(|number| (number, entry.path())));
    }
    files.sort_unstable();
    Ok(files)
}

/// The whole requests in their order; one that lacks its end is being written, or never was noted.
fn noted(dir: &Path) -> io::Result<Vec<Noted>> {
    let mut requests = Vec::new();
    for (_, path) in files(dir)? {
        let mut line = Vec::new();
        let limit = u64::try_from(REQUEST_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
        match fs::File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut line)) {
            Ok(_) => {}
            // Another command has carried it out.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        }
        if line.ends_with(b"\n") || line.len() > REQUEST_BYTES_MAX {
            requests.push(Noted { path, request: serde_json::from_slice(&line).ok() });
        }
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::{PeriodChange, Reach, ScopeChange};

    fn names(dir: &Path) -> Vec<(String, Choice)> {
        let whole = noted(dir).unwrap().into_iter().filter_map(|noted| noted.request);
        whole.map(|request| (request.grant, request.choice)).collect()
    }

    fn scope() -> Choice {
        let types = Some([sealcare_client::RecordType::HeartRate].into());
        Choice::Scope(ScopeChange { types, period: PeriodChange::Since(7), reach: Reach::Narrower })
    }

    #[test]
    fn requests_are_found_whole_and_in_the_order_in_which_they_were_made() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let choices = [Choice::Pause, Choice::Stop, scope(), Choice::Resume];
        let made: Vec<_> = (0..12).map(|made| (format!("CODE-{made}"), choices[made % 4].clone())).collect();
        for (name, choice) in &made {
            note(dir, &format!(" {name} "), choice).unwrap();
        }
        assert_eq!(names(dir), made);
        fs::remove_file(dir.join("request-0")).unwrap();
        note(dir, "last", &Choice::Stop).unwrap();
        assert_eq!(names(dir).last().unwrap().0, "last", "a number that is free again is not taken");
        for bad in ["", " ", "a\nb", &"x".repeat(513)] {
            assert!(note(dir, bad, &Choice::Stop).is_err());
        }
    }

    #[test]
    fn what_is_half_written_is_left_and_what_is_no_request_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        fs::write(dir.join("request-3"), "{\"grant\":\"half").unwrap();
        fs::write(dir.join("request-x"), "x\n").unwrap();
        assert!(noted(dir).unwrap().is_empty());
        for (number, bad) in [
            (4, &b"x\n"[..]),
            (5, b"{\"grant\":\"g\",\"choice\":\"wipe\"}\n"),
            (6, b"{\"grant\":\"g\",\"choice\":\"stop\",\"more\":1}\n"),
            (7, &[b' '; REQUEST_BYTES_MAX + 1]),
        ] {
            fs::write(dir.join(format!("request-{number}")), bad).unwrap();
        }
        let noted = noted(dir).unwrap();
        assert_eq!(noted.len(), 4);
        assert!(noted.iter().all(|noted| noted.request.is_none()));
    }

    #[test]
    fn requests_are_bounded_and_their_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..REQUESTS_MAX {
            note(folder.path(), "g", &Choice::Pause).unwrap();
        }
        assert!(matches!(note(folder.path(), "g", &Choice::Pause), Err(Error::HomeDir(_))));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(folder.path().join("request-0")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
