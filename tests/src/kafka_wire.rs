//! Kafka's frames, for what stands between a client and a broker or plays one of them: reading, taking apart, putting together. The messages
//! themselves are `kafka-protocol`'s; no judgment about them here.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, RequestKind, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};

/// More than any test sends; a longer frame is garbage.
const LONGEST: usize = 128 << 20;

/// Reads one frame without its length; `None` at a clean end.
pub fn read_frame(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    if stream.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..])?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(Some(frame))
}

/// Puts the length before a frame.
pub fn framed(frame: &[u8]) -> Vec<u8> {
    let length = i32::try_from(frame.len()).expect("a test's frame is short");
    [&length.to_be_bytes(), frame].concat()
}

/// What stands at the start of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which request it is.
    pub key: i16,
    /// In which version.
    pub version: i16,
    /// The client's number for it, which the answer repeats.
    pub correlation: i32,
}

impl Head {
    /// `None` for a frame that is too short for a request.
    pub fn of(frame: &[u8]) -> Option<Self> {
        let (key, rest) = frame.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let correlation = rest.first_chunk()?;
        Some(Self {
            key: i16::from_be_bytes(*key),
            version: i16::from_be_bytes(*version),
            correlation: i32::from_be_bytes(*correlation),
        })
    }
}

/// Takes a request apart, whichever it is.
pub fn decode_request(frame: &[u8]) -> anyhow::Result<RequestKind> {
    let head = Head::of(frame).context("shorter than a request's head")?;
    let Ok(key) = ApiKey::try_from(head.key) else { bail!("unknown API key {}", head.key) };
    let mut rest = Bytes::copy_from_slice(frame);
    RequestHeader::decode(&mut rest, key.request_header_version(head.version))?;
    RequestKind::decode(key, &mut rest, head.version)
}

/// Takes an answer apart: its body, when the request was this one.
pub fn decode_answer<A: Decodable + HeaderVersion>(frame: &[u8], version: i16) -> anyhow::Result<A> {
    let mut rest = Bytes::copy_from_slice(frame);
    ResponseHeader::decode(&mut rest, A::header_version(version))?;
    A::decode(&mut rest, version)
}

/// A whole answer, without its length.
pub fn encode_answer<A: Encodable + HeaderVersion>(
    correlation: i32,
    answer: &A,
    version: i16,
) -> anyhow::Result<Vec<u8>> {
    let mut frame = BytesMut::new();
    ResponseHeader::default().with_correlation_id(correlation).encode(&mut frame, A::header_version(version))?;
    answer.encode(&mut frame, version)?;
    Ok(frame.to_vec())
}

/// Whether a request changes something on the broker. Asking it to validate only does not; logging in and fetching do not.
pub fn writes(frame: &[u8]) -> bool {
    match decode_request(frame) {
        Ok(RequestKind::CreateTopics(request)) => !request.validate_only,
        Ok(RequestKind::CreatePartitions(request)) => !request.validate_only,
        Ok(RequestKind::IncrementalAlterConfigs(request)) => !request.validate_only,
        Ok(RequestKind::AlterConfigs(request)) => !request.validate_only,
        Ok(RequestKind::AlterClientQuotas(request)) => !request.validate_only,
        Ok(
            RequestKind::Produce(_)
            | RequestKind::OffsetCommit(_)
            | RequestKind::DeleteTopics(_)
            | RequestKind::DeleteRecords(_)
            | RequestKind::InitProducerId(_)
            | RequestKind::AddPartitionsToTxn(_)
            | RequestKind::AddOffsetsToTxn(_)
            | RequestKind::EndTxn(_)
            | RequestKind::TxnOffsetCommit(_)
            | RequestKind::CreateAcls(_)
            | RequestKind::DeleteAcls(_)
            | RequestKind::AlterReplicaLogDirs(_)
            | RequestKind::CreateDelegationToken(_)
            | RequestKind::DeleteGroups(_)
            | RequestKind::ElectLeaders(_)
            | RequestKind::AlterPartitionReassignments(_)
            | RequestKind::OffsetDelete(_)
            | RequestKind::AlterUserScramCredentials(_)
            | RequestKind::UpdateFeatures(_),
        ) => true,
        Ok(RequestKind::Metadata(request)) => {
            request.allow_auto_topic_creation && request.topics.is_some_and(|topics| !topics.is_empty())
        }
        Ok(_) | Err(_) => false,
    }
}

/// A client of few words: one request, one answer.
pub struct Connection {
    stream: TcpStream,
    correlation: i32,
}

impl Connection {
    /// Connects; the limit is for each step.
    pub fn open(address: SocketAddr, limit: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, correlation: 0 })
    }

    /// Asks in one version, without asking whether the broker has it.
    pub fn call<Q: Request>(&mut self, request: &Q, version: i16) -> anyhow::Result<Q::Response> {
        self.correlation += 1;
        let header = RequestHeader::default()
            .with_request_api_key(Q::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation);
        let mut frame = BytesMut::new();
        header.encode(&mut frame, Q::header_version(version))?;
        request.encode(&mut frame, version)?;
        self.stream.write_all(&framed(&frame))?;
        let answer = read_frame(&mut self.stream)?.context("closed without an answer")?;
        decode_answer(&answer, version)
    }
}
