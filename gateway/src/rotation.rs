//! The organization's keys by hand: epochs replaced at once, gateway keys renewed by the root, roots succeeded. The
//! command reads the root file; what it sends to a running gateway is signed and not secret. Not here: what changes by
//! itself (`serve`).

use std::path::Path;

use sealcare_provider::{KeyOffer, OldKeys, Renewal, Roots, Timestamp};
use serde::Serialize;

use crate::args::{Rotate, Succeed};
use crate::commands;
use crate::config::Config;
use crate::desk::{Answer, Desk, Request};
use crate::error::{GatewayError, Result};
use crate::home::Home;

/// What was done by hand.
#[derive(Serialize)]
pub(crate) struct Rotated {
    /// Always: the epoch keys were replaced.
    pub(crate) epochs: &'static str,
    /// Until when the gateway can sign without its root, milliseconds since 1970; none if no root was at hand.
    pub(crate) keys_until_ms: Option<u64>,
    /// Whether what the old keys signed is refused from now on.
    pub(crate) is_disowned: bool,
    /// Where the new roots are; none unless the root was succeeded.
    pub(crate) root_file: Option<String>,
}

impl Desk {
    pub(crate) fn replace_epochs(&self) -> Result<Answer> {
        self.organization().replace_epochs(self.now(), &mut rand::rng())?;
        Ok(Answer::EpochsReplaced)
    }

    pub(crate) fn offer_keys(&self) -> Result<Answer> {
        Ok(Answer::Offered(Box::new(self.organization().offer_keys(&mut rand::rng())?)))
    }

    pub(crate) fn renew(&self, renewal: &Renewal) -> Result<Answer> {
        let is_disowned = self.organization().renew(renewal, self.now())? == OldKeys::Disowned;
        Ok(Answer::Renewed { until_ms: self.organization().keys_end()?.as_millis(), is_disowned })
    }
}

/// Replaces the epoch keys, and the gateway's own if a root file is named.
///
/// # Errors
/// Those of the root file, of the gateway, and of the organization's SDK.
pub(crate) async fn rotate(config: &Config, rotate: Rotate, now: Timestamp) -> Result<Rotated> {
    let old = old_keys(rotate.disown);
    let renewed = match &rotate.root {
        Some(path) => {
            let roots = Roots::read(path)?;
            let offer = offer(config).await?;
            Some(renew(config, roots.delegate(&offer, old, now)?).await?)
        }
        None => None,
    };
    replace_epochs(config).await?;
    Ok(Rotated::new(renewed, None))
}

impl Rotated {
    fn new(renewed: Option<Renewed>, root_file: Option<String>) -> Self {
        Self {
            epochs: "replaced",
            keys_until_ms: renewed.as_ref().map(|renewed| renewed.until_ms),
            is_disowned: renewed.is_some_and(|renewed| renewed.old == OldKeys::Disowned),
            root_file,
        }
    }
}

/// What the gateway says of the keys that a root signed for.
struct Renewed {
    until_ms: u64,
    old: OldKeys,
}

/// Lets the next root take over, or with `--disown` one that is in no file yet. Its file is written before anything is
/// published, so that no crash loses it.
///
/// # Errors
/// As [`rotate`]; [`GatewayError::Unfinished`] once the new file is there and the gateway did not take it.
pub(crate) async fn succeed(config: &Config, succeed: Succeed, now: Timestamp) -> Result<Rotated> {
    refuse_inside(&config.home, &succeed.out, "--out")?;
    let (roots, old) = (Roots::read(&succeed.root)?, old_keys(succeed.disown));
    let offer = offer(config).await?;
    // Refuses a root of another organization, or one that was succeeded, before anything is written.
    roots.delegate(&offer, old, now)?;
    let rng = &mut rand::rng();
    let roots = if succeed.disown { roots.disown(rng)? } else { roots.succeed(rng)? };
    roots.write(&succeed.out)?;
    let finished = async {
        let renewed = renew(config, roots.delegate(&offer, old, now)?).await?;
        replace_epochs(config).await?;
        Ok::<_, GatewayError>(renewed)
    };
    let renewed = finished.await.map_err(|error| GatewayError::Unfinished(Box::new(error)))?;
    Ok(Rotated::new(Some(renewed), Some(succeed.out.display().to_string())))
}

/// The roots lie elsewhere than what they are to outlive.
///
/// # Errors
/// [`GatewayError::Config`], naming the flag.
pub(crate) fn refuse_inside(home: &Home, path: &Path, flag: &str) -> Result<()> {
    if home.holds(path)? {
        return Err(GatewayError::Config(format!(
            "`{flag}` lies in the data folder: the roots go elsewhere"
        )));
    }
    Ok(())
}

const fn old_keys(disown: bool) -> OldKeys {
    if disown { OldKeys::Disowned } else { OldKeys::Honoured }
}

async fn offer(config: &Config) -> Result<KeyOffer> {
    match commands::ask(config, Request::OfferKeys).await? {
        Answer::Offered(offer) => Ok(*offer),
        _ => Err(GatewayError::Damaged("answer")),
    }
}

async fn renew(config: &Config, renewal: Renewal) -> Result<Renewed> {
    match commands::ask(config, Request::Renew { renewal }).await? {
        Answer::Renewed { until_ms, is_disowned } => Ok(Renewed { until_ms, old: old_keys(is_disowned) }),
        _ => Err(GatewayError::Damaged("answer")),
    }
}

async fn replace_epochs(config: &Config) -> Result<()> {
    commands::ask(config, Request::ReplaceEpochs).await.map(drop)
}
