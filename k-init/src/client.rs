//! One connection to one broker: TCP, TLS, version negotiation, login, then one request after the other, each within its deadline.
//! What an answer means is decided elsewhere; what became of a request that got none is decided here.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use common::engine::change::{Class, Failure};
use common::net::lookup::{self, ConnectError};
use common::net::retry::Counters;
use common::net::retry::{Deadline, pause};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use rustls::ClientConfig;

use crate::error::{self, Code};
use crate::sasl::{Login, Refused};
use crate::wire::{self, Api};

mod stream;

pub(crate) use stream::SILENT;
use stream::{Lost, Stream, Timed, explained, handshake};

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How to come in.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) login: Option<Login>,
}

/// Why no connection came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) how: How,
    pub(crate) text: String,
}

/// What a connection that did not come about says about the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Nobody is there.
    Closed,
    /// Somebody is there who is no broker, or not yet.
    NotReady,
    /// The credentials were refused.
    Denied,
    /// The broker has not the mechanism that we were told to use.
    NoMechanism,
    /// Nothing that waiting could change.
    Hopeless,
}

impl Trouble {
    fn new(how: How, text: impl Into<String>) -> Self {
        Self { how, text: text.into() }
    }

    /// The same as a failure of whatever needed the connection.
    pub(crate) fn failure(&self) -> Failure {
        let class = match self.how {
            How::Closed | How::NotReady => Class::Again,
            How::Denied => Class::Auth,
            How::NoMechanism | How::Hopeless => Class::Config,
        };
        Failure::new(class, self.text.clone())
    }
}

/// A connection that answers.
pub(crate) struct Connection {
    address: Address,
    stream: Stream,
    correlation: i32,
    versions: HashMap<i16, (i16, i16)>,
    counters: Arc<Counters>,
    muted: Option<Deadline>,
}

impl Connection {
    /// Connects, negotiates and logs in, all of it by the deadline.
    pub(crate) fn open(
        address: &Address,
        access: &Access,
        counters: &Arc<Counters>,
        deadline: Deadline,
    ) -> Result<Self, Trouble> {
        let socket = lookup::dial(&address.host, address.port, deadline.left()).map_err(|error| {
            let how = match error {
                ConnectError::Lookup(_) | ConnectError::Refused(_) => How::Closed,
                ConnectError::TimedOut(_) | ConnectError::Other(_) => How::NotReady,
            };
            Trouble::new(how, error.to_string())
        })?;
        let timed = Timed { socket, deadline };
        let stream = match &access.tls {
            None => Stream::Plain(timed),
            Some(config) => Stream::Tls(handshake(address, config, timed)?),
        };
        let mut connection = Self {
            address: address.clone(),
            stream,
            correlation: 0,
            versions: HashMap::new(),
            counters: counters.clone(),
            muted: None,
        };
        connection.negotiate(access.tls.is_some())?;
        if let Some(login) = &access.login {
            connection.log_in(login)?;
        }
        Ok(connection)
    }

    /// Asks for the versions; a broker that does not know ours answers 35 in the oldest form, and is asked in that.
    fn negotiate(&mut self, encrypted: bool) -> Result<(), Trouble> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(wire::string("k-init"))
            .with_client_software_version(wire::string(env!("CARGO_PKG_VERSION")));
        let unclear = |lost: Lost, address: &Address| {
            let how = if lost.hopeless { How::Hopeless } else { How::NotReady };
            let hint = if lost.stranger || lost.hopeless {
                ""
            } else if encrypted {
                "; is it a plain-text port?"
            } else {
                "; is it a TLS port (KAFKA_SECURITY_PROTOCOL=SSL or SASL_SSL), or no Kafka?"
            };
            Trouble::new(how, format!("{address}: {}{hint}", lost.text))
        };
        let frame = self.exchange(&request, 3).map_err(|lost| unclear(lost, &self.address))?;
        let old = frame.get(4..6) == Some(&Code::UnsupportedVersion.code().to_be_bytes());
        let answer: ApiVersionsResponse = if old {
            let frame = self.exchange(&request, 0).map_err(|lost| unclear(lost, &self.address))?;
            self.decode::<ApiVersionsRequest>(frame, 0)
        } else {
            self.decode::<ApiVersionsRequest>(frame, 3)
        }
        .map_err(|text| Trouble::new(How::NotReady, format!("{}: {text}", self.address)))?;
        if let Some(code) = error::of(answer.error_code) {
            let text = error::sentence(format!("{} refuses ApiVersions", self.address), code, None);
            return Err(Trouble::new(How::NotReady, text));
        }
        self.versions = answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        Ok(())
    }

    fn log_in(&mut self, login: &Login) -> Result<(), Trouble> {
        let mechanism = login.mechanism();
        let deadline = self.stream.deadline();
        let not_ready = |failure: Failure| Trouble::new(How::NotReady, failure.message);
        let hello = SaslHandshakeRequest::default().with_mechanism(wire::string(mechanism));
        let answer = self.call(&hello, deadline).map_err(not_ready)?;
        match error::of(answer.error_code) {
            None => {}
            Some(Code::UnsupportedSaslMechanism) => {
                let offered: Vec<&str> = answer.mechanisms.iter().map(|mechanism| &**mechanism).collect();
                let text = format!(
                    "{} does not offer {mechanism} (33 UNSUPPORTED_SASL_MECHANISM), it offers {}: set KAFKA_SASL_MECHANISM",
                    self.address,
                    offered.join(", ")
                );
                return Err(Trouble::new(How::NoMechanism, text));
            }
            Some(other) => {
                let text = error::sentence(format!("{} refuses a login", self.address), other, None);
                let how = if other == Code::IllegalSaslState { How::Hopeless } else { How::NotReady };
                return Err(Trouble::new(how, text));
            }
        }
        let address = self.address.clone();
        let result = login.run(|message| {
            let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
            let answer = self.call(&request, deadline).map_err(not_ready)?;
            let Some(code) = error::of(answer.error_code) else { return Ok(answer.auth_bytes.to_vec()) };
            let how = if code == Code::SaslAuthenticationFailed { How::Denied } else { How::NotReady };
            let what = format!("{address} refuses the {mechanism} login of {}", login.user());
            Err(Trouble::new(how, error::sentence(what, code, answer.error_message.as_deref())))
        });
        result.map_err(|refused| match refused {
            Refused::Carrier(trouble) => trouble,
            Refused::Token(failure) if failure.class == Class::Auth => Trouble::new(How::Denied, failure.message),
            Refused::Token(failure) => Trouble::new(How::NotReady, failure.message),
            Refused::Protocol(text) => Trouble::new(How::Denied, format!("{address}: {mechanism}: {text}")),
        })
    }

    /// Whether the broker has a request in a version that will do.
    pub(crate) fn offers<Q: Api>(&self) -> bool {
        self.version::<Q>().is_ok()
    }

    /// The highest version that a broker names for a request, also above ours.
    pub(crate) fn highest(&self, key: i16) -> Option<i16> {
        self.versions.get(&key).map(|(_, highest)| *highest)
    }

    fn version<Q: Api>(&self) -> Result<i16, Failure> {
        self.choose(Q::KEY, Q::NAME, (Q::LOWEST, Q::HIGHEST), (Q::VERSIONS.min, Q::VERSIONS.max))
    }

    /// Picks a version that the broker, the code and the codec have. Not generic, so that it is in the binary once.
    fn choose(&self, key: i16, name: &str, ours: (i16, i16), codec: (i16, i16)) -> Result<i16, Failure> {
        // Before ApiVersions was answered nothing is known; SaslHandshake comes after.
        let Some((lowest, highest)) = self.versions.get(&key).copied() else {
            let text =
                format!("{} has no {name}: the broker is too old, or its listener is for controllers", self.address);
            return Err(Failure::fatal(text));
        };
        let chosen = highest.min(ours.1).min(codec.1);
        if chosen < lowest || chosen < ours.0 || chosen < codec.0 {
            return Err(Failure::fatal(format!(
                "{} offers {name} in versions {lowest} to {highest}, and one of {} to {} is needed: Kafka 3.5 and later are supported",
                self.address, ours.0, ours.1
            )));
        }
        Ok(chosen)
    }

    /// One request and its answer. A failure's class says whether it may have been done; the connection is of no use afterwards.
    pub(crate) fn call<Q: Api>(&mut self, request: &Q, deadline: Deadline) -> Result<Q::Answer, Failure> {
        let version = self.version::<Q>()?;
        self.stream.until(deadline);
        let writes = request.writes();
        let frame = self.exchange(request, version).map_err(|lost| self.failed(Q::NAME, writes, &lost))?;
        let answer = self.decode::<Q>(frame, version).map_err(|text| {
            let class = if writes { Class::Ambiguous } else { Class::Fatal };
            Failure::new(class, format!("{}: {text}", self.address))
        })?;
        self.mute(Q::throttle(&answer));
        Ok(answer)
    }

    /// Waits for as long as the broker wants to be left alone, which may be longer than a request may take.
    pub(crate) fn unmuted(&mut self, run: Deadline) {
        if let Some(muted) = self.muted.take() {
            pause(muted.left(), run);
        }
    }

    /// The broker mutes the connection for that long; sending earlier would only fill its buffers.
    fn mute(&mut self, throttle: i32) {
        if let Ok(throttle @ 1..) = u64::try_from(throttle) {
            self.muted = Some(Deadline::after(Duration::from_millis(throttle)));
        }
    }

    fn failed(&self, name: &str, writes: bool, lost: &Lost) -> Failure {
        let class = match lost {
            Lost { hopeless: true, .. } => Class::Fatal,
            Lost { sent: true, .. } if writes => Class::Ambiguous,
            _ => Class::Again,
        };
        let failure =
            Failure::new(class, format!("{}: {}: {}", self.address, name.trim_end_matches("Request"), lost.text));
        Failure { code: (lost.text == SILENT).then(|| SILENT.to_owned()), ..failure }
    }

    fn decode<Q: Api>(&self, frame: Bytes, version: i16) -> Result<Q::Answer, String> {
        wire::decode::<Q>(frame, version, self.correlation).map_err(|error| format!("{error:#}"))
    }

    fn exchange<Q: Api>(&mut self, request: &Q, version: i16) -> Result<Bytes, Lost> {
        self.correlation = self.correlation.wrapping_add(1);
        let frame = wire::encode(request, version, self.correlation).map_err(|error| Lost {
            sent: false,
            stranger: false,
            hopeless: true,
            text: format!("{error:#}"),
        })?;
        self.carry(&frame, request.writes(), request.longest())
    }

    /// Sends a frame and reads the next one.
    fn carry(&mut self, frame: &[u8], writes: bool, longest: usize) -> Result<Bytes, Lost> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        if writes {
            self.counters.writes.fetch_add(1, Ordering::Relaxed);
        }
        // A frame that did not go out whole cannot have been done.
        self.stream.send(frame).map_err(|error| explained(false, &error))?;
        let mut first = [0; 4];
        self.stream.fill(&mut first).map_err(|error| explained(true, &error))?;
        let length =
            wire::length(first, longest).map_err(|text| Lost { sent: true, stranger: true, hopeless: false, text })?;
        let mut body = vec![0; length.min(1 << 20)];
        self.stream.fill(&mut body).map_err(|error| explained(true, &error))?;
        // What is announced is believed a piece at a time, as it arrives.
        while body.len() < length {
            let start = body.len();
            body.resize(length.min(start * 2), 0);
            self.stream.fill(&mut body[start..]).map_err(|error| explained(true, &error))?;
        }
        Ok(Bytes::from(body))
    }
}
