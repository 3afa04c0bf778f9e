//! What a relay that is not to be trusted can do to the envelopes that it hands over.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sealcare_protocol::EnvelopeHeader;
use sealcare_relay::DeliveryHook;
use tokio::sync::watch;

use super::soon;

type Hands = Box<dyn FnMut(Bytes) -> Bytes + Send>;

/// Sees every envelope at its delivery, and hands over what a story wants instead. Honest unless told otherwise.
#[derive(Clone)]
pub struct Courier {
    hands: Arc<Mutex<Hands>>,
    handed: Arc<watch::Sender<usize>>,
    last: Arc<Mutex<Option<Bytes>>>,
}

impl Default for Courier {
    fn default() -> Self {
        let hands: Hands = Box::new(|envelope| envelope);
        Self { hands: Arc::new(Mutex::new(hands)), handed: Arc::default(), last: Arc::default() }
    }
}

impl Courier {
    /// From now on `hands` decide what is handed over for each envelope.
    pub fn does(&self, hands: impl FnMut(Bytes) -> Bytes + Send + 'static) {
        *self.hands.lock().unwrap() = Box::new(hands);
    }

    /// Alters the next data envelope so that nothing of its header changes, and no other.
    pub fn flips_a_bit_of_the_next(&self) {
        let mut is_done = false;
        self.does(move |envelope| {
            if is_done || !is_data(&envelope) {
                return envelope;
            }
            is_done = true;
            let mut bytes = envelope.to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            bytes.into()
        });
    }

    /// Leaves the next envelope out: hands over one that was handed over before, which a receiver passes over.
    pub fn drops_the_next(&self) {
        let mut before = self.last.lock().unwrap().clone();
        self.does(move |envelope| before.take().unwrap_or(envelope));
    }

    /// Keeps a copy of every envelope.
    pub fn records(&self) -> Arc<Mutex<Vec<Bytes>>> {
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let copies = Arc::clone(&recorded);
        self.does(move |envelope| {
            copies.lock().unwrap().push(envelope.clone());
            envelope
        });
        recorded
    }

    /// How many envelopes were handed over so far.
    pub fn handed_over(&self) -> usize {
        *self.handed.borrow()
    }

    /// Waits until so many were handed over.
    pub async fn has_handed_over(&self, count: usize) {
        let mut handed = self.handed.subscribe();
        soon("envelopes are handed over", handed.wait_for(|handed| *handed >= count)).await.unwrap();
    }

    pub(crate) fn hook(&self) -> DeliveryHook {
        let courier = self.clone();
        DeliveryHook::altering(Arc::new(move |envelope| {
            let envelope = (courier.hands.lock().unwrap())(envelope);
            *courier.last.lock().unwrap() = Some(envelope.clone());
            courier.handed.send_modify(|handed| *handed += 1);
            envelope
        }))
    }
}

fn is_data(envelope: &[u8]) -> bool {
    matches!(EnvelopeHeader::parse(envelope), Some(EnvelopeHeader::Data(_)))
}
