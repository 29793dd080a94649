//! Every version of the manifest that was ever written.

use ochre_types::{DatabaseName, Epoch, NodeId};

use crate::backup::{BackupId, DatabasePart, Manifest, Part};

#[test]
fn version_1_is_read() {
    let id = BackupId { begun_millis: 1_795_368_249_123, nonce: 0x1a2b_3c4d };
    let expected = Manifest {
        id,
        node: NodeId::new("a").unwrap(),
        epoch: Epoch(7),
        ended_millis: 1_795_368_251_001,
        complete: true,
        node_catalog: Part { revision: 12, size: 345, digest: 0x0011_aabb },
        databases: vec![DatabasePart {
            name: DatabaseName::new("telegraf/autogen").unwrap(),
            catalog: Part { revision: 40, size: 999, digest: 0xdead_beef },
            chunks: 3,
            rows: 1_200,
            bytes: 45_678,
        }],
    };
    let text = include_str!("manifest-1.txt");
    assert_eq!(Manifest::read(text.as_bytes()).unwrap(), expected);
    assert_eq!(expected.write(), text);
    assert_eq!(id.to_string(), "20261122T172409123Z-1a2b3c4d");
    assert_eq!("20261122T172409123Z-1a2b3c4d".parse::<BackupId>().unwrap(), id);
    for wrong in ["", "20261122T172409123Z", "20261122T172409123Z-1A2B3C4D", "20261122T172409Z-1a2b3c4d", "x-1a2b3c4d"]
    {
        assert!(wrong.parse::<BackupId>().is_err(), "{wrong}");
    }
}

#[test]
fn no_change_of_a_manifest_passes_for_one() {
    let text = include_str!("manifest-1.txt").as_bytes();
    for at in 0..text.len() {
        for mask in [1, 0x20, 0x80] {
            let mut changed = text.to_vec();
            changed[at] ^= mask;
            assert!(Manifest::read(&changed).is_err(), "byte {at}");
        }
        assert!(Manifest::read(&text[..at]).is_err());
    }
    let error = Manifest::read(b"ochre-backup 2\nend 0\n").unwrap_err();
    assert!(error.contains("newer release") && error.contains("ochre-backup 2"), "{error}");
}
