//! Bucket numbers: murmur3 as Apache Iceberg's bucket transform uses it, so that other programs can compute them.
//!
//! `(murmur3_x86_32(utf8 bytes, seed 0) & 0x7fffffff) % count`. Source: Iceberg's table specification, appendix B,
//! and Austin Appleby's published definition of MurmurHash3.

/// The bucket of `value` among `count` buckets. `count` must not be 0 ([`super::Template`] sees to that).
pub fn of(value: &str, count: u32) -> u32 {
    (murmur3_32(value.as_bytes()) & i32::MAX.unsigned_abs()) % count
}

/// MurmurHash3, x86 variant, 32 bits, seed 0.
pub fn murmur3_32(bytes: &[u8]) -> u32 {
    let mut hash = 0u32;
    let mut blocks = bytes.chunks_exact(4);
    for block in &mut blocks {
        hash ^= scramble(little_endian(block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    hash ^= scramble(little_endian(blocks.remainder()));
    // The specification counts the length in 32 bits and lets it wrap.
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

fn scramble(block: u32) -> u32 {
    block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        let vectors: [(&[u8], u32); 14] = [
            (b"", 0),
            (&[0xff, 0xff, 0xff, 0xff], 0x7629_3b50),
            (&[0x21, 0x43, 0x65, 0x87], 0xf55b_516b),
            (&[0x21, 0x43, 0x65], 0x7e4a_8634),
            (&[0x21, 0x43], 0xa0f7_b07a),
            (&[0x21], 0x7266_1cf4),
            (&[0, 0, 0, 0], 0x2362_f9de),
            (&[0, 0, 0], 0x85f0_b427),
            (&[0, 0], 0x30f4_c306),
            (&[0], 0x514e_28b7),
            (b"test", 0xba6b_d213),
            (b"Hello, world!", 0xc036_3e43),
            (b"The quick brown fox jumps over the lazy dog", 0x2e4f_f723),
            (b"iceberg", 1_210_000_089),
        ];
        for (bytes, hash) in vectors {
            assert_eq!(murmur3_32(bytes), hash, "{bytes:?}");
        }
    }

    #[test]
    fn buckets_are_below_their_count_and_ignore_the_sign_bit() {
        assert_eq!(of("iceberg", 16), 1_210_000_089 % 16);
        assert_eq!(of("test", 100), (0xba6b_d213 & 0x7fff_ffff) % 100);
        assert_eq!(of("anything", 1), 0);
    }
}
