//! Kafka's frames: which requests there are, how one is put together and its answer taken apart, and what the first bytes say when the
//! other side is no Kafka. No sockets, no judgment about answers.

use anyhow::{Context, Result, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages as m;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, StrBytes};

/// The longest answer that is read; a broker's own limit for what it takes is 100 MB.
pub(crate) const LONGEST: usize = 64 << 20;

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

    /// Whether the first count of an answer can be true. The decoder reserves what the wire says before it reads, and a
    /// stranger's two gigabytes would end the process; whoever passes these two checks is a broker.
    fn plausible(_version: i16, _body: &[u8]) -> bool {
        true
    }
}

macro_rules! api {
    ($request:ident, $answer:ident, $key:literal, $lowest:literal, $highest:literal, $throttle:expr $(, $writes:expr)?) => {
        impl Api for m::$request {
            const KEY: i16 = $key;
            const NAME: &'static str = stringify!($request);
            const LOWEST: i16 = $lowest;
            const HIGHEST: i16 = $highest;
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

// Most are asked in one version, which every broker from 3.5 on has: what the codec knows of the others is then not in the binary.
api!(SaslHandshakeRequest, SaslHandshakeResponse, 17, 1, 1, |_| 0);
api!(SaslAuthenticateRequest, SaslAuthenticateResponse, 36, 2, 2, |_| 0);
api!(DescribeClusterRequest, DescribeClusterResponse, 60, 0, 0, |a| a.throttle_time_ms);
api!(CreateTopicsRequest, CreateTopicsResponse, 19, 7, 7, |a| a.throttle_time_ms, |q| !q.validate_only);
api!(CreatePartitionsRequest, CreatePartitionsResponse, 37, 3, 3, |a| a.throttle_time_ms, |q| !q.validate_only);
api!(DescribeConfigsRequest, DescribeConfigsResponse, 32, 4, 4, |a| a.throttle_time_ms);
api!(IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, 44, 1, 1, |a| a.throttle_time_ms, |q| !q
    .validate_only);
api!(DescribeAclsRequest, DescribeAclsResponse, 29, 3, 3, |a| a.throttle_time_ms);
api!(CreateAclsRequest, CreateAclsResponse, 30, 3, 3, |a| a.throttle_time_ms, |_| true);
api!(DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse, 50, 0, 0, |a| a.throttle_time_ms);
api!(AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, 51, 0, 0, |a| a.throttle_time_ms, |_| true);
api!(DescribeClientQuotasRequest, DescribeClientQuotasResponse, 48, 1, 1, |a| a.throttle_time_ms);
api!(AlterClientQuotasRequest, AlterClientQuotasResponse, 49, 1, 1, |a| a.throttle_time_ms, |q| !q.validate_only);
// Above 9 a produce names topics by id or adds partitions to a transaction by itself; nothing here needs that.
api!(ProduceRequest, ProduceResponse, 0, 9, 9, |a| a.throttle_time_ms, |_| true);
// Above 12 a fetch names topics by id.
api!(FetchRequest, FetchResponse, 1, 12, 12, |a| a.throttle_time_ms);
api!(ListOffsetsRequest, ListOffsetsResponse, 2, 7, 7, |a| a.throttle_time_ms);
// From 4 on several coordinators are asked for at once.
api!(FindCoordinatorRequest, FindCoordinatorResponse, 10, 3, 3, |a| a.throttle_time_ms);
// From 5 on the transactions are those of KIP-890, whose epochs change with every commit.
api!(InitProducerIdRequest, InitProducerIdResponse, 22, 4, 4, |a| a.throttle_time_ms, |_| true);
// From 4 on this is for brokers among themselves.
api!(AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, 24, 3, 3, |a| a.throttle_time_ms, |_| true);
api!(EndTxnRequest, EndTxnResponse, 26, 3, 3, |a| a.throttle_time_ms, |_| true);

impl Api for m::ApiVersionsRequest {
    const KEY: i16 = 18;
    const NAME: &'static str = "ApiVersionsRequest";
    const LOWEST: i16 = 0;
    const HIGHEST: i16 = 3;
    type Answer = m::ApiVersionsResponse;

    fn throttle(answer: &Self::Answer) -> i32 {
        answer.throttle_time_ms
    }

    fn plausible(version: i16, body: &[u8]) -> bool {
        body.get(2..).is_some_and(|rest| count_fits(rest, version >= 3))
    }
}

impl Api for m::MetadataRequest {
    const KEY: i16 = 3;
    const NAME: &'static str = "MetadataRequest";
    const LOWEST: i16 = 12;
    const HIGHEST: i16 = 12;
    type Answer = m::MetadataResponse;

    fn throttle(answer: &Self::Answer) -> i32 {
        answer.throttle_time_ms
    }

    fn plausible(version: i16, body: &[u8]) -> bool {
        body.get(4..).is_some_and(|rest| count_fits(rest, version >= 9))
    }
}

/// Whether so many elements, of at least a byte each, can follow their count.
fn count_fits(body: &[u8], flexible: bool) -> bool {
    if !flexible {
        let Some(count) = body.first_chunk() else { return false };
        return usize::try_from(i32::from_be_bytes(*count)).is_ok_and(|count| count <= body.len() - 4);
    }
    let (mut count, mut shift) = (0_u64, 0);
    for (index, byte) in body.iter().enumerate().take(5) {
        count |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return count.saturating_sub(1) <= (body.len() - index - 1) as u64;
        }
    }
    false
}

/// The version, known to the compiler where there is only one.
fn known<Q: Api>(chosen: i16) -> i16 {
    if Q::LOWEST == Q::HIGHEST { Q::HIGHEST } else { chosen }
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
    if !Q::plausible(version, rest.chunk()) {
        bail!("the answer to {} announces more than it holds: is it a Kafka broker?", Q::NAME);
    }
    Q::Answer::decode(&mut rest, version)
        .with_context(|| format!("cannot read the answer to {} version {version}", Q::NAME))
}

/// The length of the frame that these four bytes announce, or what they are instead.
pub(crate) fn length(first: [u8; 4]) -> Result<usize, String> {
    match &first {
        [0x15 | 0x16, 3, ..] => {
            Err("it speaks TLS: set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL, or use the plain-text port".into())
        }
        b"HTTP" | b"<htm" | b"<!DO" => Err("it speaks HTTP, not Kafka: is the port right?".into()),
        b"SSH-" => Err("it speaks SSH, not Kafka: is the port right?".into()),
        _ => {
            let length = i32::from_be_bytes(first);
            usize::try_from(length).ok().filter(|length| (4..=LONGEST).contains(length)).ok_or_else(|| {
                format!("it announced an answer of {length} bytes (at most {LONGEST} are read): is it a Kafka port?")
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
    use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, MetadataRequest};

    #[test]
    fn the_first_bytes_tell_who_answers() {
        assert_eq!(length([0, 0, 1, 0]), Ok(256));
        for (first, part) in [
            ([0x15, 3, 3, 0], "TLS"),
            (*b"HTTP", "HTTP"),
            ([0x7f, 0xff, 0xff, 0xff], "2147483647 bytes"),
            ([0xff, 0xff, 0xff, 0xff], "-1 bytes"),
            ([0, 0, 0, 3], "3 bytes"),
        ] {
            assert!(length(first).is_err_and(|text| text.contains(part)), "{first:?}");
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

    proptest::proptest! {
        #[test]
        fn cut_answers_never_panic(cut in 0..40_usize, version in 0..4_i16) {
            let whole: [u8; 40] = std::array::from_fn(|index| u8::from(index == 3 || index == 7));
            let _: Result<ApiVersionsResponse> = decode::<ApiVersionsRequest>(Bytes::copy_from_slice(&whole[..cut]), version, 1);
        }
    }
}
