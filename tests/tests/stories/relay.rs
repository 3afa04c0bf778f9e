//! Stories of a relay's years, by the commands: its two engines, its operator, a lost disk.

use sealcare_tests::{
    cast::{Cast, Engine},
    relay_files::{contents, data_envelopes, sessions},
    world::heart_rate_fhir,
};

/// Shares through kills of the relay, stops, and looks for what is left on its disk.
async fn from_the_first_word_to_the_last(engine: Engine) {
    let mut cast = Cast::on(engine).await;
    let (rosa, code) = cast.sharing_phone("rosa").await;
    for (number, beats) in [(1, 61), (2, 62), (3, 63)] {
        rosa.imports([heart_rate_fhir(number, beats)]).await;
        let _cut_off = tokio::join!(rosa.tries(&["share"]), async {
            cast.kill_relay().await;
            cast.start_relay().await;
        });
    }
    rosa.shares_all(3).await;
    cast.sees(&["61", "62", "63"]).await;
    cast.kill_gateway().await;
    rosa.imports([heart_rate_fhir(4, 64)]).await;
    rosa.does(&["share"]).await;
    let relay = cast.place("relay");
    let sessions = sessions(&contents(&relay), &cast.epochs());
    assert!(data_envelopes(&contents(&relay), &sessions) > 0, "one waits");
    rosa.does(&["revoke", &code]).await;
    cast.relays_disk("forgets the envelopes", |kept| data_envelopes(kept, &sessions) == 0).await;
    cast.start_gateway().await;
    rosa.shares_until("the stop is confirmed", |grant| grant["state"] == "revoked").await;
    cast.sees(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_default_engine_kills_lose_nothing_and_a_stop_leaves_no_bytes() {
    from_the_first_word_to_the_last(Engine::Fjall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_other_engine_kills_lose_nothing_and_a_stop_leaves_no_bytes() {
    from_the_first_word_to_the_last(Engine::Sled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_organization_receives_nothing_and_then_everything() {
    let cast = Cast::start().await;
    let ((rosa, _), (bea, code)) = (cast.sharing_phone("rosa").await, cast.sharing_phone("bea").await);
    cast.operator("suspend").await;
    rosa.imports([heart_rate_fhir(1, 61)]).await;
    let told = rosa.is_refused(&["share"]).await;
    assert!(told.contains("operator"), "{told}");
    bea.does(&["revoke", &code]).await;
    cast.sees(&[]).await;
    cast.operator("approve").await;
    rosa.shares_all(1).await;
    cast.sees(&["61"]).await;
    bea.shares_until("the stop is confirmed", |grant| grant["state"] == "revoked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_from_a_backup_loses_nothing_and_takes_nothing_that_was_stopped() {
    let mut cast = Cast::start().await;
    let ((rosa, _), (bea, code)) = (cast.sharing_phone("rosa").await, cast.sharing_phone("bea").await);
    rosa.imports([heart_rate_fhir(1, 61)]).await;
    rosa.shares_all(1).await;
    bea.imports([heart_rate_fhir(2, 62)]).await;
    bea.shares_all(1).await;
    let forgotten = bea.copied("forgotten");
    cast.relay_command(&["backup", &cast.text("relay.backup")]).await;
    bea.does(&["revoke", &code]).await;
    bea.shares_until("the stop is confirmed", |grant| grant["state"] == "revoked").await;
    rosa.imports([heart_rate_fhir(3, 63)]).await;
    cast.kill_gateway().await;
    rosa.does(&["share"]).await;
    cast.restore_relay("relay.backup").await;
    cast.start_gateway().await;
    rosa.imports([heart_rate_fhir(4, 64)]).await;
    cast.sees_from(&rosa, &["61", "63", "64"]).await;
    forgotten.imports([heart_rate_fhir(5, 65)]).await;
    // The relay has forgotten the patient's word; the organization's has come again.
    forgotten.shares_until("the end is heard of", |grant| grant["state"] == "ended").await;
    cast.sees(&["61", "63", "64"]).await;
}
