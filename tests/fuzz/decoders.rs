//! The decoders of single crates.

use super::Campaign;
use crate::crash::in_process::{Home, line};

#[test]
fn line_protocol() {
    let seeds = ["types.lp", "sparse.lp", "events.lp"].map(|name| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sql/data");
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        text.lines().take(20).collect::<Vec<_>>().join("\n").into_bytes()
    });
    let words = &[
        "\\",
        "\"",
        ",",
        "=",
        " ",
        "\n",
        "\r\n",
        "#",
        "\\,",
        "\\ ",
        "\\=",
        "i",
        "u",
        "t",
        "true",
        "1e400",
        "-",
        "NaN",
        "inf",
        "9223372036854775807i",
        "18446744073709551616u",
        " 9223372036854775807",
        "time=",
        "\0",
        "é",
        "\u{feff}",
        "_stamp=1",
    ];
    let campaign = Campaign { target: "line_protocol", millis: 3_000, seeds: seeds.to_vec(), words };
    campaign.run(ochre_ingest::line_protocol::fuzz);
}

#[test]
fn batch_payload() {
    let campaign = Campaign { target: "batch", millis: 3_000, seeds: Vec::new(), words: &["OCHB"] };
    campaign.run(ochre_batch::codec::fuzz_decode);
}

#[test]
fn tombstone_payload() {
    let seeds = ["OCHT", ""].map(|text| text.as_bytes().to_vec()).to_vec();
    let campaign = Campaign { target: "tombstone", millis: 1_000, seeds, words: &["OCHT", "host = 'a'", "*"] };
    campaign.run(ochre_batch::tombstone::fuzz_decode);
}

/// A real segment, and the file of cursors.
#[tokio::test]
async fn log_files() {
    let home = Home::new();
    let running = home.open().await.unwrap();
    for batch in 0..3 {
        running.write(&line(batch, 0)).await;
    }
    running.node.close().await.unwrap();
    let seeds = home.log_files().iter().map(|file| std::fs::read(file).unwrap()).collect();
    let campaign = Campaign { target: "log", millis: 3_000, seeds, words: &["ofr1", "OCHRELOG"] };
    campaign.run(ochre_log::fuzz_decode);
}

/// Real revisions, checkpoints and epoch records.
#[tokio::test]
async fn catalog_objects() {
    use futures::TryStreamExt;
    use object_store::{ObjectStore, ObjectStoreExt};
    let home = Home::new();
    let running = home.open().await.unwrap();
    running.write(&line(0, 0)).await;
    running.node.close().await.unwrap();
    let mut seeds = Vec::new();
    let all: Vec<_> = home.objects.list(None).try_collect().await.unwrap();
    for meta in all.iter().filter(|meta| !meta.location.as_ref().ends_with(".parquet")) {
        let object = home.objects.get(&meta.location).await.unwrap().bytes().await.unwrap().to_vec();
        // Behind the checksum is what a reader of bytes meets.
        for head in [0, 8, 16, 24, 32] {
            seeds.extend(object.get(head..).map(<[u8]>::to_vec));
        }
    }
    let campaign = Campaign { target: "catalog", millis: 3_000, seeds, words: &[] };
    campaign.run(ochre_store::catalog::fuzz_decode);
}
