//! A TCP proxy in front of ClickHouse that does to requests what networks and servers do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{RUNTIME, block_on, servers};

/// What becomes of the traffic while it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nobody listens, and every connection is gone.
    Refuse,
    /// Connections stand; nothing passes in either direction.
    BlackHole,
    /// Each answer comes so much later.
    Delay(Duration),
    /// The server gets the first part of an insert, then the connection is gone.
    TearInserts,
    /// The server does the insert; instead of its answer the connection ends.
    SwallowAnswers,
    /// The server does the insert; its answer comes so much later.
    LateAnswers(Duration),
    /// Inserts are answered with 500 and reach no server.
    RefuseInserts,
}

pub struct Proxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    struck: Arc<AtomicU64>,
}

const BUFFER_BYTES: usize = 64 * 1024;
const REFUSAL: &str = "Code: 242. DB::Exception: Table is in readonly mode\n";

impl Proxy {
    /// In front of the test's ClickHouse.
    pub fn new() -> Self {
        let url = servers::clickhouse_url();
        let server = url.strip_prefix("http://").expect("an address of ClickHouse without TLS").to_owned();
        let listener = block_on(TcpListener::bind("127.0.0.1:0")).expect("listen");
        let address = listener.local_addr().expect("a listener's address");
        let (fault, watched) = watch::channel(Fault::None);
        let struck = Arc::new(AtomicU64::new(0));
        RUNTIME.spawn(listen(listener, address, server, watched, Arc::clone(&struck)));
        Self { address, fault, struck }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on.
    pub fn set(&self, fault: Fault) {
        self.struck.store(0, Ordering::Relaxed);
        self.fault.send_replace(fault);
    }

    /// How often the fault has struck since it was set.
    pub fn struck(&self) -> u64 {
        self.struck.load(Ordering::Relaxed)
    }
}

/// Ends when the proxy is dropped.
async fn listen(
    listener: TcpListener,
    address: SocketAddr,
    server: String,
    mut fault: watch::Receiver<Fault>,
    struck: Arc<AtomicU64>,
) {
    let mut listener = Some(listener);
    loop {
        let is_refusing = *fault.borrow_and_update() == Fault::Refuse;
        if is_refusing && listener.take().is_some() {
            struck.fetch_add(1, Ordering::Relaxed);
        }
        if !is_refusing && listener.is_none() {
            listener = Some(TcpListener::bind(address).await.expect("listen again"));
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accepted => {
                let Ok((client, _)) = accepted else { continue };
                tokio::spawn(connect(client, server.clone(), fault.clone(), Arc::clone(&struck)));
            }
            changed = fault.changed() => if changed.is_err() { return },
        }
    }
}

async fn connect(client: TcpStream, server: String, fault: watch::Receiver<Fault>, struck: Arc<AtomicU64>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a connected socket");
    }
    let mut gone = fault.clone();
    let mut connection = Connection { client, server, fault, struck, is_insert: false };
    tokio::select! {
        _ = connection.pass() => {}
        _ = gone.wait_for(|fault| *fault == Fault::Refuse) => {}
    }
}

/// One connection of a client and the proxy's own to the server: requests and answers in turn.
struct Connection {
    client: TcpStream,
    server: TcpStream,
    fault: watch::Receiver<Fault>,
    struck: Arc<AtomicU64>,
    /// Whether the request under way is an insert.
    is_insert: bool,
}

impl Connection {
    /// `None`: the connection is to end.
    async fn pass(&mut self) -> Option<()> {
        let (mut request, mut answer) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
        loop {
            tokio::select! {
                read = self.client.read(&mut request) => self.request(&request[..read.ok()?]).await?,
                read = self.server.read(&mut answer) => self.answer(&answer[..read.ok()?]).await?,
            }
        }
    }

    async fn request(&mut self, part: &[u8]) -> Option<()> {
        let fault = self.passage().await?;
        if part.is_empty() {
            return None;
        }
        let is_head = part.starts_with(b"POST ");
        self.is_insert = self.is_insert && !is_head || holds(part, b"INSERT");
        match fault {
            Fault::TearInserts if self.is_insert => {
                // The head goes whole, and of what follows a half.
                let head = if is_head { head_bytes(part) } else { 0 };
                let torn = &part[..head + (part.len() - head) / 2];
                self.server.write_all(torn).await.ok()?;
                if head == part.len() {
                    return Some(());
                }
                self.strike();
                None
            }
            Fault::RefuseInserts if self.is_insert => {
                self.strike();
                let refusal = format!(
                    "HTTP/1.1 500 Internal Server Error\r\nX-ClickHouse-Exception-Code: 242\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{REFUSAL}",
                    REFUSAL.len()
                );
                self.client.write_all(refusal.as_bytes()).await.ok()?;
                // A connection that is closed with unread data takes the answer back.
                let mut rest = vec![0; BUFFER_BYTES];
                while self.client.read(&mut rest).await.ok()? > 0 {}
                None
            }
            _ => self.server.write_all(part).await.ok(),
        }
    }

    async fn answer(&mut self, part: &[u8]) -> Option<()> {
        let fault = self.passage().await?;
        if part.is_empty() {
            return None;
        }
        match fault {
            Fault::SwallowAnswers if self.is_insert => {
                self.strike();
                return None;
            }
            Fault::LateAnswers(delay) if self.is_insert => {
                self.strike();
                self.is_insert = false;
                tokio::time::sleep(delay).await;
            }
            Fault::Delay(delay) => {
                self.strike();
                tokio::time::sleep(delay).await;
            }
            _ => {}
        }
        self.client.write_all(part).await.ok()
    }

    /// Waits while nothing may pass; what is the matter then. `None`: the proxy is gone.
    async fn passage(&mut self) -> Option<Fault> {
        if *self.fault.borrow() == Fault::BlackHole {
            self.strike();
        }
        self.fault.wait_for(|fault| *fault != Fault::BlackHole).await.ok().map(|fault| *fault)
    }

    fn strike(&self) {
        self.struck.fetch_add(1, Ordering::Relaxed);
    }
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

fn head_bytes(request: &[u8]) -> usize {
    const END: &[u8] = b"\r\n\r\n";
    let end = request.windows(END.len()).position(|window| window == END);
    end.map_or(request.len(), |at| at + END.len())
}
