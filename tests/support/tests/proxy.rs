//! The proxy does what its switches say, and counts what passes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test helpers")]

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use incumbent_testkit::proxy::Proxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

#[tokio::test]
async fn passes_everything() {
    let proxy = Proxy::start(echo().await).await;
    let mut stream = connect(&proxy).await;
    let sent = vec![7; 3_000_000];
    let (mut reader, mut writer) = stream.split();
    let write = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let (_, read) = tokio::join!(write, reader.read_to_end(&mut received));
    // All of it, and an end in order.
    read.unwrap();
    assert!(received == sent);
    let counts = proxy.counts();
    assert_eq!((counts.connections, counts.bytes), (1, 6_000_000));
    assert_eq!((counts.requests(), counts.messages(), counts.events()), (0, 0, 0));
}

#[tokio::test]
async fn delays_each_direction_without_limiting_throughput() {
    let proxy = Proxy::start(echo().await).await;
    let mut stream = connect(&proxy).await;
    let undelayed = round_trip(&mut stream).await;
    assert!(undelayed < Duration::from_millis(100), "{undelayed:?}");

    proxy.delay(Duration::from_millis(100));
    let delayed = round_trip(&mut stream).await;
    assert!((200..1000).contains(&delayed.as_millis()), "{delayed:?}");

    proxy.delay_replies(Duration::from_millis(100));
    let delayed = round_trip(&mut stream).await;
    assert!((300..1000).contains(&delayed.as_millis()), "{delayed:?}");

    // Ten pieces, 20 ms apart, all on their way at the same time: one after the other they would take 3 s.
    let before = Instant::now();
    let (mut reader, mut writer) = stream.split();
    let write = async {
        for _ in 0..10 {
            writer.write_all(b"ping").await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut received = [0; 40];
    let (_, read) = tokio::join!(write, reader.read_exact(&mut received));
    read.unwrap();
    let elapsed = before.elapsed();
    assert!((480..2000).contains(&elapsed.as_millis()), "{elapsed:?}");

    proxy.heal();
    assert!(round_trip(&mut stream).await < Duration::from_millis(100));
}

#[tokio::test]
async fn a_delay_switched_off_frees_what_is_under_way() {
    let proxy = Proxy::start(echo().await).await;
    let mut stream = connect(&proxy).await;
    proxy.delay(Duration::from_secs(60));
    stream.write_all(b"ping").await.unwrap();
    proxy.until(|counts| counts.bytes == 4).await;
    proxy.delay(Duration::ZERO);
    read_ping(&mut stream).await;
}

#[tokio::test]
async fn a_blackhole_holds_both_directions_until_it_heals() {
    let proxy = Proxy::start(echo().await).await;
    let mut old = connect(&proxy).await;
    round_trip(&mut old).await;
    let before = proxy.counts();

    proxy.blackhole(true);
    let mut new = connect(&proxy).await;
    for stream in [&mut old, &mut new] {
        stream.write_all(b"ping").await.unwrap();
    }
    let counts = proxy.until(|counts| (counts - &before).bytes == 8).await;
    assert_silent(&mut old).await;
    assert_silent(&mut new).await;
    assert_eq!(proxy.counts(), counts, "the echo has not heard it");

    proxy.blackhole(false);
    read_ping(&mut old).await;
    read_ping(&mut new).await;
}

#[tokio::test]
async fn a_blackhole_hides_that_the_target_is_gone() {
    let proxy = Proxy::start("127.0.0.1:1").await;
    proxy.blackhole(true);
    let mut stream = connect(&proxy).await;
    assert_silent(&mut stream).await;
    proxy.heal();
    assert_broken(&mut stream).await;
}

#[tokio::test]
async fn requests_pass_while_replies_are_dropped() {
    let proxy = Proxy::start(echo().await).await;
    let mut stream = connect(&proxy).await;
    proxy.drop_replies(true);
    stream.write_all(b"ping").await.unwrap();
    // Four to the echo, four back from it.
    proxy.until(|counts| counts.bytes == 8).await;
    assert_silent(&mut stream).await;
    proxy.drop_replies(false);
    read_ping(&mut stream).await;
}

#[tokio::test]
async fn a_reset_breaks_every_connection_there_is() {
    let proxy = Proxy::start(echo().await).await;
    let mut used = connect(&proxy).await;
    round_trip(&mut used).await;
    // Again and again, so that some are reset before the proxy accepts them.
    for _ in 0..200 {
        let mut unused = connect(&proxy).await;
        proxy.reset();
        assert_broken(&mut unused).await;
    }
    assert_broken(&mut used).await;
    round_trip(&mut connect(&proxy).await).await;
    assert_eq!(proxy.counts().connections, 202);
}

#[tokio::test]
async fn a_reset_loses_what_is_held() {
    let proxy = Proxy::start(echo().await).await;
    let mut stream = connect(&proxy).await;
    proxy.blackhole(true);
    stream.write_all(b"ping").await.unwrap();
    proxy.until(|counts| counts.bytes == 4).await;
    proxy.reset();
    proxy.heal();
    assert_broken(&mut stream).await;
    round_trip(&mut connect(&proxy).await).await;
    assert_eq!(proxy.counts().bytes, 12);
}

#[tokio::test]
async fn refuses_new_connections_only() {
    let proxy = Proxy::start(echo().await).await;
    let mut old = connect(&proxy).await;
    round_trip(&mut old).await;
    proxy.refuse(true);
    assert_refused(&proxy).await;
    round_trip(&mut old).await;

    proxy.cut();
    assert_broken(&mut old).await;
    assert_refused(&proxy).await;

    proxy.heal();
    round_trip(&mut connect(&proxy).await).await;
}

#[tokio::test]
async fn dropping_it_breaks_its_connections() {
    let proxy = Proxy::start(echo().await).await;
    let address = proxy.address().to_owned();
    let mut stream = connect(&proxy).await;
    round_trip(&mut stream).await;
    drop(proxy);
    assert_broken(&mut stream).await;
    let error = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn counts_rpcs_by_method() {
    // The echo makes every frame a reply too.
    let proxy = Proxy::start(echo().await).await;
    let mut stream = connect(&proxy).await;
    let path = b"/etcdserverpb.KV/Txn";
    // HPACK: a literal that enters the dynamic table, its name (:path) from the static one.
    let literal = [&[0x44, 20][..], path].concat();
    let bytes = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        // Stream 1: headers in two parts, padded. One message in two frames.
        frame(HEADERS, PADDED, 1, &[&[2][..], &literal[..9], &[0, 0]].concat()),
        frame(CONTINUATION, END_HEADERS, 1, &literal[9..]),
        frame(DATA, 0, 1, &[0, 0, 0]),
        frame(DATA, PADDED, 1, &[1, 0, 3, b'a', b'b', b'c', 0]),
        // Stream 3: the path by its index in the dynamic table. Two messages in one frame, one of them empty.
        frame(HEADERS, END_HEADERS, 3, &[0xbe]),
        frame(DATA, 0, 3, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'x']),
        // Trailers begin no RPC.
        frame(HEADERS, END_HEADERS, 3, &[0x88]),
        frame(DATA, 0, 3, &[]),
    ]
    .concat();
    // Byte by byte: frames need not arrive whole.
    for byte in &bytes {
        stream.write_all(&[*byte]).await.unwrap();
    }
    let counts = proxy.until(|counts| counts.bytes == 2 * bytes.len() as u64).await;
    assert_eq!(counts.requests, [("KV/Txn".to_owned(), 2)].into());
    assert_eq!(counts.messages, [("KV/Txn".to_owned(), 3)].into());
    // The echo says the preface, which no server does: nothing of it counts.
    assert_eq!(counts.events(), 0);

    let twice = counts.clone() + counts.clone();
    assert_eq!(twice.requests_to("KV/Txn"), 4);
    assert_eq!(twice - counts.clone(), counts);
    assert!((&counts - &counts).requests.is_empty());
}

#[tokio::test]
async fn bytes_that_only_look_like_frames_are_no_rpcs() {
    let proxy = Proxy::start(echo().await).await;
    let mut stream = connect(&proxy).await;
    let bytes = frame(DATA, 0, 1, &[0, 0, 0, 0, 0]);
    stream.write_all(&bytes).await.unwrap();
    let counts = proxy.until(|counts| counts.bytes == 28).await;
    assert_eq!((counts.messages(), counts.events()), (0, 0));
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// The address of a server that says what it is told, until the test ends.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
    });
    address
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

async fn round_trip(stream: &mut TcpStream) -> Duration {
    let before = Instant::now();
    stream.write_all(b"ping").await.unwrap();
    read_ping(stream).await;
    before.elapsed()
}

async fn read_ping(stream: &mut TcpStream) {
    let mut received = [0; 4];
    timeout(Duration::from_secs(10), stream.read_exact(&mut received)).await.unwrap().unwrap();
    assert_eq!(&received, b"ping");
}

/// That nothing comes can only be seen for a while.
async fn assert_silent(stream: &mut TcpStream) {
    let read = timeout(Duration::from_millis(100), stream.read(&mut [0; 4])).await;
    assert!(read.is_err(), "{read:?}");
}

async fn assert_broken(stream: &mut TcpStream) {
    let read = timeout(Duration::from_secs(10), stream.read(&mut [0; 4])).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// It may come as early as from connecting.
async fn assert_refused(proxy: &Proxy) {
    match TcpStream::connect(proxy.address()).await {
        Ok(mut stream) => assert_broken(&mut stream).await,
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}
