//! The organization's keys and its backup by command: what a person with the root file does, beside a running gateway,
//! and what patients notice of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::{fs, sync::Arc, time::Duration};

use sealcare_provider::{Clock as _, Organization, Roots, SystemClock};
use sealcare_vault::{Unlock, Vault};

use world::World;

impl World {
    fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn number(&self, field: &str) -> u64 {
        let status = self.status();
        let rest = status.split_once(&format!(r#""{field}":"#)).unwrap().1;
        rest.split([',', '}']).next().unwrap().parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_disowned_and_succeeded_while_a_patient_shares() {
    let world = World::new().await;
    let (roots, next) = (world.name("roots.toml"), world.name("next.toml"));
    let serial = world.number("bundle_serial");
    world.run(&["rotate"]).succeeds();
    assert!(world.number("bundle_serial") > serial);
    let until = world.number("keys_until_ms");
    let rotated = world.run(&["rotate", "--root", &roots, "--disown", "--json"]).succeeds();
    assert!(rotated.contains(r#""is_disowned":true"#));
    assert!(world.number("keys_until_ms") > until);
    let rotated = world.run(&["rotate", "--root", &roots, "--json"]).succeeds();
    assert!(rotated.contains(r#""is_disowned":false"#));
    let succeeded = world.run(&["succeed", "--root", &roots, "--out", &next, "--json"]).succeeds();
    assert!(succeeded.contains(r#""is_disowned":true"#));
    world.run(&["succeed", "--root", &roots, "--out", &world.name("third.toml")]).ends_with(77);
    assert!(!world.path("third.toml").exists());
    world.run(&["rotate", "--root", &roots]).ends_with(77);
    // The file may have been copied: two roots take over, and nothing is left that it could do.
    let last = world.name("last.toml");
    world.run(&["succeed", "--root", &next, "--out", &last, "--disown"]).succeeds();
    let seed = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap();
        text.split_once(&format!("\n{name} = \"")).unwrap().1[..64].to_owned()
    };
    assert_eq!(seed(&next, "root"), seed(&roots, "next-root"), "one succession leaves it the present root");
    let left = [seed(&last, "root"), seed(&last, "next-root")];
    assert!(!left.contains(&seed(&next, "root")) && !left.contains(&seed(&next, "next-root")));
    world.run(&["rotate", "--root", &next]).ends_with(77);
    world.wait_until_published();
    let (ana, grant) = world.accept("Ana Silva").await;
    let mut follower = world.follow();
    world.share(&ana, &[("2026-01-01", "72")]).await;
    world.run(&["admit", &world.held_code()]).succeeds();
    assert!(follower.wait_for("record").contains("72"));
    world.run(&["rotate", "--root", &last]).succeeds();
    world.share(&ana, &[("2026-01-02", "73")]).await;
    assert!(follower.wait_for("record").contains("73"));
    // The confirmation comes under a root that the phone has not seen yet.
    world.run(&["succeed", "--root", &last, "--out", &world.name("later.toml")]).succeeds();
    world.wait_until_published();
    ana.revoke(grant.id).await.unwrap();
    assert!(follower.wait_for("ended").contains("revoked"));
    world.wait_for_confirmation(&ana, &grant).await;
    for secret in [&roots, &next, &last] {
        let text = fs::read_to_string(secret).unwrap();
        let seed = text.split_once("root = \"").unwrap().1[..64].to_owned();
        assert!(!world.log().contains(&seed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_backed_up_while_it_runs_lost_and_restored() {
    let mut world = World::new().await;
    let backup = world.name("backup");
    let (ana, grant) = world.accept("Ana Silva").await;
    let mut follower = world.follow();
    world.share(&ana, &[("2026-01-01", "72")]).await;
    world.run(&["admit", &world.held_code()]).succeeds();
    follower.wait_for("record");
    drop(follower);
    world.run(&["backup", &world.name("gateway/backup")]).ends_with(64);
    world.run(&["backup", &backup]).succeeds();
    world.run(&["backup", &backup]).ends_with(77);
    world.run(&["restore", &backup]).ends_with(77);
    let serial = world.number("bundle_serial");
    world.lose_gateway();
    world.run(&["status"]).ends_with(64);
    world.run(&["restore", &world.name("nothing")]).ends_with(65);
    assert!(world.run(&["restore", &backup]).succeeds().contains("restored for"));
    world.start_gateway();
    world.wait_until_published();
    assert!(world.number("bundle_serial") > serial);
    assert_eq!(world.records(), Vec::<String>::new());
    ana.revoke(grant.id).await.unwrap();
    world.wait_for_confirmation(&ana, &grant).await;
    assert!(world.status().contains(r#""state":"revoked""#));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_with_an_alarm_ends_with_2_and_says_what_to_see_to() {
    let mut world = World::new().await;
    world.lose_gateway();
    let three_years = Duration::from_hours(3 * 365 * 24);
    let (founded, rng) = (SystemClock.now().minus(three_years), &mut rand::rng());
    let unlock = Unlock::SecretFile(world.path("gateway.key"));
    let vault = Arc::new(Vault::create(&world.path("gateway/vault"), &unlock, rng).unwrap());
    let roots = Roots::draw("clinic.example".parse().unwrap(), rng);
    let relay = "https://relay.example:7443".parse().unwrap();
    drop(Organization::found(vault, &roots, &relay, founded, rng).unwrap());
    let (text, json) = (world.run(&["status"]).says_with(2), world.run(&["status", "--json"]).says_with(2));
    assert!(text.contains("ALARM: the root's signature for the gateway's keys ends within 60 days"));
    for alarm in ["keys-ending", "bundle-unpublished", "relay-unreached"] {
        assert!(json.contains(&format!(r#""alarm":"{alarm}""#)), "{alarm}");
    }
    roots.write(&world.path("roots-of-three-years.toml")).unwrap();
    world.run(&["rotate", "--root", &world.name("roots-of-three-years.toml")]).succeeds();
    assert!(!world.run(&["status", "--json"]).says_with(2).contains("keys-ending"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_words_about_keys_and_backups_change_nothing() {
    let world = World::new().await;
    let before = world.status();
    world.run(&["rotate", "--disown"]).ends_with(64);
    world.run(&["rotate", "--root", &world.name("none.toml")]).ends_with(1);
    fs::write(world.path("bad.toml"), "version = 1").unwrap();
    world.run(&["rotate", "--root", &world.name("bad.toml")]).ends_with(64);
    let roots = world.name("roots.toml");
    world.run(&["succeed", "--root", &roots, "--out", &roots]).ends_with(77);
    world.run(&["succeed", "--root", &roots, "--out", &world.name("gateway/next.toml")]).ends_with(64);
    fs::create_dir(world.path("beside")).unwrap();
    let around = world.name("beside/../gateway/next.toml");
    world.run(&["succeed", "--root", &roots, "--out", &around]).ends_with(64);
    assert_eq!(world.status(), before);
}
