//! Just enough HTTP to ask a member how it is, without a process or a client crate that is itself under test.

use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// `GET path`, answered by JSON.
pub(crate) async fn get(address: &str, path: &str) -> io::Result<Value> {
    exchange(address, &format!("GET {path} HTTP/1.0\r\n\r\n")).await
}

/// `POST path` of an empty JSON object, answered by JSON.
pub(crate) async fn post(address: &str, path: &str) -> io::Result<Value> {
    exchange(address, &format!("POST {path} HTTP/1.0\r\nContent-Length: 2\r\n\r\n{{}}")).await
}

/// HTTP/1.0: the reply ends where the connection ends.
async fn exchange(address: &str, request: &str) -> io::Result<Value> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await?;
        let (_, body) = reply.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(serde_json::from_str(body)?)
    };
    timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A paused member accepts, and says nothing. A busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(2);
