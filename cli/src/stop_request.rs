//! A stop that was asked for while another command held the account: a small file in the home, durable at once,
//! that the command at work, or the next one, carries out. Not here: the stop itself (`sealcare-client`).

use std::{
    convert::Infallible,
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use sealcare_client::{ClientError, Patient};

use crate::{
    context::Context,
    error::{Error, Result},
    grant_name,
};

/// Between two looks of a command that works for long.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Begins the names of the files.
const PREFIX: &str = "stop-request-";
/// Stops that wait at a time.
const REQUESTS_MAX: u32 = 100;
/// Bytes of what a grant is called; its id in hex is the longest good name but a domain's.
const NAME_BYTES_MAX: usize = 512;

/// Notes durably that the grant that `name` means is to be stopped.
///
/// # Errors
/// [`Error::HomeDir`]; [`ClientError::UnknownGrant`] for what can be no grant's name.
pub(crate) fn note(dir: &Path, name: &str) -> Result<()> {
    let name = name.trim();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\n') {
        return Err(ClientError::UnknownGrant.into());
    }
    for number in 0..REQUESTS_MAX {
        match write(&dir.join(format!("{PREFIX}{number}")), name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            written => return written.and_then(|()| sync_folder(dir)).map_err(Error::HomeDir),
        }
    }
    Err(Error::HomeDir(io::ErrorKind::QuotaExceeded.into()))
}

/// Carries out what was noted: durable in the account; the relay is told by the next `share` or `revoke`. What
/// names no one grant is reported and dropped.
///
/// # Errors
/// [`Error::HomeDir`], and those of the vault; then the request is kept.
pub(crate) async fn carry_out(context: &Context, patient: &Patient) -> Result<()> {
    let requests = noted(context.home.dir()).map_err(Error::HomeDir)?;
    if requests.is_empty() {
        return Ok(());
    }
    let grants = patient.status().await?;
    for (path, name) in requests {
        match grant_name::find(&grants, &name) {
            Ok(grant) => patient.begin_revocation(grant.grant).await?,
            Err(error) => crate::report(&error, context.output),
        }
        fs::remove_file(path).map_err(Error::HomeDir)?;
    }
    Ok(())
}

/// Carries out what is noted while a long command works, until dropped.
///
/// # Errors
/// As [`carry_out`].
pub(crate) async fn watch(context: &Context, patient: &Patient) -> Result<Infallible> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        carry_out(context, patient).await?;
    }
}

fn write(path: &Path, name: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(format!("{name}\n").as_bytes())?;
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

/// The whole requests; one that lacks its end is being written, or never was noted.
fn noted(dir: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let mut requests = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let mut text = String::new();
        let limit = u64::try_from(NAME_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
        match fs::File::open(entry.path()).and_then(|file| file.take(limit).read_to_string(&mut text)) {
            Ok(_) => {}
            // Another command, or a hand: no request.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
                continue;
            }
            Err(error) => return Err(error),
        }
        if let Some(name) = text.strip_suffix('\n') {
            requests.push((entry.path(), name.to_owned()));
        }
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_requests_are_found_each_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        note(dir, "ABCD-EFGH").unwrap();
        note(dir, " clinic.example ").unwrap();
        fs::write(dir.join("stop-request-7"), "half").unwrap();
        fs::write(dir.join("config.toml"), "x\n").unwrap();
        let mut names: Vec<_> = noted(dir).unwrap().into_iter().map(|(_, name)| name).collect();
        names.sort();
        assert_eq!(names, ["ABCD-EFGH", "clinic.example"]);
        for bad in ["", " ", "a\nb", &"x".repeat(513)] {
            assert!(note(dir, bad).is_err());
        }
    }
}
