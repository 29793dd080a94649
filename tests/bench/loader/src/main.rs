//! Makes the benchmark's rows, and sends them to a server as fast as it takes them.
//!
//! ```text
//!   bench-loader generate --hosts 100 --seconds 46800 > rows.lp
//!   bench-loader send --url http://127.0.0.1:8086/api/v3/write_lp?db=bench --file rows.lp
//! ```
//!
//! # Invariants
//!
//! 1. `generate` gives the same bytes for the same options, on every machine.
//! 2. `send` reads and cuts the file before its clock starts, so that only the server is measured.
//! 3. A batch counts as sent when it was answered with 2xx; what was sent again or given up is reported.

mod generate;
mod http;
mod options;
mod send;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let done = Options::parse(words).and_then(|options| match command.as_str() {
        "generate" => generate::run(&options),
        "send" => send::run(&options),
        _ => Err("say `generate` or `send`, then options: see the top of src/main.rs".to_owned()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench-loader: {why}");
            ExitCode::from(2)
        }
    }
}
