//! The desk: what staff's commands do at an open organization, whether they came over the control socket or the
//! command opened the vault itself. Not here: how answers are printed (`output`).

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use sealcare_provider::{
    ChartPatient, Clock, DirectoryChannel, Grant, GrantStatus, HoldReason, InvitationChannel, KeyOffer,
    LinkState, Organization, OrganizationState, Person, ProviderError, Renewal, SystemClock, Timestamp,
    Trust,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::{GatewayError, Result};
use crate::handle::{GrantHandle, GrantName};
use crate::records::Until;
use crate::report::{self, HeldGrant, Status};
use crate::secret_text::SecretText;
use crate::view;

/// What can be asked.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Ask the relay's operator to list the organization.
    Register,
    /// Make an invitation for one patient of the chart.
    Invite { patient: String, name: String, birth_date: String },
    /// The grants that staff must look at.
    Held,
    /// Let a held grant through: for the reasons that staff saw, or for all that it is held for now.
    Admit { grant: GrantName, seen: Vec<String> },
    /// End a held grant.
    Reject { grant: GrantName },
    /// How the gateway stands.
    Status,
    /// Replace the epoch keys at once.
    ReplaceEpochs,
    /// Draw gateway keys for the root to sign.
    OfferKeys,
    /// Take into use what the root signed.
    Renew { renewal: Renewal },
    /// Write a backup into a new folder, by its absolute path.
    BackUp { dir: PathBuf },
    /// The record view; answered line by line.
    Records { until: Until },
}

/// What is answered.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// How the organization stands at its relay: `pending`, `approved`, `suspended` or `unknown`.
    Registered { state: String, root_fingerprint: String },
    /// The invitation, as text.
    Invited { invitation: SecretText },
    /// The grants that staff must look at, by their ids.
    Held { grants: Vec<HeldGrant> },
    /// It was let through, unless there are reasons left.
    Admitted { grant: String, left: Vec<String> },
    /// It was ended.
    Rejected { grant: String },
    /// How the gateway stands.
    Status(Box<Status>),
    /// The epoch keys were replaced.
    EpochsReplaced,
    /// Gateway keys for the root to sign.
    Offered(Box<KeyOffer>),
    /// What the root signed is in use.
    Renewed {
        /// Until when, milliseconds since 1970.
        until_ms: u64,
        /// Whether what the keys before signed is refused from now on.
        is_disowned: bool,
    },
    /// The backup is written.
    BackedUp,
    /// Every line was sent.
    Listed,
}

/// What only a running gateway knows.
pub(crate) struct Running {
    /// Where the subscription stands.
    pub(crate) link: watch::Receiver<LinkState>,
    /// The record view's head.
    pub(crate) head: watch::Receiver<u64>,
    /// Refusals that were counted before it started.
    pub(crate) refused_before: BTreeMap<String, u64>,
}

/// What became of the events that waited.
pub(crate) struct TakenUp {
    /// The record view's head.
    pub(crate) head: u64,
    /// The first error among those that wait still.
    pub(crate) outcome: Result<()>,
}

/// An open organization, and how to reach its relay.
#[derive(Clone)]
pub(crate) struct Desk {
    organization: Arc<Organization>,
    trust: Trust,
    clock: Arc<dyn Clock>,
    running: Option<Arc<Running>>,
}

impl Desk {
    pub(crate) fn new(organization: Arc<Organization>, trust: Trust) -> Self {
        Self { organization, trust, clock: Arc::new(SystemClock), running: None }
    }

    pub(crate) fn with_running(mut self, running: Running) -> Self {
        self.running = Some(Arc::new(running));
        self
    }

    pub(crate) fn organization(&self) -> &Organization {
        &self.organization
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether records come in while this desk is open.
    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn running(&self) -> Option<&Running> {
        self.running.as_deref()
    }

    /// Runs what waits for the disk on a thread of its own.
    ///
    /// # Errors
    /// Those of `work`; [`GatewayError::Task`] if it panicked.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let desk = self.clone();
        tokio::task::spawn_blocking(move || work(&desk)).await.map_err(|_| GatewayError::Task)?
    }

    /// Returns once the record view has changes from number `next` on.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] once nothing will come any more.
    pub(crate) async fn head_above(&self, next: u64) -> Result<()> {
        let stopped = GatewayError::Unavailable("the gateway stopped");
        let Some(running) = &self.running else { return Err(stopped) };
        let mut head = running.head.clone();
        head.wait_for(|head| *head > next).await.map(drop).map_err(|_| stopped)
    }

    /// Does what is asked, but for [`Request::Records`], which is answered line by line.
    ///
    /// # Errors
    /// [`GatewayError`], by name.
    pub(crate) async fn answer(&self, request: Request) -> Result<Answer> {
        match request {
            Request::Register => self.register().await,
            Request::Invite { patient, name, birth_date } => {
                self.blocking(move |desk| desk.invite(&patient, &name, &birth_date)).await
            }
            Request::Held => {
                self.blocking(|desk| report::held(desk).map(|grants| Answer::Held { grants })).await
            }
            Request::Admit { grant, seen } => self.blocking(move |desk| desk.admit(&grant, &seen)).await,
            Request::Reject { grant } => self.blocking(move |desk| desk.reject(&grant)).await,
            Request::Status => {
                self.blocking(|desk| report::status(desk).map(|status| Answer::Status(Box::new(status))))
                    .await
            }
            Request::ReplaceEpochs => self.blocking(Self::replace_epochs).await,
            Request::OfferKeys => self.blocking(Self::offer_keys).await,
            Request::Renew { renewal } => self.blocking(move |desk| desk.renew(&renewal)).await,
            Request::BackUp { dir } => self.blocking(move |desk| desk.back_up(&dir)).await,
            Request::Records { .. } => Err(GatewayError::Input("records are answered line by line")),
        }
    }

    async fn register(&self) -> Result<Answer> {
        let directory =
            DirectoryChannel::new(self.organization.relay(), &self.trust).map_err(ProviderError::from)?;
        let state = match self.organization.register(&directory, self.now()).await? {
            OrganizationState::Pending => "pending",
            OrganizationState::Approved => "approved",
            OrganizationState::Suspended => "suspended",
            _ => "unknown",
        };
        let root_fingerprint = self.organization.bundle().authority().root_fingerprint().to_string();
        Ok(Answer::Registered { state: state.to_owned(), root_fingerprint })
    }

    /// On paper, for this version knows no sign-in: the grant starts held.
    fn invite(&self, patient: &str, name: &str, birth_date: &str) -> Result<Answer> {
        let patient: ChartPatient = patient.parse()?;
        let person = Person::new(name, birth_date).map_err(|_| {
            GatewayError::Input(
                "a name has 1 to 256 bytes and no control characters, a birth date is YYYY-MM-DD",
            )
        })?;
        let invited = self.organization.invite(
            &patient,
            &person,
            InvitationChannel::Paper,
            self.now(),
            &mut rand::rng(),
        )?;
        Ok(Answer::Invited { invitation: SecretText::new(invited.to_text()) })
    }

    fn admit(&self, name: &GrantName, seen: &[String]) -> Result<Answer> {
        let mut grant = self.find(name)?;
        if !seen.is_empty() {
            let seen = seen.iter().map(|name| HoldReason::named(name));
            grant.held = seen.collect::<Option<_>>().ok_or(GatewayError::Input(
                "a grant is held for `paper` or `person-mismatch`; `held` lists the reasons",
            ))?;
        }
        let left = self.organization.admit(&grant, self.now())?;
        let left = left.iter().map(|reason| reason.name().to_owned()).collect();
        Ok(Answer::Admitted { grant: GrantHandle::of(&grant.id).to_string(), left })
    }

    fn reject(&self, name: &GrantName) -> Result<Answer> {
        let grant = self.find(name)?.id;
        self.organization.reject(&grant, self.now())?;
        Ok(Answer::Rejected { grant: GrantHandle::of(&grant).to_string() })
    }

    /// The one grant that is meant. A short code is read off a patient's screen, so it means a held grant before
    /// any other of the same code.
    fn find(&self, name: &GrantName) -> Result<Grant> {
        let named = self.grants()?.into_iter().filter(|grant| name.names(grant));
        let (held, others): (Vec<Grant>, Vec<Grant>) =
            named.partition(|grant| grant.status == GrantStatus::Held);
        match (<[Grant; 1]>::try_from(held), others.len()) {
            (Ok([grant]), _) => Ok(grant),
            (Err(held), 1) if held.is_empty() => Ok(others.into_iter().next().expect("there is one")),
            (Err(held), 0) if held.is_empty() => Err(ProviderError::UnknownGrant.into()),
            _ => Err(GatewayError::Input(
                "several grants have this name: use the id that `held --json` prints",
            )),
        }
    }

    /// All grants that are not over.
    ///
    /// # Errors
    /// Those of the vault.
    pub(crate) fn grants(&self) -> Result<Vec<Grant>> {
        let (mut grants, now) = (Vec::new(), self.now());
        loop {
            let page = self.organization.grants(grants.last().map(|grant: &Grant| &grant.id), now)?;
            if page.is_empty() {
                return Ok(grants);
            }
            grants.extend(page);
        }
    }

    /// Takes up every event that waits. A grant whose event cannot be taken up holds up no other.
    ///
    /// # Errors
    /// Of the vault, where the view's head cannot be read. What could not be taken up is in the answer.
    pub(crate) fn take_up(&self) -> Result<TakenUp> {
        let vault = self.organization.vault();
        let processed = self.organization.process(|tx, event| {
            tracing::info!(event = event.kind.name(), "received");
            view::apply(vault, tx, event)
        });
        let outcome = processed.map(drop).map_err(GatewayError::from);
        Ok(TakenUp { head: vault.read(view::head)?, outcome })
    }
}
