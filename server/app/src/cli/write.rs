//! `ochre write`.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use ochre_client::{Lines, Precision};
use ochre_ingest::line_protocol;
use ochre_types::{ByteSize, DatabaseName};
use serde_json::{Value, json};

use super::client::Remote;
use super::lines::LineEnds;
use super::{Output, Stop};

/// A line may be longer than a batch should be, up to this.
const LONGEST_LINE: usize = 16 << 20;
/// How much is read at a time.
const READ: u64 = 64 << 10;
/// Refused lines that are printed; the rest is counted.
const PRINTED: usize = 100;

/// Write line protocol from a file or standard input to a server.
#[derive(Debug, Args)]
pub struct Write {
    #[command(flatten)]
    remote: Remote,
    /// The database.
    #[arg(long, env = "OCHRE_DATABASE", value_name = "NAME")]
    database: DatabaseName,
    /// The unit of timestamps: auto (by their magnitude), ns, us, ms or s.
    #[arg(long, value_enum, default_value = "ns", value_name = "UNIT")]
    precision: Unit,
    /// How many bytes of lines one request carries.
    #[arg(long, default_value = "4MiB", value_name = "SIZE")]
    batch_size: ByteSize,
    /// Send the bodies as they are, without gzip.
    #[arg(long)]
    no_gzip: bool,
    /// How to print what was written.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// The file with the lines, or - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// The unit of timestamps in lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Unit {
    /// By their magnitude.
    Auto,
    /// Nanoseconds.
    Ns,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
}

impl Unit {
    /// The same for the reader of lines.
    pub fn of_lines(self) -> line_protocol::Precision {
        match self {
            Self::Auto => line_protocol::Precision::Auto,
            Self::Ns => line_protocol::Precision::Nanosecond,
            Self::Us => line_protocol::Precision::Microsecond,
            Self::Ms => line_protocol::Precision::Millisecond,
            Self::S => line_protocol::Precision::Second,
        }
    }

    fn of_client(self) -> Precision {
        match self {
            Self::Auto => Precision::Auto,
            Self::Ns => Precision::Nanoseconds,
            Self::Us => Precision::Microseconds,
            Self::Ms => Precision::Milliseconds,
            Self::S => Precision::Seconds,
        }
    }
}

/// What has been written so far.
#[derive(Debug, Default)]
struct Done {
    written: u64,
    rejected: u64,
    /// Physical lines sent so far, which come before the next batch.
    lines: u64,
    printed: Vec<Value>,
}

impl Write {
    /// Runs the command. Refused lines are a failure, after the others have been written.
    pub async fn run(&self) -> Result<(), Stop> {
        if self.batch_size.0 == 0 {
            return Err(Stop::Usage("--batch-size is 0: give at least 1KiB".to_owned()));
        }
        let lines = self.remote.connect()?.lines();
        let lines = if self.no_gzip { lines.without_gzip() } else { lines };
        // Reading blocks: there is nothing else that this process could do meanwhile.
        let mut input: Box<dyn Read> = if self.file.as_os_str() == "-" {
            Box::new(std::io::stdin().lock())
        } else {
            let file = std::fs::File::open(&self.file);
            Box::new(file.with_context(|| format!("opening {}", self.file.display()))?)
        };
        let mut batches = Batches::new(self.batch_size.as_usize());
        let mut done = Done::default();
        while let Some(batch) = batches.next(&mut *input)? {
            let sent = self.send(&lines, &batch, &mut done).await;
            sent.with_context(|| {
                format!("writing from line {}; {} lines before it were written", done.lines + 1, done.written)
            })?;
            done.lines += batch.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        self.report(&done);
        if done.rejected > 0 {
            return Err(Stop::Failed(anyhow::anyhow!("{} lines were refused", done.rejected)));
        }
        Ok(())
    }

    async fn send(&self, lines: &Lines, batch: &[u8], done: &mut Done) -> Result<(), ochre_client::Error> {
        let waiting = |said: &str, pause: Duration| {
            eprintln!("ochre: the server is busy ({said}): trying again in {} s", pause.as_secs());
        };
        let written = lines.write(&self.database, self.precision.of_client(), batch, waiting).await?;
        done.written += written.written;
        done.rejected += written.rejected;
        let room = PRINTED.saturating_sub(done.printed.len());
        done.printed.extend(written.refused.into_iter().take(room).map(|line| {
            json!({
                "original_line": line.text, "line_number": done.lines + line.number, "error_message": line.reason,
            })
        }));
        Ok(())
    }

    fn report(&self, done: &Done) {
        match self.output {
            Output::Json => {
                println!("{}", json!({ "written": done.written, "rejected": done.rejected, "lines": done.printed }))
            }
            Output::Text => {
                for line in &done.printed {
                    let text = line["original_line"].as_str().unwrap_or("");
                    let reason = line["error_message"].as_str().unwrap_or("");
                    eprintln!("line {}: {reason}: {text}", line["line_number"]);
                }
                println!("wrote {} lines, {} refused", done.written, done.rejected);
            }
        }
    }
}

/// Cuts an input into batches of whole lines.
struct Batches {
    size: usize,
    buffer: Vec<u8>,
    /// How much of the buffer has been looked at.
    seen: usize,
    /// The end of the last whole line in it.
    whole: usize,
    ends: LineEnds,
    is_over: bool,
}

impl Batches {
    fn new(size: usize) -> Self {
        Self { size, buffer: Vec::new(), seen: 0, whole: 0, ends: LineEnds::default(), is_over: false }
    }

    /// The next batch: at most `size` bytes if the lines allow it.
    fn next(&mut self, input: &mut dyn Read) -> anyhow::Result<Option<Vec<u8>>> {
        loop {
            while self.seen < self.buffer.len() && (self.seen < self.size || self.whole == 0) {
                if self.ends.push(self.buffer[self.seen]) {
                    self.whole = self.seen + 1;
                }
                self.seen += 1;
            }
            if self.seen >= self.size && self.whole > 0 {
                return Ok(Some(self.cut(self.whole)));
            }
            if self.is_over {
                let rest = self.buffer.len();
                return Ok((rest > 0).then(|| self.cut(rest)));
            }
            if self.buffer.len() > self.size.max(LONGEST_LINE) {
                bail!("a line is longer than {} bytes: is this line protocol?", self.size.max(LONGEST_LINE));
            }
            let read = input.take(READ).read_to_end(&mut self.buffer).context("reading the lines")?;
            self.is_over = read == 0;
        }
    }

    fn cut(&mut self, end: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(end);
        self.seen = 0;
        self.whole = 0;
        // The rest is looked at anew, from the beginning of a line.
        self.ends = LineEnds::default();
        std::mem::replace(&mut self.buffer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(text: &str, size: usize) -> Vec<String> {
        let mut input = text.as_bytes();
        let mut batches = Batches::new(size);
        let mut found = Vec::new();
        while let Some(batch) = batches.next(&mut input).unwrap() {
            found.push(String::from_utf8(batch).unwrap());
        }
        found
    }

    #[test]
    fn batches_are_cut_at_the_ends_of_lines() {
        let text = "a f=1\nb f=\"x\ny\"\nc f=3";
        assert_eq!(batches(text, 1), ["a f=1\n", "b f=\"x\ny\"\n", "c f=3"]);
        assert_eq!(batches(text, 14), ["a f=1\n", "b f=\"x\ny\"\n", "c f=3"]);
        assert_eq!(batches(text, 16), ["a f=1\nb f=\"x\ny\"\n", "c f=3"]);
        assert_eq!(batches(text, 1_000), [text]);
        assert!(batches("", 10).is_empty());
    }

    #[test]
    fn an_endless_line_is_refused() {
        let error = Batches::new(1_000).next(&mut std::io::repeat(b'x')).unwrap_err();
        assert_eq!(error.to_string(), "a line is longer than 16777216 bytes: is this line protocol?");
    }
}
