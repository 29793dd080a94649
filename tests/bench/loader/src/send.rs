//! Sends a file of line protocol in batches, from several connections at once, and prints what was seen as JSON.
//!
//! Options: `--url U` `--file F` `--batch N` (lines) `--connections N` `--token T`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::http::{Connection, Place};
use crate::options::Options;

/// How often a batch is sent before it is given up.
const TRIES: u64 = 200;
/// How long to wait before it is sent again.
const PAUSE: Duration = Duration::from_millis(50);
/// How much of an error's text is kept.
const ERROR_BYTES: usize = 300;

/// What one connection saw.
#[derive(Default)]
struct Seen {
    /// How long each batch took, with all its tries, in seconds.
    latencies: Vec<f64>,
    tried_again: u64,
    given_up: u64,
    first_error: Option<String>,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.tried_again += other.tried_again;
        self.given_up += other.given_up;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    /// The latency that this share of the batches did not exceed, in milliseconds.
    fn quantile(&self, share: f64) -> f64 {
        let at = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(at.min(self.latencies.len().saturating_sub(1))).map_or(0.0, |seconds| seconds * 1e3)
    }
}

/// Sends the file.
pub fn run(options: &Options) -> Result<(), String> {
    let place = Place::new(options.needed("url")?, options.text("token"))?;
    let file = options.needed("file")?;
    let data = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    let (lines, batches) = cut(&data, options.number("batch", 10_000)?.max(1));
    let connections = options.number("connections", 4)?.max(1);
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Seen::default()));
    let begun = Instant::now();
    std::thread::scope(|threads| {
        for _ in 0..connections {
            threads.spawn(|| {
                let seen = work(&place, &batches, &next);
                all.lock().expect("no thread panics while it holds this").add(seen);
            });
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    let mut seen = all.into_inner().expect("no thread panics while it holds this");
    seen.latencies.sort_by(f64::total_cmp);
    println!(
        "{{\"lines\":{lines},\"bytes\":{},\"batches\":{},\"connections\":{connections},\"seconds\":{seconds:.4},\
         \"p50_ms\":{:.3},\"p99_ms\":{:.3},\"max_ms\":{:.3},\"tried_again\":{},\"given_up\":{},\"first_error\":{:?}}}",
        data.len(),
        batches.len(),
        seen.quantile(0.5),
        seen.quantile(0.99),
        seen.quantile(1.0),
        seen.tried_again,
        seen.given_up,
        seen.first_error.unwrap_or_default(),
    );
    Ok(())
}

/// Cuts text into batches of whole lines; how many lines there are, and the batches.
fn cut(data: &[u8], batch: u64) -> (u64, Vec<&[u8]>) {
    let (mut lines, mut batches, mut from) = (0, Vec::new(), 0);
    for (at, _) in data.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        lines += 1;
        if lines % batch == 0 {
            batches.push(&data[from..=at]);
            from = at + 1;
        }
    }
    if from < data.len() {
        batches.push(&data[from..]);
    }
    (lines, batches)
}

/// Sends one batch after the other, as long as there are any.
fn work(place: &Place, batches: &[&[u8]], next: &AtomicUsize) -> Seen {
    let (mut seen, mut connection) = (Seen::default(), None);
    while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
        let begun = Instant::now();
        let mut tries = 0;
        while let Err(why) = send(place, &mut connection, batch) {
            seen.first_error.get_or_insert(why);
            tries += 1;
            if tries == TRIES {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        seen.tried_again += tries.min(TRIES - 1);
        if tries == TRIES {
            seen.given_up += 1;
        } else {
            seen.latencies.push(begun.elapsed().as_secs_f64());
        }
    }
    seen
}

/// Sends a batch over the connection, which is opened if there is none, and dropped if it fails.
fn send<'a>(place: &'a Place, connection: &mut Option<Connection<'a>>, batch: &[u8]) -> Result<(), String> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::open(place).map_err(|error| error.to_string())?,
    };
    let (status, body) = open.post(batch).map_err(|error| error.to_string())?;
    *connection = Some(open);
    match status {
        200..300 => Ok(()),
        _ => Err(format!("{status} {}", plain(&body[..body.len().min(ERROR_BYTES)]))),
    }
}

/// The text of an answer, of characters that stand in JSON as they are or are quoted alike in Rust.
fn plain(body: &[u8]) -> String {
    body.iter().map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '?' }).collect()
}
