//! What every engine must do: one list of cases, each a plain function over `&dyn Store`, run per engine by
//! one loop over [`CASES`], each on a store of its own.

mod actors;
mod delivery;
mod deposits;
pub mod envelopes;
mod organizations;
mod revocations;

use futures::{FutureExt as _, future::BoxFuture};

use super::Store;
#[cfg(test)]
pub(crate) use actors::{Clinic, NOW, Patient};

/// A case: panics where the store is wrong.
pub type Case = for<'a> fn(&'a dyn Store) -> BoxFuture<'a, ()>;

/// All cases, by name.
pub const CASES: &[(&str, Case)] = &[
    ("a_ticket_is_spent_once", |s| deposits::a_ticket_is_spent_once(s).boxed()),
    ("a_key_has_one_grant", |s| deposits::a_key_has_one_grant(s).boxed()),
    ("a_batch_is_stored_once", |s| deposits::a_batch_is_stored_once(s).boxed()),
    ("the_last_batches_are_known_again", |s| deposits::the_last_batches_are_known_again(s).boxed()),
    ("order_within_a_session_holds", |s| deposits::order_within_a_session_holds(s).boxed()),
    ("a_closed_epoch_takes_no_init", |s| deposits::a_closed_epoch_takes_no_init(s).boxed()),
    ("a_full_grant_takes_no_more", |s| deposits::a_full_grant_takes_no_more(s).boxed()),
    ("the_idlest_session_gives_way", |s| deposits::the_idlest_session_gives_way(s).boxed()),
    ("concurrent_deposits_get_distinct_places", |s| {
        deposits::concurrent_deposits_get_distinct_places(s).boxed()
    }),
    ("pages_are_bounded_and_in_order", |s| delivery::pages_are_bounded_and_in_order(s).boxed()),
    ("a_cursor_beyond_the_head_starts_anew", |s| delivery::a_cursor_beyond_the_head_starts_anew(s).boxed()),
    ("acknowledged_envelopes_are_gone", |s| delivery::acknowledged_envelopes_are_gone(s).boxed()),
    ("one_organization_cannot_touch_another", |s| delivery::one_organization_cannot_touch_another(s).boxed()),
    ("the_highest_reply_stays", |s| delivery::the_highest_reply_stays(s).boxed()),
    ("arrivals_wake_the_right_lane", |s| delivery::arrivals_wake_the_right_lane(s).boxed()),
    ("expired_envelopes_and_sessions_go", |s| delivery::expired_envelopes_and_sessions_go(s).boxed()),
    ("a_revoked_grant_takes_and_gives_nothing", |s| revocations::takes_and_gives_nothing(s).boxed()),
    ("a_page_read_before_a_revocation_is_not_current", |s| revocations::stale_pages(s).boxed()),
    ("a_revocation_repeats_and_is_confirmed", |s| revocations::repeats_and_is_confirmed(s).boxed()),
    ("a_confirmation_closes_an_open_grant", |s| revocations::a_confirmation_closes_an_open_grant(s).boxed()),
    ("tombstones_stay_and_page", |s| revocations::tombstones_stay_and_page(s).boxed()),
    ("deletion_leaves_others_alone", |s| revocations::deletion_leaves_others_alone(s).boxed()),
    ("a_suspended_organization_gets_nothing", |s| organizations::suspended_gets_nothing(s).boxed()),
    ("an_older_bundle_is_stale", |s| organizations::an_older_bundle_is_stale(s).boxed()),
    ("the_never_approved_are_forgotten", |s| organizations::the_never_approved_are_forgotten(s).boxed()),
    ("those_who_wait_are_bounded", |s| organizations::those_who_wait_are_bounded(s).boxed()),
    ("epochs_are_bounded", |s| organizations::epochs_are_bounded(s).boxed()),
    ("a_closed_sessions_reply_goes", |s| delivery::a_closed_sessions_reply_goes(s).boxed()),
    ("a_replaced_key_does_not_come_back", |s| organizations::a_replaced_key_does_not_come_back(s).boxed()),
    ("a_domain_belongs_to_the_first", |s| organizations::a_domain_belongs_to_the_first(s).boxed()),
];
