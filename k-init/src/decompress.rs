//! The bytes of a compressed batch. Topics may be compressed by those who write to them, or by the broker (`compression.type`), and a
//! seed has to be compared with them all the same. We compress nothing ourselves.

use std::io::Read;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use kafka_protocol::records::Compression;

/// More than a batch of any broker with ordinary limits; what swells beyond it is an attack, or not ours to seed.
const LONGEST: usize = 64 << 20;

/// What the Java client puts before snappy's blocks; other clients send one block as it is.
const XERIAL: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEAD: usize = 16;

/// Takes the records of a batch out of what they are compressed with.
pub(crate) fn decompress(compressed: &mut Bytes, compression: Compression) -> Result<Bytes> {
    let bytes = compressed.split_to(compressed.len());
    let name = match compression {
        Compression::None => return Ok(bytes),
        Compression::Gzip => "gzip",
        Compression::Snappy => "snappy",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    };
    let plain = match compression {
        Compression::None => return Ok(bytes),
        Compression::Gzip => all(flate2::read::MultiGzDecoder::new(&bytes[..])),
        Compression::Snappy => snappy(&bytes),
        Compression::Lz4 => all(lz4_flex::frame::FrameDecoder::new(&bytes[..])),
        Compression::Zstd => ruzstd::decoding::StreamingDecoder::new(&bytes[..]).map_err(Into::into).and_then(all),
    };
    plain.map(Bytes::from).with_context(|| format!("a batch compressed with {name} cannot be read"))
}

fn all(from: impl Read) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    let limit = LONGEST as u64 + 1;
    from.take(limit).read_to_end(&mut plain)?;
    if plain.len() > LONGEST {
        bail!("it has more than {LONGEST} bytes");
    }
    Ok(plain)
}

fn snappy(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    let mut block = |block: &[u8]| -> Result<()> {
        if plain.len().saturating_add(snap::raw::decompress_len(block)?) > LONGEST {
            bail!("it has more than {LONGEST} bytes");
        }
        plain.extend(snap::raw::Decoder::new().decompress_vec(block)?);
        Ok(())
    };
    if !bytes.starts_with(XERIAL) {
        block(bytes)?;
        return Ok(plain);
    }
    let mut rest = bytes.get(XERIAL_HEAD..).context("it ends within its head")?;
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::try_from(i32::from_be_bytes(*length))?;
        block(after.get(..length).context("a block ends too early")?)?;
        rest = &after[length..];
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(compression: Compression, bytes: &[u8]) -> Result<Bytes> {
        decompress(&mut Bytes::copy_from_slice(bytes), compression)
    }

    #[test]
    fn snappy_comes_in_blocks_or_as_one() {
        // A raw block: length 3, then a literal of 3 bytes.
        let raw = [3, 8, b'a', b'b', b'c'];
        assert_eq!(taken(Compression::Snappy, &raw).expect("raw"), "abc");
        let framed = [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"[..], &[0, 0, 0, 5], &raw, &[0, 0, 0, 5], &raw].concat();
        assert_eq!(taken(Compression::Snappy, &framed).expect("framed"), "abcabc");
    }

    #[test]
    fn a_block_that_would_swell_is_refused_by_its_own_word() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0x0f, 8, b'a'];
        assert!(taken(Compression::Snappy, &huge).is_err());
    }

    proptest::proptest! {
        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>) {
            for compression in [Compression::Gzip, Compression::Lz4, Compression::Zstd, Compression::Snappy] {
                let _ = taken(compression, &bytes);
            }
        }
    }
}
