//! A story's actors as programs: a relay, an organization's gateway and patients' phones, each a process of its own that
//! is given commands as a person gives them. Days pass for all of them at once ([`Cast::later`]).
//!
//! Not here: the SDKs' actors in this process, whose clock and envelopes a story can touch (`world`).
#![allow(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod follower;
mod phone;
mod stage;

use std::{ffi::OsString, ops::Deref, sync::Arc, time::Duration};

use sealcare_protocol::{Clock as _, KeyId, SystemClock};
use sealcare_provider::Organization;
use sealcare_vault::{Unlock, Vault};
use serde_json::Value;

use crate::{
    relay_files::contents,
    world::{Ended, Program, Role, TimeTravel, soon},
};

pub use follower::Follower;
pub use phone::{PASSPHRASE, Phone};
pub use stage::{Engine, Stage};

/// The person that charts and phones mean.
pub const NAME: &str = "Rosa Exemplar";
/// That person's birth date.
pub const BIRTH_DATE: &str = "1961-03-09";
/// The chart's own number for that person.
pub const CHART: &str = "urn:oid:2.16.840.1.113883.19.5|MRN-88213";
/// Exit status of `status` that raises an alarm.
const ALARMED: i32 = 2;
/// Between two questions to a program; it is the answer that is awaited.
const PACE: Duration = Duration::from_millis(50);

/// Everybody, on one stage.
pub struct Cast {
    stage: Arc<Stage>,
    relay: Option<Program>,
    gateway: Option<Program>,
    relay_data: String,
    gateway_data: String,
}

impl Cast {
    /// A relay with an approved organization, in a day that lasts.
    pub async fn start() -> Self {
        Self::on(Engine::Fjall).await
    }

    /// The same, on that engine.
    pub async fn on(engine: Engine) -> Self {
        Self::set(Stage::set(engine, None)).await
    }

    /// The same, for whom days can pass; none where the machine cannot do that.
    pub async fn through_time() -> Option<Self> {
        let travel = TimeTravel::found()?;
        Some(Self::set(Stage::set(Engine::Fjall, Some(travel))).await)
    }

    async fn set(stage: Stage) -> Self {
        let (relay_data, gateway_data) = ("relay".to_owned(), "gateway".to_owned());
        let mut cast = Self { stage: Arc::new(stage), relay: None, gateway: None, relay_data, gateway_data };
        cast.start_relay().await;
        let (domain, origin, root) = (cast.domain(), cast.origin(), cast.text("root.toml"));
        cast.staff(&["init", "--domain", &domain, "--relay", &origin, "--root-out", &root]).await;
        cast.staff(&["register"]).await;
        cast.operator("approve").await;
        cast.start_gateway().await;
        cast
    }

    /// So many days pass while no program runs; then the servers start again.
    pub async fn later(&mut self, days: u32) {
        self.kill_gateway().await;
        self.kill_relay().await;
        self.stage.is_later(days);
        self.start_relay().await;
        self.start_gateway().await;
    }

    /// Starts the relay on what the one before has left.
    pub async fn start_relay(&mut self) {
        self.relay = Some(self.stage.start_relay(&self.relay_data).await);
    }

    /// Ends the relay by SIGKILL.
    pub async fn kill_relay(&mut self) {
        if let Some(relay) = self.relay.take() {
            relay.kill().await;
        }
    }

    /// Starts the gateway on what the one before has left.
    pub async fn start_gateway(&mut self) {
        self.gateway = Some(self.stage.start_gateway(&self.gateway_data).await);
    }

    /// Ends the gateway by SIGKILL.
    pub async fn kill_gateway(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.kill().await;
        }
    }

    /// A command of the organization's staff that goes well: what it printed.
    pub async fn staff(&self, args: &[&str]) -> String {
        let ended = self.staff_tries(args).await;
        assert_eq!(ended.status, 0, "{args:?}: {ended:?}");
        ended.out
    }

    /// A command of the organization's staff that goes well: the object that it printed.
    pub async fn staff_tells(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.staff(&[args, &["--json"]].concat()).await).unwrap()
    }

    /// A command of the organization's staff.
    pub async fn staff_tries(&self, args: &[&str]) -> Ended {
        self.stage.run(Role::Gateway, self.stage.staff_args(&self.gateway_data, args)).await
    }

    /// A command of the staff's that is refused in words for people, which are returned.
    pub async fn staff_is_refused(&self, args: &[&str]) -> String {
        let ended = self.staff_tries(args).await;
        assert!(ended.status != 0 && !ended.err.is_empty(), "{args:?}: {ended:?}");
        assert!(!ended.err.contains("panicked"), "{ended:?}");
        ended.err
    }

    /// The relay's operator approves or suspends the organization.
    pub async fn operator(&self, verb: &str) {
        let domain = self.domain();
        match verb {
            "approve" => {
                let listed: Value = serde_json::from_str(&self.decide(&["list", "--json"]).await).unwrap();
                let fingerprint = listed["organizations"][0]["root_fingerprint"].as_str().unwrap();
                self.decide(&[verb, &domain, "--fingerprint", fingerprint]).await
            }
            _ => self.decide(&[verb, &domain]).await,
        };
    }

    async fn decide(&self, args: &[&str]) -> String {
        let data = self.text(&self.relay_data);
        let args = [&["organization"], args, &["--data", &data]].concat();
        let ended = self.stage.run(Role::Relay, args.iter().map(OsString::from)).await;
        assert_eq!(ended.status, 0, "{args:?}: {ended:?}");
        ended.out
    }

    /// A command of the relay's operator beside those for organizations; it goes well.
    pub async fn relay_command(&self, args: &[&str]) {
        let data = self.text(&self.relay_data);
        let args = [args, &["--data", &data]].concat();
        let ended = self.stage.run(Role::Relay, args.iter().map(OsString::from)).await;
        assert_eq!(ended.status, 0, "{args:?}: {ended:?}");
    }

    /// The relay's disk is lost; another relay begins with a backup.
    pub async fn restore_relay(&mut self, backup: &str) {
        self.kill_relay().await;
        "restored-relay".clone_into(&mut self.relay_data);
        self.relay_command(&["restore", &self.text(backup)]).await;
        self.start_relay().await;
    }

    /// The gateway's disk is lost, but for the vault's key; another gateway begins with a backup.
    pub async fn restore_gateway(&mut self, backup: &str) {
        self.kill_gateway().await;
        std::fs::remove_dir_all(self.place(&self.gateway_data)).unwrap();
        self.staff(&["restore", &self.text(backup)]).await;
        self.start_gateway().await;
    }

    /// Waits until what lies on the relay's disk is as wanted.
    pub async fn relays_disk(&self, what: &str, is_so: impl Fn(&[u8]) -> bool) {
        let mut pace = tokio::time::interval(PACE);
        let looking = async {
            while !is_so(&contents(&self.place(&self.relay_data))) {
                pace.tick().await;
            }
        };
        soon(&format!("the relay's disk {what}"), looking).await;
    }

    /// Asks the staff's program until the answer is as wanted.
    pub async fn until(&self, args: &[&str], is_so: impl Fn(&str) -> bool) -> String {
        let mut pace = tokio::time::interval(PACE);
        let asking = async {
            loop {
                pace.tick().await;
                let ended = self.staff_tries(args).await;
                if ended.status == 0 && is_so(&ended.out) {
                    return ended.out;
                }
            }
        };
        soon(&format!("an answer to {args:?}"), asking).await
    }

    /// Waits until staff see these values and lots, and nothing else; sorted as texts.
    pub async fn sees(&self, values: &[&str]) {
        self.until(&["records"], |records| values_of(records) == values).await;
    }

    /// The ids of the organization's present keys, read from the vault of a gateway that does not run.
    pub fn epochs(&self) -> Vec<KeyId> {
        let data = self.place(&self.gateway_data);
        let unlock = Unlock::SecretFile(data.with_extension("key"));
        let vault = Arc::new(Vault::open(&data.join("vault"), &unlock).unwrap());
        let organization = Organization::open(vault, SystemClock.now(), &mut rand::rng()).unwrap();
        organization.bundle().epochs().iter().map(|epoch| epoch.key.id()).collect()
    }

    /// The same, while that phone goes on sharing.
    pub async fn sees_from(&self, phone: &Phone, values: &[&str]) {
        tokio::select! {
            () = self.sees(values) => {}
            () = phone.shares_on() => {}
        }
    }

    /// How the gateway stands, with or without an alarm.
    pub async fn status(&self) -> Value {
        let ended = self.staff_tries(&["status", "--json"]).await;
        assert!([0, ALARMED].contains(&ended.status), "{ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    }

    /// Asks how the gateway stands until that is as wanted.
    pub async fn stands(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut pace = tokio::time::interval(PACE);
        let asking = async {
            loop {
                pace.tick().await;
                let status = self.status().await;
                if is_so(&status) {
                    return status;
                }
            }
        };
        soon(what, asking).await
    }

    /// Waits until the organization's only grant is in that state.
    pub async fn grant_is(&self, state: &str) {
        self.stands(&format!("a grant is {state}"), |status| status["grants"][0]["state"] == state).await;
    }

    /// Everything that happens from now on, as the staff's program tells it.
    pub fn follow(&self) -> Follower {
        let args = self.stage.staff_args(&self.gateway_data, &["records", "--follow", "--events"]);
        Follower::new(self.stage.start_printing(Role::Gateway, args))
    }

    /// An invitation for the chart's person, on paper.
    pub async fn invitation(&self) -> String {
        let args = ["invite", "--patient", CHART, "--name", NAME, "--birth-date", BIRTH_DATE];
        self.staff_tells(&args).await["invitation"].as_str().unwrap().to_owned()
    }

    /// A phone with a new account of the chart's person.
    pub async fn phone(&self, home: &str) -> Phone {
        let phone = self.blank_phone(home);
        phone.does(&["init", "--name", NAME, "--birth-date", BIRTH_DATE]).await;
        phone
    }

    /// A phone without an account.
    pub fn blank_phone(&self, home: &str) -> Phone {
        Phone::new(&self.stage, home)
    }

    /// A phone that shares everything, admitted by staff, and its code.
    pub async fn sharing_phone(&self, home: &str) -> (Phone, String) {
        let phone = self.phone(home).await;
        let code = self.connects(&phone).await;
        (phone, code)
    }

    /// Invites, accepts, and admits once staff have compared the code, which is returned.
    pub async fn connects(&self, phone: &Phone) -> String {
        let invitation = self.invitation().await;
        let accepted = phone.tells(&["accept", "--yes", &invitation]).await;
        let code = accepted["code"].as_str().unwrap().to_owned();
        phone.does(&["share"]).await;
        self.until(&["held", "--json"], |held| held.contains(&code)).await;
        self.staff(&["admit", &code]).await;
        code
    }
}

impl Deref for Cast {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

fn values_of(records: &str) -> Vec<String> {
    let value = |line: &str| {
        let resource: Value = serde_json::from_str(line).unwrap();
        let lot = resource["lotNumber"].as_str().map(str::to_owned);
        lot.unwrap_or_else(|| resource["valueQuantity"]["value"].to_string())
    };
    let mut values: Vec<_> = records.lines().map(value).collect();
    values.sort();
    values
}
