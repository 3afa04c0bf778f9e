//! What each command does. A command asks the gateway that runs in the data folder, or opens the vault itself if
//! none does. Not here: the daemon (`serve`).

use std::io::{self, Write as _};
use std::{net::SocketAddr, sync::Arc, time::Duration};

use sealcare_provider::{Clock as _, Organization, SystemClock};
use sealcare_vault::VaultError;
use serde_json::json;

use crate::args::{Cli, Command, Init, Invite, Records};
use crate::config::{Config, ServingOverrides};
use crate::control::{self, Connected};
use crate::desk::{Answer, Desk, Request};
use crate::error::{GatewayError, Result};
use crate::line::{Line, LineForm};
use crate::output::{self, Output};
use crate::records::{Lines, Position, Until};
use crate::{backup, founding, rotation, serve, telemetry};

/// Another command, or a gateway that is starting, has the vault for so long at most.
const OPEN_TRIES: u32 = 50;
const OPEN_RETRY: Duration = Duration::from_millis(100);

/// Runs a command.
///
/// # Errors
/// [`GatewayError`], whose exit status is documented in `--help`.
pub(crate) async fn run(cli: Cli) -> Result<()> {
    let output = if cli.json { Output::Json } else { Output::Text };
    let config = Config::load(cli.overrides)?;
    match cli.command {
        Command::Init(init) => found(config, init, output).await,
        Command::Serve(overrides) => run_daemon(&config, *overrides, output).await,
        Command::Invite(invite) => invite_patient(&config, invite, output).await,
        Command::Records(records) => list(&config, &records).await,
        Command::Register => print_answer(&config, Request::Register, output).await,
        Command::Held => print_answer(&config, Request::Held, output).await,
        Command::Admit(admit) => {
            let request = Request::Admit { grant: admit.named.grant.parse()?, seen: admit.reasons };
            print_answer(&config, request, output).await
        }
        Command::Reject(named) => {
            print_answer(&config, Request::Reject { grant: named.grant.parse()? }, output).await
        }
        Command::Status => {
            let answer = ask(&config, Request::Status).await?;
            print(&output::render(&answer, output))?;
            let is_alarmed = matches!(&answer, Answer::Status(status) if !status.alarms.is_empty());
            if is_alarmed { Err(GatewayError::Alarmed) } else { Ok(()) }
        }
        Command::Rotate(args) => {
            let rotated = rotation::rotate(&config, args, SystemClock.now()).await?;
            print(&output::rotated(&rotated, output))
        }
        Command::Succeed(args) => {
            let rotated = rotation::succeed(&config, args, SystemClock.now()).await?;
            print(&output::rotated(&rotated, output))
        }
        Command::Backup(folder) => {
            print(&output::backed_up(&backup::back_up(&config, &folder.dir).await?, output))
        }
        Command::Restore(folder) => {
            let work = move || backup::restore(&config.home, &folder.dir);
            let restored = tokio::task::spawn_blocking(work).await.map_err(|_| GatewayError::Task)??;
            print(&output::restored(&restored, output))
        }
    }
}

async fn found(config: Config, init: Init, output: Output) -> Result<()> {
    let work = move || founding::found(&config.home, &init.domain, &init.relay, &init.root_out);
    let founded = tokio::task::spawn_blocking(work).await.map_err(|_| GatewayError::Task)??;
    print(&output::founded(&founded, output))
}

async fn run_daemon(config: &Config, overrides: ServingOverrides, output: Output) -> Result<()> {
    let serving = config.serving(overrides)?;
    telemetry::log_to(&serving.log)?;
    let ready = |address: SocketAddr| match output {
        Output::Text => print(&format!("serving on {address}")),
        Output::Json => print(&json!({ "listen": address }).to_string()),
    };
    serve::serve(config, serving, ready, serve::stop_signal()).await
}

async fn invite_patient(config: &Config, invite: Invite, output: Output) -> Result<()> {
    let Invite { patient, name, birth_date, qr } = invite;
    let answer = ask(config, Request::Invite { patient, name, birth_date }).await?;
    if let (true, Output::Text, Answer::Invited { invitation }) = (qr, output, &answer) {
        let code = sealcare_terminal::draw_qr(invitation.expose());
        let too_long = "the invitation is too long for a QR code: hand it over as text";
        print(&code.map_err(|_| GatewayError::Refused(too_long))?)?;
    }
    print(&output::render(&answer, output))
}

async fn list(config: &Config, records: &Records) -> Result<()> {
    let until = if records.follow { Until::Stopped } else { Until::CaughtUp };
    let form = if records.events { LineForm::Events } else { LineForm::Resources };
    let mut to = io::BufWriter::new(io::stdout());
    let listed = match reach(config).await? {
        Reached::Running(gateway) => {
            let print_line = |line: &Line| write_line(&mut to, line, form, until);
            gateway.ask(&Request::Records { until }, print_line).await.map(drop)
        }
        Reached::Opened(desk) => {
            eprintln!("listed without the relay: a patient may have stopped since the gateway last ran");
            let mut lines = Lines::new(&desk, until).await?;
            while lines.position() != Position::End {
                for line in lines.next(&desk).await? {
                    write_line(&mut to, &line, form, until)?;
                }
            }
            Ok(())
        }
    };
    match listed.and_then(|()| to.flush().map_err(GatewayError::Output)) {
        // Whoever reads has read enough, as `head` does.
        Err(GatewayError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// A follower sees each line at once.
fn write_line(to: &mut impl io::Write, line: &Line, form: LineForm, until: Until) -> Result<()> {
    let Some(text) = line.text(form)? else { return Ok(()) };
    let written = to.write_all(text.as_bytes()).and_then(|()| to.write_all(b"\n"));
    let flushed = written.and_then(|()| if until == Until::Stopped { to.flush() } else { Ok(()) });
    flushed.map_err(GatewayError::Output)
}

async fn print_answer(config: &Config, request: Request, output: Output) -> Result<()> {
    let answer = ask(config, request).await?;
    print(&output::render(&answer, output))
}

/// Asks the gateway that runs in the data folder, or does it here.
///
/// # Errors
/// [`GatewayError`], by name.
pub(crate) async fn ask(config: &Config, request: Request) -> Result<Answer> {
    match reach(config).await? {
        Reached::Running(gateway) => gateway.ask(&request, |_| Ok(())).await,
        Reached::Opened(desk) => desk.answer(request).await,
    }
}

/// Where a command is carried out.
enum Reached {
    /// By the gateway that runs.
    Running(Connected),
    /// Here.
    Opened(Desk),
}

/// The gateway that runs in the data folder, or its vault.
async fn reach(config: &Config) -> Result<Reached> {
    let mut tries = OPEN_TRIES;
    loop {
        if let Some(gateway) = control::connect(&config.home.socket()).await? {
            return Ok(Reached::Running(gateway));
        }
        match open(config).await {
            Err(GatewayError::Vault(VaultError::InUse)) if tries > 0 => tries -= 1,
            opened => return opened.map(Reached::Opened),
        }
        tokio::time::sleep(OPEN_RETRY).await;
    }
}

async fn open(config: &Config) -> Result<Desk> {
    let (home, trust) = (config.home.clone(), config.trust()?);
    if !home.has_vault() {
        return Err(GatewayError::Config(
            "no organization was founded in this data folder: `sealcare-gateway init` does that".into(),
        ));
    }
    let opened = tokio::task::spawn_blocking(move || {
        let vault = Arc::new(home.open_vault()?);
        let organization = Organization::open(vault, SystemClock.now(), &mut rand::rng())?;
        let desk = Desk::new(Arc::new(organization), trust);
        // What a stopped gateway has received and not taken up yet.
        if let Err(error) = desk.take_up()?.outcome {
            serve::survivable(error, "an event could not be taken up")?;
        }
        Ok(desk)
    });
    opened.await.map_err(|_| GatewayError::Task)?
}

fn print(text: &str) -> Result<()> {
    let mut to = io::stdout().lock();
    writeln!(to, "{text}").and_then(|()| to.flush()).map_err(GatewayError::Output)
}
