//! Bodies are compressed as one zstd frame (RFC 8878). Its contexts are kept between bodies, since making one costs
//! more than a small body does. Not here: what is compressed (`body`).

use std::{
    io::Read as _,
    sync::{Mutex, PoisonError},
};

use zeroize::Zeroizing;
use zstd::{
    bulk::Compressor,
    stream::read::Decoder,
    zstd_safe::{DCtx, DParameter},
};

/// The library's own default: FHIR JSON repeats itself so much that higher levels gain little.
const LEVEL: i32 = 3;
/// Log2 of the largest window that a frame may ask for: the 8 MiB that RFC 8878 §3.1.1.1.2 recommends.
/// The library's own default would let 20 bytes allocate 128 MiB.
const WINDOW_LOG_MAX: u32 = 23;
/// Contexts of each kind that are kept, a few MiB each at most; threads that work at the same time take one each.
const CONTEXTS_KEPT_MAX: usize = 4;

static COMPRESSORS: Kept<Compressor<'static>> = Kept(Mutex::new(Vec::new()));
static DECOMPRESSORS: Kept<DCtx<'static>> = Kept(Mutex::new(Vec::new()));

/// Contexts between two uses. What failed does not come back.
struct Kept<T>(Mutex<Vec<T>>);

impl<T> Kept<T> {
    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_back(&self, context: T) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < CONTEXTS_KEPT_MAX {
            kept.push(context);
        }
    }
}

/// One frame of `plain`; `None` if the library fails.
pub(crate) fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    let mut compressor = COMPRESSORS.take().map_or_else(|| Compressor::new(LEVEL), Ok).ok()?;
    let bytes = compressor.compress(plain).ok()?;
    COMPRESSORS.put_back(compressor);
    Some(bytes)
}

/// What `bytes` inflate to; `None` if they are no frame, ask for too large a window, or give more than `bytes_max`.
pub(crate) fn inflate(bytes: &[u8], bytes_max: usize) -> Option<Zeroizing<Vec<u8>>> {
    let mut context = match DECOMPRESSORS.take() {
        Some(context) => context,
        None => bounded_context()?,
    };
    let mut plain = Zeroizing::new(Vec::new());
    let bound = u64::try_from(bytes_max).ok()?.checked_add(1)?;
    Decoder::with_context(bytes, &mut context).take(bound).read_to_end(&mut plain).ok()?;
    if plain.len() > bytes_max {
        return None;
    }
    DECOMPRESSORS.put_back(context);
    Some(plain)
}

fn bounded_context() -> Option<DCtx<'static>> {
    let mut context = DCtx::try_create()?;
    context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).ok()?;
    Some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1024 * 1024;

    #[test]
    fn a_bomb_is_refused_within_its_bound() {
        let bomb = zstd::bulk::compress(&vec![0; 64 * MAX], 19).unwrap();
        assert_eq!(inflate(&bomb, MAX), None);
    }

    #[test]
    fn a_frame_that_asks_for_a_huge_window_is_refused() {
        // Magic; descriptor without single segment or size; window 2^27; one raw last block of one byte.
        let frame = |window_log: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3, 9, 0, 0, 0];
        let huge = frame(27);
        let len = Decoder::new(&huge[..]).unwrap().read_to_end(&mut Vec::new());
        assert_eq!(len.unwrap(), 1, "the library alone would allocate for it");
        assert_eq!(inflate(&huge, MAX), None);
        assert_eq!(inflate(&frame(23), MAX).map(|plain| plain.len()), Some(1));
    }

    #[test]
    fn frames_that_were_refused_leave_nothing_behind_for_the_next() {
        let plain = [b"{\"resourceType\":\"Observation\"}".as_slice(); 40].concat();
        let good = compress(&plain).unwrap();
        for round in 0..3 * CONTEXTS_KEPT_MAX {
            assert_eq!(inflate(&good[..good.len() - 1 - round], MAX), None);
            assert_eq!(inflate(&good, plain.len() - 1), None);
            assert_eq!(inflate(&good, plain.len()).unwrap().as_slice(), plain);
            assert_eq!(compress(&plain).unwrap(), good);
        }
        assert!(COMPRESSORS.0.lock().unwrap().len() <= CONTEXTS_KEPT_MAX);
    }
}
