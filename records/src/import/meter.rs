//! Counting what is read, and stopping the reader where memory or time would not be bounded: an XML item or a JSON
//! entry is buffered whole by its parser, and an archive may inflate without end.
//! Not here: what the bounds are for each format.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// Which bound the input went over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Limit {
    /// One item since the last [`Meter::begin_item`].
    Item,
    /// The whole document.
    Total,
}

/// What has been read through a [`Metered`] reader; clones share one count.
#[derive(Clone, Debug)]
pub(crate) struct Meter(Rc<Counts>);

#[derive(Debug)]
struct Counts {
    bytes: Cell<u64>,
    item_start: Cell<u64>,
    item_bytes_max: u64,
    bytes_max: u64,
    exceeded: Cell<Option<Limit>>,
}

impl Meter {
    pub(crate) fn new(item_bytes_max: u64, bytes_max: u64) -> Self {
        Self(Rc::new(Counts {
            bytes: Cell::new(0),
            item_start: Cell::new(0),
            item_bytes_max,
            bytes_max,
            exceeded: Cell::new(None),
        }))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.bytes.get()
    }

    /// The parser is done with what it buffered; readers ahead of it count towards the next item.
    pub(crate) fn begin_item(&self) {
        self.0.item_start.set(self.bytes());
    }

    /// The bound that made the reader fail, if one did.
    pub(crate) fn exceeded(&self) -> Option<Limit> {
        self.0.exceeded.get()
    }

    pub(crate) fn count(&self, bytes: usize) -> io::Result<()> {
        let read = self.bytes().saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.0.bytes.set(read);
        let limit = if read > self.0.bytes_max {
            Limit::Total
        } else if read - self.0.item_start.get() > self.0.item_bytes_max {
            Limit::Item
        } else {
            return Ok(());
        };
        self.0.exceeded.set(Some(limit));
        Err(io::Error::from(io::ErrorKind::InvalidData))
    }
}

/// A reader that counts into a meter and fails where the meter's bounds are passed.
#[derive(Debug)]
pub(crate) struct Metered<R> {
    inner: R,
    meter: Meter,
}

impl<R: Read> Metered<R> {
    pub(crate) fn new(inner: R, meter: Meter) -> Self {
        Self { inner, meter }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.meter.count(read)?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_that_is_passed_is_named() {
        let meter = Meter::new(10, 25);
        let mut reader = Metered::new(io::repeat(b'a'), meter.clone());
        assert!(reader.read_exact(&mut [0; 10]).is_ok());
        meter.begin_item();
        assert!(reader.read_exact(&mut [0; 10]).is_ok());
        assert!(reader.read_exact(&mut [0; 1]).is_err());
        assert_eq!(meter.exceeded(), Some(Limit::Item));

        let meter = Meter::new(100, 5);
        assert!(Metered::new(io::repeat(b'a'), meter.clone()).read_exact(&mut [0; 6]).is_err());
        assert_eq!(meter.exceeded(), Some(Limit::Total));
    }
}
