//! The operator's commands: a client of the relay's own socket.

use std::{fmt::Write as _, path::Path};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use hyper_util::rt::TokioIo;
use sealcare_proto::v1::{self as wire, admin_service_client::AdminServiceClient};
use sealcare_protocol::RootFingerprint;
use serde_json::json;
use tokio::net::UnixStream;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tower::service_fn;

use crate::{
    api::admin::entry,
    error::{Error, Result},
    store::{
        BackedUp,
        embedded::{self, EngineName},
    },
};

/// Name of the operator's socket in the data folder.
pub const SOCKET: &str = "admin.sock";

const AFTER_RESTORE: &str = "check these states: an approval or a suspension that is younger than the backup is not in \
it, and an organization that you suspended since receives again. Suspend it as soon as the relay serves.
next: `sealcare-relay serve`, and never again the relay that this one replaces. What it held undelivered is not in a \
backup: patients' apps send it again by themselves, and organizations repeat which grants they have ended. A grant that \
was made after the backup has to be accepted with a new invitation.";

/// What an operator decides.
#[derive(Clone, Debug)]
pub enum OrganizationCommand {
    /// List all organizations.
    List,
    /// Let an organization receive. Whoever runs it has compared its root fingerprint with its people.
    Approve {
        /// The organization's domain, `host[:port]`.
        domain: String,
    },
    /// Stop deposits and delivery of an organization; revocations go on.
    Suspend {
        /// The organization's domain, `host[:port]`.
        domain: String,
    },
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Runs a command at the relay in `data`; returns what to print.
///
/// # Errors
/// [`Error::Admin`], saying what to do.
pub async fn run(data: &Path, command: OrganizationCommand, output: Output) -> Result<String> {
    let mut client = connect(data).await?;
    match command {
        OrganizationCommand::List => {
            let listed = client.list_organizations(wire::ListOrganizationsRequest {}).await;
            let organizations = listed.map_err(|status| refused(&status))?.into_inner().organizations;
            Ok(render(&organizations, output))
        }
        OrganizationCommand::Approve { domain } => {
            let request =
                wire::ApproveOrganizationRequest { domain: domain.clone(), root_fingerprint: Bytes::new() };
            client.approve_organization(request).await.map_err(|status| refused(&status))?;
            Ok(decided(&domain, "approved", output))
        }
        OrganizationCommand::Suspend { domain } => {
            let request = wire::SuspendOrganizationRequest { domain: domain.clone() };
            client.suspend_organization(request).await.map_err(|status| refused(&status))?;
            Ok(decided(&domain, "suspended", output))
        }
    }
}

/// Approves the organization of `domain` if its root has this fingerprint; returns what to print.
///
/// # Errors
/// [`Error::Admin`], saying what to do.
pub async fn approve(
    data: &Path,
    domain: &str,
    fingerprint: RootFingerprint,
    output: Output,
) -> Result<String> {
    let root_fingerprint = Bytes::copy_from_slice(fingerprint.as_bytes());
    let request = wire::ApproveOrganizationRequest { domain: domain.to_owned(), root_fingerprint };
    connect(data).await?.approve_organization(request).await.map_err(|status| refused(&status))?;
    Ok(decided(domain, "approved", output))
}

/// The root fingerprint of the organization that registered `domain` at the relay in `data`.
///
/// # Errors
/// [`Error::Admin`], saying what to do.
pub async fn fingerprint(data: &Path, domain: &str) -> Result<RootFingerprint> {
    let listed = connect(data).await?.list_organizations(wire::ListOrganizationsRequest {}).await;
    let organizations = listed.map_err(|status| refused(&status))?.into_inner().organizations;
    let is_holder = |entry: &&wire::OrganizationEntry| {
        entry.organization.as_ref().is_some_and(|organization| organization.domain == domain)
    };
    let entry = organizations.iter().find(is_holder);
    let entry = entry.ok_or_else(|| refused(&Status::not_found("")))?;
    RootFingerprint::from_slice(&entry.root_fingerprint).map_err(|_| refused(&Status::unavailable("")))
}

/// Lets the relay in `data` write a backup of its store into `file`, which must not be there; returns what to
/// print. The relay goes on meanwhile.
///
/// # Errors
/// [`Error::Admin`], saying what to do.
pub async fn back_up(data: &Path, file: &Path, output: Output) -> Result<String> {
    let file_error = |source| Error::File { path: file.to_owned(), source };
    let absolute = std::path::absolute(file).map_err(file_error)?;
    let path = absolute.to_str().ok_or_else(|| Error::Admin("the file's name is not Unicode".into()))?;
    let request = wire::BackUpRequest { file: path.to_owned() };
    let written = connect(data).await?.back_up(request).await.map_err(|status| match status.code() {
        Code::AlreadyExists => Error::Admin("the file is there already; no backup replaces another".into()),
        Code::FailedPrecondition => Error::Admin(status.message().to_owned()),
        _ => refused(&status),
    })?;
    let wire::BackUpResponse { organizations, grants, tombstones } = written.into_inner();
    let counts = BackedUp { organizations, grants, tombstones };
    Ok(match output {
        Output::Text => counted("backed up", counts),
        Output::Json => counts_json(counts).to_string(),
    })
}

/// Makes the store of an empty data folder from a backup; returns what to print. Blocks.
///
/// # Errors
/// As for the store's restore: nothing was made then.
pub fn restore(data: &Path, engine: EngineName, file: &Path, output: Output) -> Result<String> {
    let (counts, organizations) = embedded::restore(data, engine, file)?;
    let entries: Vec<_> = organizations.iter().map(entry).collect();
    Ok(match output {
        Output::Text => {
            let (counts, states) = (counted("restored", counts), render(&entries, output));
            format!("{counts}\n{states}\n{AFTER_RESTORE}")
        }
        Output::Json => {
            let mut answer = counts_json(counts);
            answer["states"] = entries.iter().map(entry_json).collect();
            answer.to_string()
        }
    })
}

fn counted(done: &str, counts: BackedUp) -> String {
    let BackedUp { organizations, grants, tombstones } = counts;
    format!("{done}: {organizations} organizations, {grants} grants, {tombstones} of them closed")
}

fn counts_json(counts: BackedUp) -> serde_json::Value {
    let BackedUp { organizations, grants, tombstones } = counts;
    json!({ "organizations": organizations, "grants": grants, "tombstones": tombstones })
}

async fn connect(data: &Path) -> Result<AdminServiceClient<Channel>> {
    let path = data.join(SOCKET);
    let place = path.display().to_string();
    let connector = service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    // The address is never used: the connector goes to the socket.
    let endpoint = Endpoint::from_static("http://operator.invalid");
    let channel = endpoint.connect_with_connector(connector).await;
    let channel =
        channel.map_err(|_| Error::Admin(format!("no relay answers at {place}; is it running?")))?;
    Ok(AdminServiceClient::new(channel))
}

fn refused(status: &Status) -> Error {
    Error::Admin(match status.code() {
        Code::NotFound => "no organization has registered that domain; see `organization list`".into(),
        Code::AlreadyExists => "the organization has another root fingerprint: do not approve it".into(),
        Code::InvalidArgument => "that is not a domain (host[:port], lower case)".into(),
        _ => "the relay is unavailable; try again later".into(),
    })
}

fn state_name(entry: &wire::OrganizationEntry) -> &'static str {
    match entry.state() {
        wire::OrganizationState::Pending => "pending",
        wire::OrganizationState::Approved => "approved",
        wire::OrganizationState::Suspended => "suspended",
        wire::OrganizationState::Unspecified => "unknown",
    }
}

fn render(entries: &[wire::OrganizationEntry], output: Output) -> String {
    match output {
        Output::Json => {
            json!({ "organizations": entries.iter().map(entry_json).collect::<Vec<_>>() }).to_string()
        }
        Output::Text if entries.is_empty() => "no organizations".into(),
        Output::Text => {
            let mut text = String::from("STATE      ROOT FINGERPRINT  DOMAIN");
            for entry in entries {
                let domain = entry.organization.as_ref().map_or("", |organization| &organization.domain);
                let fingerprint = HEXLOWER.encode(entry.root_fingerprint.get(..8).unwrap_or_default());
                // Writing to a string does not fail.
                let _ = write!(text, "\n{:<10} {fingerprint}  {domain}", state_name(entry));
            }
            text
        }
    }
}

fn entry_json(entry: &wire::OrganizationEntry) -> serde_json::Value {
    let organization = entry.organization.clone().unwrap_or_default();
    json!({
        "domain": organization.domain,
        "organization_id": HEXLOWER.encode(&organization.organization_id),
        "state": state_name(entry),
        "registered_ms": entry.registered_ms,
        "bundle_expires_ms": entry.bundle_expires_ms,
        "root_fingerprint": HEXLOWER.encode(&entry.root_fingerprint),
    })
}

fn decided(domain: &str, state: &str, output: Output) -> String {
    match output {
        Output::Text => format!("{domain} is {state}"),
        Output::Json => json!({ "domain": domain, "state": state }).to_string(),
    }
}
