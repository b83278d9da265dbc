//! Kafka's frames: which requests there are and in which versions, how one is put together and its answer taken apart, and what the first
//! bytes say when the other side is no Kafka. No sockets, no judgment about answers.

use anyhow::{Context, Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages as m;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, StrBytes};

mod shape;

/// The longest answer that is read, where a request does not say less.
pub(crate) const LONGEST: usize = 32 << 20;

/// One kind of request. The protocol crate has a trait like it only together with its broker half.
pub(crate) trait Api: Encodable + HeaderVersion + Message {
    const KEY: i16;
    const NAME: &'static str;
    /// The lowest version that can say what we need.
    const LOWEST: i16;
    /// The highest version that we were written for.
    const HIGHEST: i16;
    type Answer: Decodable + HeaderVersion;

    /// How long the broker wants to be left alone, in milliseconds.
    fn throttle(answer: &Self::Answer) -> i32;

    /// Whether it may change something.
    fn writes(&self) -> bool {
        false
    }

    /// The longest answer that can be true, in bytes.
    fn longest(&self) -> usize {
        LONGEST
    }

    /// Where strings and arrays stand in the answer: `shape` has the words.
    const SHAPE: &'static str;

    fn flexible(version: i16) -> bool {
        Self::Answer::header_version(version) > 0
    }
}

macro_rules! api {
    ($request:ident, $answer:ident, $key:literal, $lowest:literal..=$highest:literal, $shape:literal, $throttle:expr $(, $writes:expr)?) => {
        impl Api for m::$request {
            const KEY: i16 = $key;
            const NAME: &'static str = stringify!($request);
            const LOWEST: i16 = $lowest;
            const HIGHEST: i16 = $highest;
            const SHAPE: &'static str = $shape;
            type Answer = m::$answer;
            fn throttle(answer: &m::$answer) -> i32 {
                let throttle: fn(&m::$answer) -> i32 = $throttle;
                throttle(answer)
            }
            $(fn writes(&self) -> bool {
                let writes: fn(&m::$request) -> bool = $writes;
                writes(self)
            })?
        }
    };
}

// Each range is that in which the request means the same to us, from what Kafka 2.8 and Redpanda have to the newest; where a range ends
// below Kafka's newest, the meaning changes there. What a lower version cannot tell is in docs/k-init.md.
api!(SaslHandshakeRequest, SaslHandshakeResponse, 17, 1..=1, "2 {s}", |_| 0);
api!(SaslAuthenticateRequest, SaslAuthenticateResponse, 36, 2..=2, "2 s b 8@1", |_| 0);
api!(DescribeClusterRequest, DescribeClusterResponse, 60, 0..=0, "4 2 s s 4 [ 4 s 4 s ] 4", |a| a.throttle_time_ms);
// From 6 on a broker says that the quota for changes is used up.
api!(
    CreateTopicsRequest,
    CreateTopicsResponse,
    19,
    6..=6,
    "4 [ s 16@7 2 s 4@5 2@5 [ s s 1 1 1 ]@5 <0 2 > ]",
    |a| a.throttle_time_ms,
    |q| !q.validate_only
);
api!(CreatePartitionsRequest, CreatePartitionsResponse, 37, 3..=3, "4 [ s 2 s ]", |a| a.throttle_time_ms, |q| !q
    .validate_only);
api!(
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    32,
    4..=4,
    "4 [ 2 s 1 s [ s s 1 1 1 [ s s 1 ] 1@3 s@3 ] ]",
    |a| a.throttle_time_ms
);
api!(
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
    44,
    1..=1,
    "4 [ 2 s 1 s ]",
    |a| a.throttle_time_ms,
    |q| !q.validate_only
);
api!(DescribeAclsRequest, DescribeAclsResponse, 29, 2..=3, "4 2 s [ 1 s 1 [ s s 1 1 ] ]", |a| a.throttle_time_ms);
api!(CreateAclsRequest, CreateAclsResponse, 30, 2..=3, "4 [ 2 s ]", |a| a.throttle_time_ms, |_| true);
api!(
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
    50,
    0..=0,
    "4 2 s [ s 2 s [ 1 4 ] ]",
    |a| a.throttle_time_ms
);
api!(
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    51,
    0..=0,
    "4 [ s 2 s ]",
    |a| a.throttle_time_ms,
    |_| true
);
api!(DescribeClientQuotasRequest, DescribeClientQuotasResponse, 48, 1..=1, "4 2 s [ [ s s ] [ s 8 ] ]", |a| a
    .throttle_time_ms);
api!(
    AlterClientQuotasRequest,
    AlterClientQuotasResponse,
    49,
    1..=1,
    "4 [ 2 s [ s s ] ]",
    |a| a.throttle_time_ms,
    |q| !q.validate_only
);
api!(ListConfigResourcesRequest, ListConfigResourcesResponse, 74, 0..=1, "4 2 [ s 1@1 ]", |a| a.throttle_time_ms);
// Above 9 a produce names topics by id or adds partitions to a transaction by itself; nothing here needs that.
api!(
    ProduceRequest,
    ProduceResponse,
    0,
    7..=7,
    "[ s [ 4 2 8 8 8@5 [ 4 s ]@8 s@8 ] ] 4",
    |a| a.throttle_time_ms,
    |_| true
);
// Above 11 a fetch has tagged fields and then names topics by id.
api!(FetchRequest, FetchResponse, 1, 11..=11, "4 2@7 4@7 [ s [ 4 2 8 8 8@5 [ 8 8 ] 4@11 b ] ]", |a| a.throttle_time_ms);
api!(ListOffsetsRequest, ListOffsetsResponse, 2, 4..=4, "4 [ s [ 4 2 8 8 4@4 ] ]", |a| a.throttle_time_ms);
// From 4 on several coordinators are asked for at once.
api!(FindCoordinatorRequest, FindCoordinatorResponse, 10, 3..=3, "4 2 s 4 s 4", |a| a.throttle_time_ms);
// From 5 on the transactions are those of KIP-890, whose epochs change with every commit.
api!(InitProducerIdRequest, InitProducerIdResponse, 22, 3..=3, "4 2 8 2", |a| a.throttle_time_ms, |_| true);
// From 4 on this is for brokers among themselves.
api!(
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    24,
    3..=3,
    "4 [ s [ 4 2 ] ]",
    |a| a.throttle_time_ms,
    |_| true
);
api!(EndTxnRequest, EndTxnResponse, 26, 3..=3, "4 2", |a| a.throttle_time_ms, |_| true);

impl Api for m::ApiVersionsRequest {
    const KEY: i16 = 18;
    const NAME: &'static str = "ApiVersionsRequest";
    const LOWEST: i16 = 0;
    const HIGHEST: i16 = 3;
    const SHAPE: &'static str = "2 [ 2 2 2 ] 4@1 <0 [ s 2 2 ] > <1 8 > <2 [ s 2 2 ] > <3 1 >";
    type Answer = m::ApiVersionsResponse;

    fn throttle(answer: &Self::Answer) -> i32 {
        answer.throttle_time_ms
    }

    fn longest(&self) -> usize {
        A_PROBE
    }

    // The head of this answer never has tagged fields, so that whoever speaks another version can read it.
    fn flexible(version: i16) -> bool {
        version >= 3
    }
}

/// What a probe's answer may take: a thousand brokers and more.
const A_PROBE: usize = 128 << 10;

impl Api for m::MetadataRequest {
    const KEY: i16 = 3;
    const NAME: &'static str = "MetadataRequest";
    // From 8 on the answer has the operations that are allowed.
    const LOWEST: i16 = 8;
    const HIGHEST: i16 = 12;
    const SHAPE: &'static str = "4 [ 4 s 4 s ] s 4 [ 2 s 16@10 1 [ 2 4 4 4 {4} {4} {4} ] 4 ] 4@8-10";
    type Answer = m::MetadataResponse;

    fn throttle(answer: &Self::Answer) -> i32 {
        answer.throttle_time_ms
    }

    fn longest(&self) -> usize {
        if self.topics.as_ref().is_some_and(Vec::is_empty) { A_PROBE } else { LONGEST }
    }
}

/// The version, within bounds that the compiler knows: what the codec has for others is then not in the binary.
fn known<Q: Api>(chosen: i16) -> i16 {
    if Q::LOWEST == Q::HIGHEST { Q::HIGHEST } else { chosen.clamp(Q::LOWEST, Q::HIGHEST) }
}

/// A whole request with its length.
pub(crate) fn encode<Q: Api>(request: &Q, version: i16, correlation: i32) -> Result<Bytes> {
    let version = known::<Q>(version);
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    m::RequestHeader::default()
        .with_request_api_key(Q::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str("k-init")))
        .encode(&mut frame, Q::header_version(version))?;
    request.encode(&mut frame, version).with_context(|| format!("cannot write {} version {version}", Q::NAME))?;
    let length = i32::try_from(frame.len() - 4).context("the request is too long")?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}

/// The body of an answer without its length, once it is known to be ours.
pub(crate) fn decode<Q: Api>(frame: Bytes, version: i16, correlation: i32) -> Result<Q::Answer> {
    let version = known::<Q>(version);
    let mut rest = frame;
    if rest.len() < 4 {
        bail!("the answer to {} is cut short", Q::NAME);
    }
    let theirs = i32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]);
    if theirs != correlation {
        bail!(
            "the broker answered request {theirs} where {correlation} was asked: is something between us that mixes connections?"
        );
    }
    m::ResponseHeader::decode(&mut rest, Q::Answer::header_version(version))?;
    if let Err(why) = shape::check(Q::SHAPE, version, Q::flexible(version), &rest) {
        bail!("the answer to {} {why}: is it a Kafka broker?", Q::NAME);
    }
    Q::Answer::decode(&mut rest, version)
        .with_context(|| format!("cannot read the answer to {} version {version}", Q::NAME))
}

/// The length of the frame that these four bytes announce, or what they are instead; at most `longest` bytes are taken for true.
pub(crate) fn length(first: [u8; 4], longest: usize) -> Result<usize, String> {
    match &first {
        [0x15 | 0x16, 3, ..] => {
            Err("it speaks TLS: set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL, or use the plain-text port".into())
        }
        b"HTTP" | b"<htm" | b"<!DO" => Err("it speaks HTTP, not Kafka: is the port right?".into()),
        b"SSH-" => Err("it speaks SSH, not Kafka: is the port right?".into()),
        _ => {
            let length = i32::from_be_bytes(first);
            usize::try_from(length).ok().filter(|length| (4..=longest).contains(length)).ok_or_else(|| {
                format!("it announced an answer of {length} bytes (at most {longest} are read): is it a Kafka port?")
            })
        }
    }
}

/// A name for the wire.
pub(crate) fn string(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A topic's name for the wire.
pub(crate) fn topic(name: &str) -> m::TopicName {
    m::TopicName(string(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::testing::{Edit, damage_all, edits};
    use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, MetadataRequest};

    #[test]
    fn the_first_bytes_tell_who_answers() {
        assert_eq!(length([0, 0, 1, 0], LONGEST), Ok(256));
        for (first, part) in [
            ([0x15, 3, 3, 0], "TLS"),
            (*b"HTTP", "HTTP"),
            ([0x7f, 0xff, 0xff, 0xff], "2147483647 bytes"),
            ([0xff, 0xff, 0xff, 0xff], "-1 bytes"),
            ([0, 0, 0, 3], "3 bytes"),
        ] {
            assert!(length(first, LONGEST).is_err_and(|text| text.contains(part)), "{first:?}");
        }
    }

    #[test]
    fn hostile_counts_are_found_before_anything_is_reserved() {
        // Correlation 1, no error, then a count of two thousand millions.
        let old = Bytes::from_static(&[0, 0, 0, 1, 0, 0, 0x7f, 0xff, 0xff, 0xff]);
        assert!(
            decode::<ApiVersionsRequest>(old, 0, 1).is_err_and(|error| error.to_string().contains("announces more"))
        );
        let new = Bytes::from_static(&[0, 0, 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert!(
            decode::<ApiVersionsRequest>(new, 3, 1).is_err_and(|error| error.to_string().contains("announces more"))
        );
        let metadata = Bytes::from_static(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert!(
            decode::<MetadataRequest>(metadata, 12, 1).is_err_and(|error| error.to_string().contains("announces more"))
        );
    }

    #[test]
    fn an_answer_to_another_request_is_refused() {
        let frame = Bytes::from_static(&[0, 0, 0, 2, 0, 0, 0, 0, 0, 0]);
        assert!(decode::<ApiVersionsRequest>(frame, 0, 1).is_err_and(|error| error.to_string().contains("request 2")));
    }

    /// For each version of an answer: the crate reads what the shape says, to the last byte; what was cut is refused; and what passes
    /// in spite of a changed byte is decoded without reserving what is not there, which would end this process.
    fn shaped<Q: Api>() {
        for version in Q::LOWEST..=Q::HIGHEST {
            let body = shape::tests::sample(Q::SHAPE, version, Q::flexible(version)).freeze();
            let check = |body: &[u8]| shape::check(Q::SHAPE, version, Q::flexible(version), body);
            let mut rest = body.clone();
            let read = Q::Answer::decode(&mut rest, version);
            assert!(read.is_ok() && rest.is_empty(), "{} version {version}: {:?}, left {rest:?}", Q::NAME, read.err());
            assert_eq!(check(&body), Ok(()), "{} version {version}", Q::NAME);
            for end in 0..body.len() {
                assert!(check(&body[..end]).is_err(), "{} version {version} cut at {end}", Q::NAME);
            }
            for place in 0..body.len() {
                for byte in [0x7f, 0x80, 0xff, 3, 0] {
                    let mut changed = body.to_vec();
                    changed[place] = byte;
                    if check(&changed).is_ok() {
                        drop(Q::Answer::decode(&mut Bytes::from(changed), version));
                    }
                }
            }
        }
    }

    /// A check of each request, by its type.
    macro_rules! every {
        ($check:ident) => {
            [
                $check::<ApiVersionsRequest>,
                $check::<MetadataRequest>,
                $check::<m::SaslHandshakeRequest>,
                $check::<m::SaslAuthenticateRequest>,
                $check::<m::DescribeClusterRequest>,
                $check::<m::CreateTopicsRequest>,
                $check::<m::CreatePartitionsRequest>,
                $check::<m::DescribeConfigsRequest>,
                $check::<m::IncrementalAlterConfigsRequest>,
                $check::<m::DescribeAclsRequest>,
                $check::<m::CreateAclsRequest>,
                $check::<m::DescribeUserScramCredentialsRequest>,
                $check::<m::AlterUserScramCredentialsRequest>,
                $check::<m::DescribeClientQuotasRequest>,
                $check::<m::AlterClientQuotasRequest>,
                $check::<m::ListConfigResourcesRequest>,
                $check::<m::ProduceRequest>,
                $check::<m::FetchRequest>,
                $check::<m::ListOffsetsRequest>,
                $check::<m::FindCoordinatorRequest>,
                $check::<m::InitProducerIdRequest>,
                $check::<m::AddPartitionsToTxnRequest>,
                $check::<m::EndTxnRequest>,
            ]
        };
    }

    #[test]
    fn every_answer_has_the_shape_that_its_decoder_reads() {
        for check in every!(shaped) {
            check();
        }
    }

    /// A good answer of one of the versions, damaged, as it comes over the wire.
    fn damaged<Q: Api>(version: i16, edits: &[Edit]) {
        let version = Q::LOWEST + version % (Q::HIGHEST - Q::LOWEST + 1);
        let mut frame = 1_i32.to_be_bytes().to_vec();
        if Q::Answer::header_version(version) > 0 {
            frame.push(0);
        }
        frame.extend(shape::tests::sample(Q::SHAPE, version, Q::flexible(version)));
        damage_all(&mut frame, edits);
        drop(decode::<Q>(Bytes::from(frame), version, 1));
    }

    proptest::proptest! {
        #[test]
        fn cut_answers_never_panic(cut in 0..40_usize, version in 0..4_i16) {
            let whole: [u8; 40] = std::array::from_fn(|index| u8::from(index == 3 || index == 7));
            let _: Result<ApiVersionsResponse> = decode::<ApiVersionsRequest>(Bytes::copy_from_slice(&whole[..cut]), version, 1);
        }

        /// Nor is anything reserved that is not there: `./test faults` runs this in little memory.
        #[test]
        fn damaged_answers_never_panic(which in 0..every!(damaged).len(), version in 0..16_i16, edits in edits()) {
            every!(damaged)[which](version, &edits);
        }
    }
}
