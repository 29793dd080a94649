//! Bytes that nobody meant, into everything that reads bytes from outside.
//!
//! ```text
//!   corpus/<target>/*, seeds made on the spot --mutate.rs--> bytes --> a target, plain fn(&[u8])
//!                                                                        panic -> corpus/<target>/found-*, and failure
//! ```
//!
//! On stable Rust, without coverage, for a bounded time: `OCHRE_TEST_TIER` `quick` 4 s, `ci` 20 s, `full` 20 minutes
//! in all. `OCHRE_FUZZ_SEED` repeats a run as far as time allows. Every file of the corpus is run as it is first, so
//! what was found once stays found. The targets need no more than bytes, so another fuzzer can drive them too.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test, in the real world")]

mod decoders;
mod engine;
mod gzip;
mod mutate;
pub mod random;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mutate::Mutator;
use random::Random;

/// The longest input that mutation makes.
const LONGEST: usize = 64 << 10;

/// What is fuzzed, and how long.
struct Campaign {
    /// The folder of the corpus.
    target: &'static str,
    /// Milliseconds of tier `ci`.
    millis: u64,
    /// Starting points besides the corpus.
    seeds: Vec<Vec<u8>>,
    /// Pieces that are worth inserting.
    words: &'static [&'static str],
}

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target)
}

fn corpus_files(target: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(corpus(target)) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn seed() -> u64 {
    match std::env::var("OCHRE_FUZZ_SEED") {
        Ok(seed) => seed.parse().expect("OCHRE_FUZZ_SEED is a number"),
        Err(_) => u64::from(std::process::id()),
    }
}

impl Campaign {
    /// Runs the corpus, then mutations of it until the time is up. Panics with the input's file if a target panicked.
    fn run(mut self, mut target: impl FnMut(&[u8])) {
        let seed = seed();
        self.seeds.extend(corpus_files(self.target));
        assert!(!self.seeds.is_empty(), "{}: nothing to begin with", self.target);
        for input in &self.seeds {
            self.attempt(&mut target, input, seed);
        }
        let time = match std::env::var("OCHRE_TEST_TIER").as_deref() {
            Ok("quick") => self.millis / 5,
            Ok("full") => self.millis * 60,
            _ => self.millis,
        };
        let begun = Instant::now();
        let mut mutator = Mutator::new(Random::new(seed), &self.seeds, self.words, LONGEST);
        let mut inputs = 0u64;
        while begun.elapsed() < Duration::from_millis(time) {
            let input = mutator.next();
            self.attempt(&mut target, &input, seed);
            inputs += 1;
        }
        println!(
            "{}: {} starting points, {inputs} inputs in {:?}, seed {seed}",
            self.target,
            self.seeds.len(),
            begun.elapsed()
        );
    }

    fn attempt(&self, target: &mut impl FnMut(&[u8]), input: &[u8], seed: u64) {
        if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
            let name =
                format!("found-{:016x}", input.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte)));
            let path = corpus(self.target).join(name);
            std::fs::create_dir_all(corpus(self.target)).unwrap();
            std::fs::write(&path, input).unwrap();
            panic!("{} panics (OCHRE_FUZZ_SEED={seed}); the input is kept as {}", self.target, path.display());
        }
    }
}
