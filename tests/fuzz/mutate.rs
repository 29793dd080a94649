//! Makes new bytes from known ones.

use super::random::Random;

/// Changes that are made to one input at most.
const MOST_CHANGES: u64 = 6;
/// Bytes that a change inserts, removes or repeats at most.
const MOST_BYTES: usize = 64;
/// Numbers near which things go wrong.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// An endless stream of inputs.
pub struct Mutator<'a> {
    random: Random,
    seeds: &'a [Vec<u8>],
    words: &'a [&'a str],
    longest: usize,
}

impl<'a> Mutator<'a> {
    /// Changes of `seeds`, of which there is at least one.
    pub fn new(random: Random, seeds: &'a [Vec<u8>], words: &'a [&'a str], longest: usize) -> Self {
        Self { random, seeds, words, longest }
    }

    /// The next input.
    pub fn next(&mut self) -> Vec<u8> {
        let mut bytes = self.seeds[self.random.index(self.seeds.len())].clone();
        for _ in 0..=self.random.below(MOST_CHANGES) {
            self.change(&mut bytes);
        }
        bytes.truncate(self.longest);
        bytes
    }

    /// A range of at most [`MOST_BYTES`] in something of this length.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.random.index(len + 1);
        start..(start + 1 + self.random.index(MOST_BYTES)).min(len)
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        let at = self.random.index(len);
        match self.random.below(10) {
            0 if len > 0 => bytes[at] ^= 1 << self.random.below(8),
            1 if len > 0 => bytes[at] = self.random.next() as u8,
            2 if len > 0 => self.overwrite_number(bytes),
            3 => drop(bytes.drain(self.range(len))),
            4 => {
                let copied = bytes[self.range(len)].to_vec();
                bytes.splice(at..at, copied);
            }
            5 => {
                let count = self.random.index(MOST_BYTES);
                let noise: Vec<u8> = (0..count).map(|_| self.random.next() as u8).collect();
                bytes.splice(at..at, noise);
            }
            6 => bytes.truncate(at),
            7 => {
                // The head of this one, the tail of another.
                let other = &self.seeds[self.random.index(self.seeds.len())];
                let from = self.random.index(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ if !self.words.is_empty() => {
                let word = self.words[self.random.index(self.words.len())];
                let replaced = if self.random.below(2) == 0 { at..at } else { at..(at + word.len()).min(len) };
                bytes.splice(replaced, word.bytes());
            }
            _ => {}
        }
    }

    /// Puts a number where one may stand: of 1, 2, 4 or 8 bytes, at a multiple of that.
    fn overwrite_number(&mut self, bytes: &mut [u8]) {
        let width = 1 << self.random.below(4);
        if bytes.len() < width {
            return;
        }
        let at = self.random.index(bytes.len() - width + 1) / width * width;
        let near = self.random.below(3).wrapping_sub(1);
        let number = NUMBERS[self.random.index(NUMBERS.len())].wrapping_add(near);
        bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
    }
}

#[test]
fn the_same_seed_makes_the_same_inputs_and_they_differ() {
    let seeds = vec![b"cpu,host=a v=1 2".to_vec(), vec![0; 100], Vec::new()];
    let make = |seed| -> Vec<Vec<u8>> {
        let mut mutator = Mutator::new(Random::new(seed), &seeds, &["=", "\\"], 120);
        (0..2_000).map(|_| mutator.next()).collect()
    };
    let inputs = make(1);
    assert_eq!(inputs, make(1));
    assert_ne!(inputs, make(2));
    let distinct: std::collections::BTreeSet<_> = inputs.iter().collect();
    assert!(distinct.len() > 1_000, "{}", distinct.len());
    assert!(inputs.iter().all(|input| input.len() <= 120));
}
