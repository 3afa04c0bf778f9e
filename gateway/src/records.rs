//! Listing and following the record view. Not here: what a line looks like (`line`), and where lines go
//! (`commands`, `control`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::desk::Desk;
use crate::error::{GatewayError, Result};
use crate::line::Line;
use crate::view;

/// A gateway that has just started asks its relay first what was revoked; a listing waits for so long.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// How long a listing goes on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Until {
    /// Until everything that is there was listed.
    CaughtUp,
    /// Until it is stopped.
    Stopped,
}

/// Where a listing stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Position {
    /// What was there when it began is being listed.
    Backlog,
    /// That is done; what comes is listed as it comes.
    Following,
    /// Nothing more will come.
    End,
}

/// A listing under way.
pub(crate) struct Lines {
    until: Until,
    position: Position,
    next: u64,
    /// The head when it began: what was removed before was never listed by it.
    began: u64,
}

impl Lines {
    /// Begins at what is there now.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] while nothing may be shown; those of the vault.
    pub(crate) async fn new(desk: &Desk, until: Until) -> Result<Self> {
        if until == Until::Stopped && !desk.is_running() {
            return Err(GatewayError::Unavailable(
                "nothing comes in: start `sealcare-gateway serve` to follow",
            ));
        }
        if desk.is_running() {
            let told = tokio::time::timeout(TOLD_WITHIN, desk.organization().may_show_soon());
            told.await.map_err(|_| {
                GatewayError::Unavailable("nothing is shown until the relay told what was revoked; try again")
            })?;
        }
        let head = desk.blocking(|desk| {
            // Without a relay only this much is known.
            if desk.organization().is_restored()? {
                return Err(GatewayError::Unavailable(
                    "this vault was restored: `serve` must learn from the relay what was revoked since",
                ));
            }
            desk.organization().vault().read(view::head)
        });
        Ok(Self { until, position: Position::Backlog, next: 0, began: head.await? })
    }

    /// Where the listing stands.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// The next lines; waits for some when following. Empty pages are possible. Safe to cancel.
    ///
    /// # Errors
    /// Those of the vault.
    pub(crate) async fn next(&mut self, desk: &Desk) -> Result<Vec<Line>> {
        if self.position == Position::End {
            return Ok(Vec::new());
        }
        if self.position == Position::Following {
            desk.head_above(self.next).await?;
        }
        let mut page = page(desk, self.next, self.began).await?;
        self.next = page.next;
        if page.is_last && self.position == Position::Backlog {
            page.lines.push(Line::caught_up());
            self.position = match self.until {
                Until::CaughtUp => Position::End,
                Until::Stopped => Position::Following,
            };
        }
        Ok(page.lines)
    }
}

async fn page(desk: &Desk, from: u64, began: u64) -> Result<view::Page> {
    desk.blocking(move |desk| {
        let (organization, now) = (desk.organization(), desk.now());
        // In the writer's turn: between the destruction of a grant's key and that of its rows a reader would
        // meet rows that do not open.
        organization.vault().write(|tx| view::page(organization, tx, from, began, now))
    })
    .await
}
