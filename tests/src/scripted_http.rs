//! An HTTP/1.1 server that says what a case tells it to, well or badly, and remembers what it was asked. It knows no product: the stand-ins
//! for real servers are built on top of it.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::authority::{Duplex, Identity, accept};
use crate::http1::read_request;
pub use crate::http1::{Request, Response};
use crate::listen::{Door, lock, reset, swallow};

/// What is done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A good answer.
    Say(Response),
    /// The same, so much later.
    Late(Duration, Response),
    /// The same, its body byte by byte with so long between two.
    Slow(Duration, Response),
    /// The whole head and so many bytes of the body; then the connection ends.
    Partial(usize, Response),
    /// These bytes and nothing else; then the connection ends.
    Raw(Vec<u8>),
    /// 200 and a JSON string of so many bytes, with its length stated.
    Huge(u64),
    /// The same in chunks, with no length stated.
    HugeChunked(u64),
    /// The connection ends without an answer.
    Close,
    /// The connection is reset without an answer.
    Reset,
    /// Nothing, until the client gives up.
    Silent,
}

impl Answer {
    /// A JSON answer.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::Say(Response::json(status, body))
    }

    /// An HTML page, as proxies and login portals send.
    pub fn html(status: u16) -> Self {
        Self::Say(Response::new(status, "text/html", "<!doctype html><html><body><h1>Please log in</h1></body></html>"))
    }

    /// What another server answers to the same request, as JSON.
    pub fn forwarded(url: &str, request: &Request) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let mut call =
            ureq::http::Request::builder().method(request.method.as_str()).uri(format!("{url}{}", request.target));
        for (name, value) in request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            call = call.header(name, value);
        }
        let call = call.body(request.body.clone()).expect("it was a request before");
        let mut answer = ureq::Agent::new_with_config(config).run(call).expect("the other server answers");
        let status = answer.status().as_u16();
        let body = answer.body_mut().read_to_string().expect("the other server answers with text");
        Self::json(status, &serde_json::from_str(&body).unwrap_or_default())
    }

    /// A redirect.
    pub fn redirect(location: &str) -> Self {
        Self::Say(Response::new(302, "text/html", "").header("location", location))
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Say(response)
    }
}

type Script = dyn Fn(&Request, usize) -> Answer + Send + Sync;

/// The server. Dropped, it cuts everything.
pub struct ScriptedHttp {
    door: Door,
    shared: Arc<Shared>,
}

struct Shared {
    identity: Option<Identity>,
    script: Mutex<Arc<Script>>,
    log: Mutex<Vec<Request>>,
}

impl ScriptedHttp {
    /// Answers by the request and its number, from 1.
    pub fn new(script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve(None, Arc::new(script))
    }

    /// The same over TLS.
    pub fn tls(identity: Identity, script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve(Some(identity), Arc::new(script))
    }

    /// Answers by a table of `METHOD /path` (without the query); anything else is 404.
    pub fn routes<const N: usize>(routes: [(&str, Answer); N]) -> Self {
        let routes: BTreeMap<String, Answer> =
            routes.into_iter().map(|(route, answer)| (route.to_owned(), answer)).collect();
        Self::new(move |request, _| {
            let route = format!("{} {}", request.method, request.path());
            routes
                .get(&route)
                .cloned()
                .unwrap_or_else(|| Answer::json(404, &serde_json::json!({"message": format!("no route {route}")})))
        })
    }

    fn serve(identity: Option<Identity>, script: Arc<Script>) -> Self {
        let shared = Arc::new(Shared { identity, script: Mutex::new(script), log: Mutex::default() });
        let serving = Arc::clone(&shared);
        Self { door: Door::open(move |stream, _| serving.connection(stream)), shared }
    }

    /// `http://127.0.0.1:PORT` (or `https`).
    pub fn url(&self) -> String {
        let scheme = if self.shared.identity.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.door.address())
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> std::net::SocketAddr {
        self.door.address()
    }

    /// Answers differently from now on; numbers go on.
    pub fn script(&self, script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) {
        *lock(&self.shared.script) = Arc::new(script);
    }

    /// How many clients have connected so far.
    pub fn connections(&self) -> usize {
        self.door.accepted()
    }

    /// Every request so far.
    pub fn log(&self) -> Vec<Request> {
        lock(&self.shared.log).clone()
    }

    /// `METHOD target` of the requests that may have changed something.
    pub fn writes(&self) -> Vec<String> {
        let log = lock(&self.shared.log);
        log.iter()
            .filter(|request| request.writes())
            .map(|request| format!("{} {}", request.method, request.target))
            .collect()
    }

    /// Forgets every request; numbers start again.
    pub fn clear(&self) {
        lock(&self.shared.log).clear();
    }

    /// Clients are refused from now on.
    pub fn refuse(&self) {
        self.door.close();
    }

    /// Clients are accepted again.
    pub fn allow(&self) {
        self.door.reopen();
    }
}

impl Shared {
    fn connection(&self, stream: TcpStream) {
        let Ok(socket) = stream.try_clone() else { return };
        let Ok(duplex) = accept(stream, self.identity.as_ref()) else { return };
        let mut stream = BufReader::new(duplex);
        // A failure here is the client's business: it has gone, or does not like the certificate.
        drop(self.converse(&mut stream, &socket));
    }

    fn converse(&self, stream: &mut BufReader<Box<dyn Duplex>>, socket: &TcpStream) -> io::Result<()> {
        while let Some(request) = read_request(stream, |_| Ok(()))? {
            let number = {
                let mut log = lock(&self.log);
                log.push(request.clone());
                log.len()
            };
            let script = Arc::clone(&lock(&self.script));
            let to = stream.get_mut();
            match script(&request, number) {
                Answer::Say(response) => response.write(to, &request.method)?,
                Answer::Late(time, response) => {
                    crate::pause(time);
                    response.write(to, &request.method)?;
                }
                Answer::Slow(time, response) => {
                    to.write_all(response.head().as_bytes())?;
                    for byte in &response.body {
                        to.write_all(&[*byte])?;
                        to.flush()?;
                        crate::pause(time);
                    }
                }
                Answer::Partial(bytes, response) => {
                    to.write_all(response.head().as_bytes())?;
                    to.write_all(&response.body[..bytes.min(response.body.len())])?;
                    return to.flush();
                }
                Answer::Raw(bytes) => {
                    to.write_all(&bytes)?;
                    return to.flush();
                }
                Answer::Huge(size) => {
                    write!(to, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n")?;
                    io::copy(&mut json_string(size), to)?;
                    to.flush()?;
                }
                Answer::HugeChunked(size) => {
                    write!(
                        to,
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{size:x}\r\n"
                    )?;
                    io::copy(&mut json_string(size), to)?;
                    write!(to, "\r\n0\r\n\r\n")?;
                    to.flush()?;
                }
                Answer::Close => return Ok(()),
                Answer::Reset => {
                    reset(socket);
                    return Ok(());
                }
                Answer::Silent => {
                    swallow(stream);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn json_string(size: u64) -> impl Read {
    b"\"".chain(io::repeat(b'x').take(size.saturating_sub(2))).chain(&b"\""[..])
}
