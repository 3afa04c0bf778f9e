//! A whole story by real processes, with everything logged that can be logged and every error provoked that a person
//! can provoke. Afterwards nothing of the patient is in any log or error, and no token, key or raw id.
#![allow(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use sealcare_client::{GrantId, Invitation, Patient, Unlock, Vault};
use sealcare_tests::{
    needles::Needles,
    world::{Certificates, Ended, PATIENCE, Program, Role, free_port, soon},
};
use serde_json::Value;

const NAME: &str = "Rosa Exemplar";
const BIRTH_DATE: &str = "1961-03-09";
const CHART: &str = "urn:oid:2.16.840.1.113883.19.5|MRN-88213";
const PASSPHRASE: &str = "correct horse battery";
const BEATS: &str = "71.8263";
const LOT: &str = "LOT-QX7731";
const LAB_VALUE: &str = "4.72915";
const RECORD_ID: &str = "5d2f8f6e-6a0b-4c53-9b0e-7f3c2a1d9e44";
/// The relay's engine logs keys of its own at debug, which are ids; its default level, and this one, leave them out.
const RELAY_LOGS: &str = "debug,fjall=warn,lsm_tree=warn";
/// Between two questions to a program; it is the answer that is awaited.
const PACE: Duration = Duration::from_millis(50);

/// Everybody's folders, and all that was ever written to a standard error.
struct Cast {
    folder: tempfile::TempDir,
    certificates: Certificates,
    domain_port: u16,
    errors: Vec<String>,
    running: Vec<Program>,
}

impl Cast {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::make(folder.path());
        let (relay_port, domain_port) = (free_port(), free_port());
        let mut cast = Self { folder, certificates, domain_port, errors: Vec::new(), running: Vec::new() };
        let (data, listen) = (cast.place("relay"), ([127, 0, 0, 1], relay_port).into());
        let relay =
            Program::relay(&data, listen, &cast.certificates).logging(RELAY_LOGS, &cast.place("relay.log"));
        let relay = relay.spawn_listening(relay_port).await;
        let (domain, origin) =
            (format!("localhost:{domain_port}"), format!("https://localhost:{relay_port}"));
        let root = cast.place("root.toml").display().to_string();
        cast.gateway(&["init", "--domain", &domain, "--relay", &origin, "--root-out", &root]).await;
        cast.gateway(&["register"]).await;
        cast.run(Role::Relay, ["approve".into(), domain.into(), data.into()]).await;
        let serving = cast.serve_gateway().await;
        cast.running = vec![relay, serving];
        cast
    }

    async fn serve_gateway(&self) -> Program {
        let listen = format!("127.0.0.1:{}", self.domain_port);
        let (chain, key) =
            (self.certificates.chain.to_str().unwrap(), self.certificates.key.to_str().unwrap());
        let args = ["serve", "--listen", &listen, "--tls-cert", chain, "--tls-key", key];
        let gateway = Program::new(Role::Gateway, self.gateway_args(&args));
        gateway.logging("debug", &self.place("gateway.log")).spawn_listening(self.domain_port).await
    }

    fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> String {
        std::fs::write(self.place(name), content).unwrap();
        self.place(name).to_str().unwrap().to_owned()
    }

    async fn run(&mut self, role: Role, args: impl IntoIterator<Item = OsString>) -> Ended {
        let ended = Program::new(role, args).run().await;
        self.errors.push(ended.err.clone());
        ended
    }

    fn gateway_args(&self, args: &[&str]) -> Vec<OsString> {
        let at: [OsString; 4] = [
            "--data".into(),
            self.place("gateway").into(),
            "--danger-extra-roots".into(),
            self.certificates.roots.clone().into(),
        ];
        args.iter().map(OsString::from).chain(at).collect()
    }

    /// A command of the organization's staff that goes well.
    async fn gateway(&mut self, args: &[&str]) -> String {
        let ended = self.run(Role::Gateway, self.gateway_args(args)).await;
        assert_eq!(ended.status, 0, "{args:?}: {ended:?}");
        ended.out
    }

    async fn sealcare(&mut self, home: &str, args: &[&str]) -> Ended {
        let passphrase = self.file("passphrase", PASSPHRASE);
        self.sealcare_with(home, &passphrase, args).await
    }

    async fn sealcare_with(&mut self, home: &str, passphrase_file: &str, args: &[&str]) -> Ended {
        let at: [OsString; 8] = [
            "--home".into(),
            self.place(home).into(),
            "--passphrase-file".into(),
            passphrase_file.into(),
            "--danger-extra-roots".into(),
            self.certificates.roots.clone().into(),
            "--danger-resolve".into(),
            "localhost=127.0.0.1".into(),
        ];
        let args = at.into_iter().chain(args.iter().map(OsString::from));
        self.run(Role::Patient, args).await
    }

    /// A command of the patient's that goes well.
    async fn patient(&mut self, args: &[&str]) -> String {
        let ended = self.sealcare("home", args).await;
        assert_eq!(ended.status, 0, "{args:?}: {ended:?}");
        ended.out
    }

    /// A command of the patient's that is refused.
    async fn refused(&mut self, home: &str, args: &[&str]) {
        let ended = self.sealcare(home, args).await;
        assert!(ended.status != 0 && !ended.err.is_empty(), "{args:?}: {ended:?}");
    }

    /// A command of the staff's that is refused.
    async fn refused_staff(&mut self, args: &[&str]) {
        let ended = self.run(Role::Gateway, self.gateway_args(args)).await;
        assert!(ended.status != 0 && !ended.err.is_empty(), "{args:?}: {ended:?}");
    }

    async fn invitation(&mut self) -> String {
        let args = ["invite", "--patient", CHART, "--name", NAME, "--birth-date", BIRTH_DATE, "--json"];
        let printed: Value = serde_json::from_str(&self.gateway(&args).await).unwrap();
        printed["invitation"].as_str().unwrap().to_owned()
    }

    /// Asks the staff's program until the answer is as wanted.
    async fn until(&mut self, args: &[&str], is_so: impl Fn(&str) -> bool) -> String {
        let mut pace = tokio::time::interval(PACE);
        let asking = async {
            loop {
                pace.tick().await;
                let answer = self.gateway(args).await;
                if is_so(&answer) {
                    return answer;
                }
            }
        };
        soon("the gateway's answer", asking).await
    }
}

fn records() -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"{RECORD_ID}","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}}]}},"subject":{{"reference":"Patient/1"}},"effectiveDateTime":"2024-01-02T10:00:00Z","valueQuantity":{{"value":{BEATS},"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}}}
{{"resourceType":"Observation","id":"lab","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"2345-7","display":"Glucose"}}]}},"subject":{{"reference":"Patient/1"}},"effectiveDateTime":"2024-01-03T10:00:00Z","valueQuantity":{{"value":{LAB_VALUE},"unit":"mmol/L","system":"http://unitsofmeasure.org","code":"mmol/L"}}}}
{{"resourceType":"Immunization","id":"shot","status":"completed","vaccineCode":{{"coding":[{{"system":"http://hl7.org/fhir/sid/cvx","code":"140"}}]}},"patient":{{"reference":"Patient/1"}},"occurrenceDateTime":"2023-10-01","lotNumber":"{LOT}"}}
"#
    )
}

/// Everything that goes wrong for a person before it goes well.
async fn go_wrong(cast: &mut Cast, invitation: &str) {
    let name = ["--name", NAME, "--birth-date", BIRTH_DATE];
    cast.refused("home", &[&["init"][..], &name].concat()).await;
    cast.refused("other", &["init", "--name", NAME, "--birth-date", "1961-03-09T00:00"]).await;
    let cut = cast.file("cut.json", &records()[..300]);
    cast.refused("home", &["import", &cut]).await;
    let broken = format!(r#"<HealthData><Record type="{NAME}" value="{BEATS}" startDate="{BIRTH_DATE}"<"#);
    let broken = cast.file("export.xml", &broken);
    cast.refused("home", &["import", &broken]).await;
    let damaged = invitation.replace(&invitation[20..24], "xxxx");
    for bad in [&invitation[..invitation.len() / 2], &damaged, NAME] {
        cast.refused("home", &["accept", "--yes", bad]).await;
    }
    let wrong = cast.file("wrong", "correct horse battery!");
    let ended = cast.sealcare_with("home", &wrong, &["status"]).await;
    assert_ne!(ended.status, 0, "{ended:?}");
    let staff = |patient, date| ["invite", "--patient", patient, "--name", NAME, "--birth-date", date];
    cast.refused_staff(&staff("MRN-88213", BIRTH_DATE)).await;
    cast.refused_staff(&staff(CHART, "1961-03-09T00:00")).await;
    cast.refused_staff(&["admit", NAME]).await;
}

/// The story; returns the grant's id.
async fn share_and_stop(cast: &mut Cast, invitation: &str) -> GrantId {
    let file = cast.file("records.ndjson", &records());
    cast.patient(&["import", "--yes", &file]).await;
    let accepted: Value =
        serde_json::from_str(&cast.patient(&["accept", "--yes", "--json", invitation]).await).unwrap();
    let code = accepted["code"].as_str().unwrap();
    cast.refused("home", &["accept", "--yes", invitation]).await;
    cast.sealcare("thief", &["init", "--name", "Bo Thief", "--birth-date", "1990-01-01"]).await;
    cast.refused("thief", &["accept", "--yes", invitation]).await;
    cast.patient(&["share"]).await;
    cast.until(&["held", "--json"], |held| held.contains(code)).await;
    cast.gateway(&["admit", code]).await;
    let seen = cast.until(&["records"], |seen| seen.lines().count() == 3).await;
    assert!([BEATS, LAB_VALUE, LOT, "MRN-88213"].iter().all(|told| seen.contains(told)), "{seen}");
    cast.patient(&["share"]).await;
    cast.patient(&["status"]).await;
    let grant = grant(cast).await;
    cast.patient(&["revoke", code]).await;
    cast.until(&["records"], str::is_empty).await;
    cast.refused_staff(&["admit", code]).await;
    cast.patient(&["share"]).await;
    grant
}

/// As the patient's own vault names it.
async fn grant(cast: &Cast) -> GrantId {
    let unlock = Unlock::Passphrase(PASSPHRASE.to_owned().into());
    let vault = Vault::open(&cast.place("home").join("vault"), &unlock).unwrap();
    let patient = Patient::builder(vault).open().await.unwrap();
    patient.status().await.unwrap()[0].grant
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_and_no_error_holds_anything_of_the_patient() {
    let mut cast = Cast::start().await;
    cast.patient(&["init", "--name", NAME, "--birth-date", BIRTH_DATE]).await;
    let text = cast.invitation().await;
    let invitation = Invitation::from_text(&text).unwrap();
    tokio::time::timeout(PATIENCE, go_wrong(&mut cast, &text)).await.unwrap();
    let grant = share_and_stop(&mut cast, &text).await;
    let secrets: &[(&str, &[u8])] = &[
        ("first name", b"Rosa"),
        ("last name", b"Exemplar"),
        ("birth date", BIRTH_DATE.as_bytes()),
        ("chart id", b"MRN-88213"),
        ("passphrase", PASSPHRASE.as_bytes()),
        ("heart rate", BEATS.as_bytes()),
        ("lab value", LAB_VALUE.as_bytes()),
        ("lot number", LOT.as_bytes()),
        ("record id", RECORD_ID.as_bytes()),
        ("beginning of a JSON token", b"{\"alg\":\""),
        ("FHIR", b"resourceType"),
        ("link code", invitation.link_code.as_bytes()),
        ("ticket signature", &invitation.ticket.signature),
        ("organization id", invitation.organization.as_bytes()),
        ("grant id", grant.as_bytes()),
    ];
    let needles = Needles::new(secrets);
    for program in std::mem::take(&mut cast.running) {
        program.kill().await;
    }
    let errors = cast.file("errors.log", &cast.errors.join("\n"));
    let logs = [cast.place("relay.log"), cast.place("gateway.log"), Path::new(&errors).to_path_buf()];
    for log in logs {
        let told = std::fs::read(&log).unwrap();
        let place = log.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(told.len() > 500, "{place} tells something");
        assert!(place == "errors.log" || told.windows(5).any(|word| word == b"DEBUG"), "{place}");
        let found = needles.found_in(&told);
        assert!(found.is_empty(), "{place} holds: {found:?}\n{}", String::from_utf8_lossy(&told));
        for (name, secret) in secrets {
            // What is planted among what was told is found.
            let planted = [&told[..], secret, &told[..]].concat();
            assert_eq!(needles.found_in(&planted).first(), Some(name), "{place}");
        }
    }
}
