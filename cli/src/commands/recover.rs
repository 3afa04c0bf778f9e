//! `recover`: an account again from its recovery sheet, on another machine or for a phone that was stolen. Can be
//! repeated after a crash, and as often as one likes. Not here: the search itself (`sealcare-client`), what is typed
//! (`typed_sheet`).

mod answers;
mod outcome;

use std::{fs::File, io::Read as _, path::Path};

use sealcare_client::{
    ClientError, Patient, Recovery, RecoverySheet, SHEET_BYTES_MAX, SearchProgress, SearchReport, Vault,
};
use zeroize::Zeroizing;

use super::{init, typed_sheet};
use crate::{
    args::Recover,
    context::Context,
    error::{Error, Result},
    progress::Meter,
};

pub(super) async fn run(context: &Context, args: Recover) -> Result<()> {
    let how = args.how();
    let patient = open(context, &args, how).await?;
    let report = search(context, &patient).await?;
    let failure = answers::await_answers(context, &patient, how).await?;
    match how {
        Recovery::Keep => answers::keep(&patient).await?,
        Recovery::Ask => answers::ask(&patient).await?,
        Recovery::Stolen => {}
    }
    context.output.print(&outcome::of(&patient, &report).await?)?;
    let SearchReport { failures, .. } = report;
    match failures.into_iter().map(|failure| failure.error).next().or(failure) {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// The account of the sheet: the one that an earlier `recover` has begun here, or a new one.
async fn open(context: &Context, args: &Recover, how: Recovery) -> Result<Patient> {
    let home = &context.home;
    let unlock = home.unlock()?;
    if Vault::exists(&home.vault_dir()) {
        match context.open_with(&unlock).await {
            Ok(patient) => return go_on(patient, args, how).await,
            // An earlier one was cut off between vault and account.
            Err(Error::Client(ClientError::NoAccount)) => {}
            Err(error) => return Err(error),
        }
    }
    let sheet = match &args.sheet {
        Some(file) => read(file)?,
        None => typed_sheet::ask()?,
    };
    if sheet.relays().is_empty() {
        return Err(ClientError::SheetWithoutRelay.into());
    }
    let person = init::person(
        &typed_sheet::name(args.name.as_deref())?,
        &typed_sheet::birth_date(args.birth_date.as_deref())?,
    )?;
    let vault = init::vault(context, &unlock).await?;
    let patient = context.builder(vault).recover(person, &sheet, how).await?;
    home.remember_unlock()?;
    Ok(patient)
}

/// With an account here: its own sheet goes on with it, or shuts its other, stolen device out. Without a sheet, new
/// grants of its other devices are looked for, if any relay is known.
async fn go_on(patient: Patient, args: &Recover, how: Recovery) -> Result<Patient> {
    let is_searchable = !patient.recovery_sheet().await?.relays().is_empty();
    let sheet = match (&args.sheet, how) {
        (Some(file), _) => read(file)?,
        (None, Recovery::Keep | Recovery::Ask) if is_searchable => return Ok(patient),
        (None, _) => typed_sheet::ask()?,
    };
    patient.go_on_from(&sheet, how).await?;
    Ok(patient)
}

fn read(file: &Path) -> Result<RecoverySheet> {
    let unreadable = |error: std::io::Error| Error::SheetUnreadable(error.kind());
    let mut text = Zeroizing::new(String::with_capacity(SHEET_BYTES_MAX));
    let bound = u64::try_from(SHEET_BYTES_MAX).unwrap_or(u64::MAX);
    File::open(file).map_err(unreadable)?.take(bound).read_to_string(&mut text).map_err(unreadable)?;
    Ok(RecoverySheet::from_text(&text)?)
}

async fn search(context: &Context, patient: &Patient) -> Result<SearchReport> {
    let meter = Meter::of_work("asking the relays", context.output);
    let on_progress = |progress: SearchProgress| {
        meter.say(format!("{}: asked {}, found {}", progress.relay, progress.asked, progress.found));
    };
    Ok(patient.search(&on_progress).await?)
}
