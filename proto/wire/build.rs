//! Compiles `ochre/v1/*.proto` with protox, so that no `protoc` is needed.

use std::env;
use std::error::Error;
use std::path::PathBuf;

use prost::Message;

/// The files of the contract, as they import each other.
const FILES: [&str; 3] = ["ochre/v1/management.proto", "ochre/v1/rules.proto", "ochre/v1/storage.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=ochre/v1");
    let mut files = protox::compile(FILES, ["."])?;
    tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        // Clients bring their own channel, and the server mounts the service on its own router.
        .build_transport(false)
        // Maps of rules are iterated: in the order of their keys.
        .btree_map(".")
        .compile_fds(files.clone())?;
    // What reflection serves: without comments and positions, which are more than half of it.
    for file in &mut files.file {
        file.source_code_info = None;
    }
    let set = PathBuf::from(env::var("OUT_DIR")?).join("ochre.v1.descriptors");
    #[expect(clippy::disallowed_methods, reason = "a build script has no seams: cargo asks it for a file")]
    std::fs::write(set, files.encode_to_vec())?;
    Ok(())
}
