//! Records on the wire: putting a batch together, taking fetched ones apart, and the partition that a key belongs to. No I/O.

use std::collections::{BTreeMap, HashSet};

use crate::decompress::decompress;
use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

/// What a record says; where it lies does not matter here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Message {
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) headers: BTreeMap<String, Option<Bytes>>,
}

impl Message {
    /// Bytes on the wire, rounded up.
    pub(crate) fn size(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + length(value) + 10).sum();
        length(&self.key) + length(&self.value) + headers + 30
    }
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

/// One batch of one partition. A broker takes exactly one in a request, so offsets and sequence numbers rise together: the encoder
/// starts a new batch wherever their distance changes.
pub(crate) fn batch(messages: &[&Message], producer: Producer, first: i32, now: i64) -> Result<Bytes> {
    let records: Vec<Record> = messages
        .iter()
        .zip(0_i32..)
        .map(|(message, index)| Record {
            transactional: producer.transactional,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(index),
            sequence: first + index,
            timestamp: now,
            key: message.key.clone(),
            value: message.value.clone(),
            headers: message
                .headers
                .iter()
                .map(|(name, value)| (StrBytes::from_string(name.clone()), value.clone()))
                .collect(),
        })
        .collect();
    let mut buffer = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut buffer, &records, &options)?;
    Ok(buffer.freeze())
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

const COMPRESSED: i16 = 0b111;
const MOST_COMPRESSED: usize = 1 << 20;
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
        while let Some((producer, _)) = aborted.next_if(|(_, first)| *first <= head.base + i64::from(head.last)) {
            dropping.insert(*producer);
        }
        next = next.max(head.base + i64::from(head.last) + 1);
        if head.attributes & CONTROL != 0 {
            // The end of a transaction: what the same producer writes afterwards is another one.
            dropping.remove(&head.producer);
            continue;
        }
        if head.attributes & TRANSACTIONAL != 0 && dropping.contains(&head.producer) {
            continue;
        }
        // The decoder reserves what the count says. A record takes at least seven bytes, compressed ones less.
        let most = if head.attributes & COMPRESSED == 0 { batch.len() } else { MOST_COMPRESSED };
        if usize::try_from(head.count).map_or(true, |count| count > most) {
            bail!("a batch announces more records than it has bytes");
        }
        for record in decode(batch)? {
            if record.offset >= from {
                let headers = record.headers.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
                visit(Message { key: record.key, value: record.value, headers });
            }
        }
    }
    Ok(next)
}

fn decode(mut batch: Bytes) -> Result<Vec<Record>> {
    let set = RecordBatchDecoder::decode_with_custom_compression(&mut batch, Some(decompress));
    Ok(set.context("a batch cannot be read")?.records)
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
        Message { key: bytes(key), value: bytes(value), headers: BTreeMap::from([("h".to_owned(), None)]) }
    }

    const PRODUCER: Producer = Producer { id: 7, epoch: 1, transactional: true };

    fn walked(bytes: &[Bytes], from: i64, aborted: &[(i64, i64)]) -> (i64, Vec<Message>) {
        let mut found = Vec::new();
        let all = Bytes::from(bytes.concat());
        let next = walk(all, from, &mut aborted.to_vec(), |message| found.push(message)).expect("good batches");
        (next, found)
    }

    #[test]
    fn three_records_are_one_batch_and_come_back() {
        let messages = [message("a", "1"), message("b", "2"), message("c", "3")];
        let all: Vec<&Message> = messages.iter().collect();
        let batch = batch(&all, PRODUCER, 4, 0).expect("encodes");
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
        let sizes: usize = messages.iter().map(Message::size).sum();
        assert!(batch.len() <= sizes + BATCH_OVERHEAD);
    }

    #[test]
    fn what_was_aborted_is_left_out() {
        let lost = message("a", "lost");
        let batch = batch(&[&lost], PRODUCER, 0, 0).expect("encodes");
        assert_eq!(walked(std::slice::from_ref(&batch), 0, &[(7, 0)]), (1, vec![]));
        assert_eq!(walked(std::slice::from_ref(&batch), 0, &[(8, 0)]), (1, vec![lost.clone()]), "another producer's");
        assert_eq!(walked(&[batch], 0, &[(7, 1)]), (1, vec![lost]), "a later transaction");
    }

    proptest::proptest! {
        #[test]
        fn damaged_batches_never_panic(at in 0..80_usize, byte: u8) {
            let batch = batch(&[&message("key", "value")], PRODUCER, 0, 0).expect("encodes");
            let mut bytes = batch.to_vec();
            let index = at % bytes.len();
            bytes[index] = byte;
            let _ = walk(Bytes::from(bytes), 0, &mut [], |_| ());
        }
    }
}
