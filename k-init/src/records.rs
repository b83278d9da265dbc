//! Records on the wire: putting a batch together, taking fetched ones apart, and the partition that a key belongs to. No I/O.
//!
//! The protocol crate's own records keep one header of each name and reserve what a batch announces; ours are read one at a time.

use std::collections::HashSet;
use std::io::{self, Read};

use anyhow::{Context, Result, bail};
use bytes::{BufMut, Bytes, BytesMut};

use crate::decompress::decompressed;

/// A header's name and value.
pub(crate) type Header = (String, Option<Bytes>);

/// What a record says; where it lies does not matter here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Message {
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) headers: Vec<Header>,
}

impl Message {
    /// Bytes on the wire as the first record of a batch; as a later one it takes at most [`LATER`] more.
    pub(crate) fn size(&self) -> usize {
        let mut bytes = BytesMut::new();
        self.write((0, 0), &mut bytes);
        bytes.len()
    }

    fn write(&self, (offset, time): (i64, i64), into: &mut BytesMut) {
        let mut record = BytesMut::new();
        record.put_u8(0);
        varint(time, &mut record);
        varint(offset, &mut record);
        let bytes = |bytes: Option<&[u8]>, record: &mut BytesMut| {
            varint(bytes.map_or(-1, length), record);
            record.put_slice(bytes.unwrap_or_default());
        };
        bytes(self.key.as_deref(), &mut record);
        bytes(self.value.as_deref(), &mut record);
        varint(i64::try_from(self.headers.len()).unwrap_or(i64::MAX), &mut record);
        for (name, value) in &self.headers {
            bytes(Some(name.as_bytes()), &mut record);
            bytes(value.as_deref(), &mut record);
        }
        varint(length(&record), into);
        into.put(record);
    }
}

/// What a record's place and time take beyond the first one's: offsets of 5 bytes, times of 10, and a longer length.
pub(crate) const LATER: usize = 16;

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

/// Signed numbers of small size in few bytes.
fn varint(value: i64, into: &mut BytesMut) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        into.put_u8(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    into.put_u8(rest.to_le_bytes()[0]);
}

/// Who produces: what the coordinator gave us, and whether within a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    pub(crate) transactional: bool,
}

/// The size of a batch beyond its records.
pub(crate) const BATCH_OVERHEAD: usize = 61;

/// One batch of one partition, each message with its time in milliseconds since 1970. A broker takes exactly one in a request.
pub(crate) fn batch(messages: &[(&Message, i64)], producer: Producer, first: i32) -> Bytes {
    let base = messages.first().map_or(0, |(_, time)| *time);
    let latest = messages.iter().map(|(_, time)| *time).max().unwrap_or(base);
    let count = i32::try_from(messages.len()).unwrap_or(i32::MAX);
    // What the checksum is of.
    let mut rest = BytesMut::new();
    rest.put_i16(if producer.transactional { TRANSACTIONAL } else { 0 });
    rest.put_i32(count - 1);
    rest.put_i64(base);
    rest.put_i64(latest);
    rest.put_i64(producer.id);
    rest.put_i16(producer.epoch);
    rest.put_i32(first);
    rest.put_i32(count);
    for ((message, time), offset) in messages.iter().zip(0..) {
        message.write((offset, time - base), &mut rest);
    }
    let mut batch = BytesMut::new();
    batch.put_i64(0);
    batch.put_i32(i32::try_from(rest.len() + 9).unwrap_or(i32::MAX));
    batch.put_i32(-1);
    batch.put_i8(2);
    batch.put_u32(crc32c::crc32c(&rest));
    batch.put(rest);
    batch.freeze()
}

/// A batch's header, as far as it is needed.
struct Head {
    base: i64,
    length: usize,
    magic: u8,
    attributes: i16,
    last: i32,
    producer: i64,
    count: i32,
}

impl Head {
    fn of(bytes: &[u8]) -> Option<Self> {
        fn at<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
            bytes.get(from..from + N)?.try_into().ok()
        }
        let length = usize::try_from(i32::from_be_bytes(at(bytes, 8)?)).ok()?;
        Some(Self {
            base: i64::from_be_bytes(at(bytes, 0)?),
            length: length.checked_add(12)?,
            magic: *bytes.get(16)?,
            attributes: i16::from_be_bytes(at(bytes, 21)?),
            last: i32::from_be_bytes(at(bytes, 23)?),
            producer: i64::from_be_bytes(at(bytes, 43)?),
            count: i32::from_be_bytes(at(bytes, 57)?),
        })
    }
}

const COMPRESSION: i16 = 0b111;
const TRANSACTIONAL: i16 = 0b1_0000;
const CONTROL: i16 = 0b10_0000;

/// Goes through fetched bytes, leaving out what aborted transactions wrote, and tells `visit` of every record from `from` on.
/// Returns the offset to go on from; a batch that was cut at the end is fetched again.
pub(crate) fn walk(
    mut bytes: Bytes,
    from: i64,
    aborted: &mut [(i64, i64)],
    mut visit: impl FnMut(Message),
) -> Result<i64> {
    let mut next = from;
    let mut dropping: HashSet<i64> = HashSet::new();
    aborted.sort_by_key(|(_, first)| *first);
    let mut aborted = aborted.iter().peekable();
    while let Some(head) = Head::of(&bytes) {
        if head.length > bytes.len() {
            break;
        }
        let batch = bytes.split_to(head.length);
        if head.magic != 2 {
            bail!("it holds messages of a format from before Kafka 0.11");
        }
        let Some(records) = batch.get(BATCH_OVERHEAD..) else { bail!("a batch is shorter than its head") };
        let last = head.base.saturating_add(head.last.into());
        while let Some((producer, _)) = aborted.next_if(|(_, first)| *first <= last) {
            dropping.insert(*producer);
        }
        next = next.max(last.saturating_add(1));
        if head.attributes & CONTROL != 0 {
            // The end of a transaction: what the same producer writes afterwards is another one.
            dropping.remove(&head.producer);
            continue;
        }
        if head.attributes & TRANSACTIONAL != 0 && dropping.contains(&head.producer) {
            continue;
        }
        let mut records = decompressed(head.attributes & COMPRESSION, records)?;
        for _ in 0..head.count {
            let (offset, message) = record(&mut records).context("a batch cannot be read")?;
            if head.base.saturating_add(offset) >= from {
                visit(message);
            }
        }
    }
    Ok(next)
}

/// More than any broker with ordinary limits takes; what is longer is an attack, or not ours to compare.
const LONGEST: i64 = 32 << 20;

/// The next record and its place in the batch.
fn record(from: &mut dyn Read) -> Result<(i64, Message)> {
    let record = bytes(from)?.unwrap_or_default();
    let mut from = record.as_ref();
    let mut attributes = [0];
    from.read_exact(&mut attributes)?;
    number(&mut from)?;
    let offset = number(&mut from)?;
    let (key, value) = (bytes(&mut from)?, bytes(&mut from)?);
    let mut headers = Vec::new();
    for _ in 0..number(&mut from)? {
        let name = bytes(&mut from)?.unwrap_or_default();
        headers.push((String::from_utf8_lossy(&name).into_owned(), bytes(&mut from)?));
    }
    Ok((offset, Message { key, value, headers }))
}

fn number(from: &mut dyn Read) -> Result<i64> {
    let mut value = 0_u64;
    for shift in 0..10 {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        value |= u64::from(byte[0] & 0x7f) << (7 * shift);
        if byte[0] & 0x80 == 0 {
            return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    bail!("a number in it has no end")
}

/// A length, believed as it is read, and what follows; less than nothing is nothing.
fn bytes(from: &mut dyn Read) -> Result<Option<Bytes>> {
    let length = number(from)?;
    if length > LONGEST {
        bail!("a record in it announces {length} bytes");
    }
    let Ok(length) = u64::try_from(length) else { return Ok(None) };
    let mut found = Vec::new();
    if from.take(length).read_to_end(&mut found)? as u64 != length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Some(Bytes::from(found)))
}

/// The Java client's partition of a key.
pub(crate) fn partition_of(key: &[u8], partitions: i32) -> i32 {
    i32::try_from(i64::from(murmur2(key) & 0x7fff_ffff) % i64::from(partitions.max(1))).unwrap_or(0)
}

fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ length;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::testing::{damage_all, edits};

    /// From Kafka's own `UtilsTest`.
    #[test]
    fn keys_go_where_the_java_client_puts_them() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
        assert_eq!(partition_of(b"abc", 1), 0);
    }

    fn message(key: &str, value: &str) -> Message {
        let bytes = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
        let headers = vec![("h".to_owned(), None), ("h".to_owned(), bytes("2"))];
        Message { key: bytes(key), value: bytes(value), headers }
    }

    const PRODUCER: Producer = Producer { id: 7, epoch: 1, transactional: true };

    fn batch(messages: &[Message], first: i32) -> Bytes {
        let timed: Vec<(&Message, i64)> = messages.iter().zip(1_700_000_000_000..).collect();
        super::batch(&timed, PRODUCER, first)
    }

    fn walked(bytes: &[Bytes], from: i64, aborted: &[(i64, i64)]) -> (i64, Vec<Message>) {
        let mut found = Vec::new();
        let all = Bytes::from(bytes.concat());
        let next = walk(all, from, &mut aborted.to_vec(), |message| found.push(message)).expect("good batches");
        (next, found)
    }

    #[test]
    fn three_records_are_one_batch_and_come_back() {
        let messages = [message("a", "1"), message("b", "2"), message("c", "3")];
        let batch = batch(&messages, 4);
        assert_eq!(Head::of(&batch).map(|head| (head.length, head.count, head.last)), Some((batch.len(), 3, 2)));
        assert_eq!(i32::from_be_bytes(batch[53..57].try_into().expect("four bytes")), 4, "the base sequence");
        assert_eq!(walked(std::slice::from_ref(&batch), 0, &[]), (3, messages.to_vec()));
        assert_eq!(
            walked(std::slice::from_ref(&batch), 2, &[]),
            (3, messages[2..].to_vec()),
            "records before the offset are left out"
        );
        let cut = batch.slice(..batch.len() - 1);
        assert_eq!(walked(&[cut], 0, &[]), (0, vec![]), "a cut batch is fetched again");
    }

    #[test]
    fn a_batch_is_as_long_as_its_records_say() {
        for size in [0, 60, 61, 8000, 9000, 1 << 20] {
            let long = message("key", &"x".repeat(size));
            assert_eq!(batch(std::slice::from_ref(&long), 0).len(), BATCH_OVERHEAD + long.size());
            let many = vec![long; 300];
            let sizes: usize = many.iter().map(|message| message.size() + LATER).sum();
            assert!(size > 8000 || batch(&many, 0).len() <= BATCH_OVERHEAD + sizes);
        }
    }

    /// The crate reads what we write, checksum and all.
    #[test]
    fn another_decoder_reads_the_batch() {
        let mut bytes = batch(&[message("a", "1"), message("b", "2")], 0);
        let set = kafka_protocol::records::RecordBatchDecoder::decode(&mut bytes).expect("a good batch");
        let seen: Vec<(Option<Bytes>, i64, i64, i32)> = set
            .records
            .iter()
            .map(|record| (record.key.clone(), record.timestamp, record.producer_id, record.sequence))
            .collect();
        assert_eq!(
            seen,
            [
                (Some(Bytes::from_static(b"a")), 1_700_000_000_000, 7, 0),
                (Some(Bytes::from_static(b"b")), 1_700_000_000_001, 7, 1)
            ]
        );
    }

    #[test]
    fn what_was_aborted_is_left_out() {
        let lost = message("a", "lost");
        let batch = batch(std::slice::from_ref(&lost), 0);
        assert_eq!(walked(std::slice::from_ref(&batch), 0, &[(7, 0)]), (1, vec![]));
        assert_eq!(walked(std::slice::from_ref(&batch), 0, &[(8, 0)]), (1, vec![lost.clone()]), "another producer's");
        assert_eq!(walked(&[batch], 0, &[(7, 1)]), (1, vec![lost]), "a later transaction");
    }

    proptest::proptest! {
        #[test]
        fn damaged_batches_never_panic(edits in edits()) {
            let mut bytes = [batch(&[message("key", "value")], 0), batch(&[message("a", "1"), message("", "2")], 1)].concat();
            damage_all(&mut bytes, &edits);
            let _ = walk(Bytes::from(bytes), 0, &mut [(7, 1)], |_| ());
        }
    }
}
