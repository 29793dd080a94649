//! gzip, bounded: inflation stops as soon as the result would be too large.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

use super::budget::Lease;
use super::failure::{Failure, Kind};

/// A body that is being inflated, chunk by chunk. Several gzip members one after the other are one body.
pub struct Inflater {
    decoder: MultiGzDecoder<Bounded>,
    is_empty: bool,
}

/// The inflated bytes, never more than `limit`.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    lease: Lease,
    failure: Option<Failure>,
}

impl Inflater {
    /// Nothing yet. The inflated body may have `limit` bytes at most, paid from `lease`.
    pub fn new(limit: usize, lease: Lease) -> Self {
        let bounded = Bounded { bytes: Vec::new(), limit, lease, failure: None };
        Self { decoder: MultiGzDecoder::new(bounded), is_empty: true }
    }

    /// Inflates the next chunk of the body.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        self.is_empty &= chunk.is_empty();
        let result = self.decoder.write_all(chunk);
        result.map_err(|error| self.failure(&error))
    }

    /// The whole body, and the memory lent for it.
    pub fn finish(mut self) -> Result<(Vec<u8>, Lease), Failure> {
        if !self.is_empty {
            let result = self.decoder.try_finish();
            result.map_err(|error| self.failure(&error))?;
        }
        let bounded = self.decoder.get_mut();
        let nothing = bounded.lease.fresh();
        Ok((std::mem::take(&mut bounded.bytes), std::mem::replace(&mut bounded.lease, nothing)))
    }

    fn failure(&mut self, error: &io::Error) -> Failure {
        let known = self.decoder.get_mut().failure.take();
        known.unwrap_or_else(|| {
            Failure::invalid(format!(
                "the body can't be inflated: {error}: send whole gzip data, or no Content-Encoding"
            ))
        })
    }
}

impl Bounded {
    fn reserve(&mut self, more: usize) -> Result<(), Failure> {
        let needed = self.bytes.len() + more;
        if needed > self.limit {
            return Err(too_large(self.limit));
        }
        if needed > self.bytes.capacity() {
            let capacity = needed.max(self.bytes.capacity() * 2).min(self.limit);
            self.lease.grow_to(capacity)?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        Ok(())
    }
}

impl Write for Bounded {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if let Err(failure) = self.reserve(buffer.len()) {
            self.failure = Some(failure);
            return Err(io::Error::other("over the limit"));
        }
        self.bytes.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The body has more than `limit` bytes.
pub fn too_large(limit: usize) -> Failure {
    let limit = ochre_types::ByteSize(limit as u64);
    Failure::new(
        Kind::TooLarge,
        format!(
            "the body is larger than {limit} (before or after decompression): send smaller batches, or raise --max-body"
        ),
    )
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ochre_types::ByteSize;

    use super::super::budget::Budget;
    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(body: &[u8], chunk: usize, limit: usize) -> Result<Vec<u8>, Failure> {
        let mut inflater = Inflater::new(limit, Budget::new(ByteSize::mib(4)).lease());
        for chunk in body.chunks(chunk) {
            inflater.push(chunk)?;
        }
        Ok(inflater.finish()?.0)
    }

    #[test]
    fn chunks_and_members_do_not_matter() {
        let members = [gzip(b"cpu v=1\n"), gzip(b""), gzip(b"cpu v=2\n")].concat();
        for chunk in [1, 2, 7, 1_000] {
            assert_eq!(inflate(&members, chunk, 16).unwrap(), b"cpu v=1\ncpu v=2\n");
            assert_eq!(inflate(&members, chunk, 15).unwrap_err().kind, Kind::TooLarge);
        }
        assert_eq!(inflate(b"", 1, 10).unwrap(), b"");
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![b' '; 64 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(inflate(&bomb, 16_384, 1 << 20).unwrap_err().kind, Kind::TooLarge);
        assert_eq!(inflate(&bomb, 16_384, 64 << 20).unwrap_err().kind, Kind::Unavailable, "the budget is 4 MiB");
    }

    #[test]
    fn what_is_not_whole_gzip_is_refused() {
        let whole = gzip(b"cpu v=1\n");
        for cut in 1..whole.len() {
            assert_eq!(inflate(&whole[..cut], 100, 100).unwrap_err().kind, Kind::Invalid, "cut at {cut}");
        }
        let mut damaged = whole.clone();
        let last = damaged.len() - 5;
        damaged[last] ^= 1;
        assert_eq!(inflate(&damaged, 100, 100).unwrap_err().kind, Kind::Invalid);
        assert_eq!(inflate(b"cpu v=1\n", 100, 100).unwrap_err().kind, Kind::Invalid);
        assert_eq!(inflate(&[whole, b"trailing".to_vec()].concat(), 100, 100).unwrap_err().kind, Kind::Invalid);
    }
}
