//! A server that answers from a script, one connection per answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// What to do with one request: pieces of bytes with pauses between them; then the line is cut.
#[derive(Clone, Default)]
pub struct Reply(Vec<(Duration, Vec<u8>)>);

impl Reply {
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self(vec![(Duration::ZERO, bytes.into())])
    }
    /// A well-formed answer; `head` is `200 OK` or `429 x\r\nRetry-After: 5`.
    pub fn ok(head: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut bytes = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        Self::raw(bytes)
    }
    pub fn json(body: &str) -> Self {
        Self::ok("200 OK\r\nContent-Type: application/json", body)
    }
    /// Closes without a word.
    pub fn nothing() -> Self {
        Self::default()
    }
    pub fn then(mut self, pause_ms: u64, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.push((Duration::from_millis(pause_ms), bytes.into()));
        self
    }
}

pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers in this order; the last again and again.
    pub async fn script(replies: Vec<Reply>) -> Self {
        let count = Mutex::new(0);
        Self::new(move |_| {
            let mut count = count.lock().unwrap();
            *count += 1;
            replies[(*count - 1_usize).min(replies.len() - 1)].clone()
        })
        .await
    }

    pub async fn new(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (seen.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, log.clone(), answer.clone()));
            }
        });
        Self { port, seen }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Whole requests, heads and bodies, as they came.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

pub async fn serve<S, F>(mut socket: S, seen: Arc<Mutex<Vec<String>>>, answer: Arc<F>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(&str) -> Reply,
{
    let Some(request) = read_request(&mut socket).await else { return };
    seen.lock().unwrap().push(request.clone());
    for (pause, bytes) in answer(&request).0 {
        tokio::time::sleep(pause).await;
        if socket.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = socket.shutdown().await;
}

/// Head and body by Content-Length.
pub async fn read_request(socket: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        let read = socket.read(&mut piece).await.ok()?;
        if read == 0 {
            return None;
        }
        all.extend_from_slice(&piece[..read]);
    }
}
