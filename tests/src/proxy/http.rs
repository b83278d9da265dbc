//! An HTTP proxy that writes down every exchange and can spoil a chosen one. Plain HTTP on both sides: it has to see what it carries.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::connect;
use crate::http1::{Request, Response, read_request, read_response};
use crate::listen::{Door, lock, reset, swallow};

/// What happens to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes, and so does its answer.
    Pass,
    /// It passes; when its answer has arrived, the connection is reset.
    DropAnswer,
    /// It passes; so many bytes of the answer's body do, then the connection is reset.
    CutAnswer(usize),
    /// The connection is reset before the server sees it.
    DropRequest,
    /// It passes; its answer waits so long.
    Delay(Duration),
    /// The server does not see it; nothing is answered.
    Hang,
    /// It passes; its answer arrives at the proxy and stays there ([`HttpProxy::held`]).
    HoldAnswer,
    /// The server does not see it; this is the answer.
    Answer(Response),
}

/// One request and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What the client sent.
    pub request: Request,
    /// The status that the client was sent, if any.
    pub status: Option<u16>,
}

type Rule = dyn Fn(&Request, usize) -> Verdict + Send + Sync;

/// The proxy. Dropped, it cuts everything.
pub struct HttpProxy {
    door: Door,
    shared: Arc<Shared>,
}

struct Shared {
    target: Mutex<SocketAddr>,
    rule: Mutex<Arc<Rule>>,
    log: Mutex<Vec<Exchange>>,
    held: AtomicBool,
}

impl HttpProxy {
    /// Carries everything to `http://HOST:PORT`, given with or without its scheme.
    pub fn to(target: &str) -> Self {
        let target = target.trim_start_matches("http://").trim_end_matches('/');
        let target =
            target.parse().unwrap_or_else(|error| panic!("{target:?} is no address of a plain HTTP server: {error}"));
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            rule: Mutex::new(Arc::new(|_, _| Verdict::Pass)),
            log: Mutex::default(),
            held: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        Self { door: Door::open(move |client, _| serving.carry(&client)), shared }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.door.address())
    }

    /// How many clients have connected so far.
    pub fn connections(&self) -> usize {
        self.door.accepted()
    }

    /// Decides on each request from now on, by the request and its number, from 1, since the log was cleared.
    pub fn rule(&self, rule: impl Fn(&Request, usize) -> Verdict + Send + Sync + 'static) {
        *lock(&self.shared.rule) = Arc::new(rule);
    }

    /// Lets everything pass again.
    pub fn pass(&self) {
        self.rule(|_, _| Verdict::Pass);
    }

    /// Holds the answer to the nth write (from 1) that is made from now on: the moment to kill the client after so many writes.
    pub fn hold_write(&self, nth: usize) {
        self.shared.held.store(false, Ordering::SeqCst);
        let writes = AtomicUsize::new(0);
        self.rule(move |request, _| {
            let hold = request.writes() && writes.fetch_add(1, Ordering::SeqCst) + 1 == nth;
            if hold { Verdict::HoldAnswer } else { Verdict::Pass }
        });
    }

    /// Whether an answer is being held: the server has done what it was asked, and the client does not know.
    pub fn held(&self) -> bool {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// Clients are refused from now on.
    pub fn refuse(&self) {
        self.door.close();
    }

    /// Clients are accepted again.
    pub fn allow(&self) {
        self.door.reopen();
    }

    /// Every exchange since the log was cleared, in the order in which the requests arrived.
    pub fn log(&self) -> Vec<Exchange> {
        lock(&self.shared.log).clone()
    }

    /// Forgets every exchange.
    pub fn clear(&self) {
        lock(&self.shared.log).clear();
    }

    /// How many requests there were.
    pub fn requests(&self) -> usize {
        lock(&self.shared.log).len()
    }

    /// How many requests had this method.
    pub fn count(&self, method: &str) -> usize {
        lock(&self.shared.log).iter().filter(|exchange| exchange.request.method == method).count()
    }

    /// `METHOD target` of the requests that may have changed something.
    pub fn writes(&self) -> Vec<String> {
        let log = lock(&self.shared.log);
        let writes = log.iter().map(|exchange| &exchange.request).filter(|request| request.writes());
        writes.map(|request| format!("{} {}", request.method, request.target)).collect()
    }
}

impl Shared {
    fn carry(&self, client: &TcpStream) {
        let mut server: Option<BufReader<TcpStream>> = None;
        let mut reader = BufReader::new(client);
        while let Ok(Some(request)) = read_request(&mut reader, |text| { client }.write_all(text)) {
            let number = {
                let mut log = lock(&self.log);
                log.push(Exchange { request: request.clone(), status: None });
                log.len()
            };
            let rule = Arc::clone(&lock(&self.rule));
            let verdict = rule(&request, number);
            let answer = match &verdict {
                Verdict::DropRequest => return reset(client),
                Verdict::Hang => return swallow(reader),
                Verdict::Answer(answer) => answer.clone(),
                Verdict::Pass
                | Verdict::DropAnswer
                | Verdict::CutAnswer(_)
                | Verdict::Delay(_)
                | Verdict::HoldAnswer => match self.ask(&mut server, &request) {
                    Ok(answer) => answer,
                    Err(_) => return reset(client),
                },
            };
            match verdict {
                Verdict::DropAnswer => return reset(client),
                Verdict::HoldAnswer => {
                    self.held.store(true, Ordering::SeqCst);
                    return swallow(reader);
                }
                Verdict::CutAnswer(bytes) => {
                    let sent = answer.head().into_bytes();
                    let body = &answer.body[..bytes.min(answer.body.len())];
                    drop({ client }.write_all(&[&sent, body].concat()));
                    return reset(client);
                }
                Verdict::Delay(time) => crate::pause(time),
                Verdict::Pass | Verdict::Answer(_) | Verdict::DropRequest | Verdict::Hang => {}
            }
            // The log may have been cleared while the server thought.
            if let Some(exchange) = lock(&self.log).get_mut(number - 1) {
                exchange.status = Some(answer.status);
            }
            if answer.write(&mut { client }, &request.method).is_err() {
                return;
            }
        }
    }

    /// One exchange with the server, on this client's own connection to it.
    fn ask(&self, server: &mut Option<BufReader<TcpStream>>, request: &Request) -> std::io::Result<Response> {
        if server.is_none() {
            *server = Some(BufReader::new(connect(*lock(&self.target))?));
        }
        let connection = server.as_mut().expect("it was just made");
        let mut message = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
        for (name, value) in &request.headers {
            if !matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection" | "expect") {
                message += &format!("{name}: {value}\r\n");
            }
        }
        if !request.body.is_empty() || !matches!(request.method.as_str(), "GET" | "HEAD") {
            message += &format!("content-length: {}\r\n", request.body.len());
        }
        message += "\r\n";
        connection.get_mut().write_all(&[message.as_bytes(), &request.body].concat())?;
        let answer = read_response(connection, &request.method)?;
        if answer.headers.iter().any(|(name, value)| name == "connection" && value.eq_ignore_ascii_case("close")) {
            *server = None;
        }
        Ok(answer)
    }
}
