//! The bytes of a compressed batch. Topics may be compressed by those who write to them, or by the broker (`compression.type`), and a
//! seed has to be compared with them all the same. We compress nothing ourselves.

use std::io::{Cursor, Read};

use anyhow::{Context, Result, bail};

/// More than a batch of any broker with ordinary limits; what swells beyond it is an attack, or not ours to seed.
const LONGEST: usize = 64 << 20;

/// What the Java client puts before snappy's blocks; other clients send one block as it is.
const XERIAL: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEAD: usize = 16;

/// The records of a batch, whatever they are compressed with (the number in the batch's attributes), to be read a piece at a time. They end
/// after [`LONGEST`] bytes.
pub(crate) fn decompressed(compression: i16, bytes: &[u8]) -> Result<Box<dyn Read + '_>> {
    let plain: Box<dyn Read + '_> = match compression {
        0 => Box::new(bytes),
        1 => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        2 => Box::new(Cursor::new(snappy(bytes).context("a batch compressed with snappy cannot be read")?)),
        3 => Box::new(lz4_flex::frame::FrameDecoder::new(bytes)),
        4 => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(bytes);
            Box::new(decoder.context("a batch compressed with zstd cannot be read")?)
        }
        other => bail!("a batch is compressed in an unknown way ({other})"),
    };
    Ok(Box::new(plain.take(LONGEST as u64)))
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
    use common::testing::{damage_all, edits};
    use std::sync::LazyLock;

    const SNAPPY: i16 = 2;

    fn taken(compression: i16, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        decompressed(compression, bytes)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn snappy_comes_in_blocks_or_as_one() {
        // A raw block: length 3, then a literal of 3 bytes.
        let raw = [3, 8, b'a', b'b', b'c'];
        assert_eq!(taken(SNAPPY, &raw).expect("raw"), b"abc");
        let framed = [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"[..], &[0, 0, 0, 5], &raw, &[0, 0, 0, 5], &raw].concat();
        assert_eq!(taken(SNAPPY, &framed).expect("framed"), b"abcabc");
    }

    #[test]
    fn a_block_that_would_swell_is_refused_by_its_own_word() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0x0f, 8, b'a'];
        assert!(taken(SNAPPY, &huge).is_err());
    }

    /// Twenty times the same, in every way, as other producers send it.
    fn packed(compression: i16) -> Vec<u8> {
        use std::io::Write;
        let plain = b"the same again and ".repeat(20);
        match compression {
            1 => {
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                packer.write_all(&plain).and_then(|()| packer.finish()).expect("a vector takes all")
            }
            SNAPPY => {
                let block = snap::raw::Encoder::new().compress_vec(&plain).expect("short enough");
                let length = u32::try_from(block.len()).expect("short enough").to_be_bytes();
                [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"[..], &length, &block, &length, &block].concat()
            }
            3 => {
                let mut packer = lz4_flex::frame::FrameEncoder::new(Vec::new());
                packer.write_all(&plain).expect("a vector takes all");
                packer.finish().expect("a vector takes all")
            }
            4 => ruzstd::encoding::compress_to_vec(&plain[..], ruzstd::encoding::CompressionLevel::Fastest),
            _ => plain,
        }
    }

    #[test]
    fn what_others_pack_is_read() {
        for compression in 0..5 {
            let plain = taken(compression, &packed(compression)).expect("good bytes");
            assert!(plain.starts_with(b"the same again and the same"), "{compression}");
        }
    }

    proptest::proptest! {
        #[test]
        fn damaged_compression_never_panics(compression in 0..5_i16, edits in edits()) {
            static PACKED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| (0..5).map(packed).collect());
            let mut bytes = PACKED[usize::try_from(compression).expect("a few")].clone();
            damage_all(&mut bytes, &edits);
            let _ = taken(compression, &bytes);
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(bytes: Vec<u8>) {
            for compression in 0..8 {
                let _ = taken(compression, &bytes);
            }
        }
    }
}
