//! What happens on the proxy's thread.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::counts::Counts;
use super::listener::{Listener, close_by_reset, close_in_order};
use super::observer::Observer;
use super::switches::{Direction, Switches, passable};

/// Accepts connections to `target` until the proxy stops. The runtime then drops those there are.
pub(crate) async fn serve(
    listener: Arc<Listener>,
    target: String,
    switches: watch::Receiver<Switches>,
    counts: Arc<watch::Sender<Counts>>,
) -> io::Result<()> {
    let registered = listener.register()?;
    let mut stop = switches.clone();
    let serve = async {
        loop {
            let resets = || switches.borrow().resets;
            let accepted = poll_fn(|context| listener.poll_accept(&registered, context, resets)).await;
            // A connection that broke while it waited to be accepted is no concern of ours.
            let Ok((client, resets)) = accepted else { continue };
            counts.send_modify(|counts| counts.connections += 1);
            let observer = Observer::new(Arc::clone(&counts));
            tokio::spawn(connection(client, target.clone(), switches.clone(), resets, observer));
        }
    };
    tokio::select! {
        _ = stop.wait_for(|now| now.stopped) => Ok(()),
        never = serve => never,
    }
}

/// One connection, from being accepted until it ends in order, breaks, or is broken.
async fn connection(
    client: TcpStream,
    target: String,
    switches: watch::Receiver<Switches>,
    resets: u64,
    observer: Observer,
) {
    close_by_reset(&client);
    if switches.borrow().refuse {
        return;
    }
    let mut reset = switches.clone();
    tokio::select! {
        _ = reset.wait_for(|now| now.resets != resets) => {}
        // However it breaks, dropping the sockets tells both sides.
        _ = relay(client, &target, switches, observer) => {}
    }
}

async fn relay(
    mut client: TcpStream,
    target: &str,
    mut switches: watch::Receiver<Switches>,
    observer: Observer,
) -> io::Result<()> {
    let mut server = match TcpStream::connect(target).await {
        Ok(server) => server,
        Err(error) => {
            passable(&mut switches, Direction::Replies, Instant::now()).await;
            return Err(error);
        }
    };
    close_by_reset(&server);
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;

    let observer = Mutex::new(observer);
    let observe = |direction, bytes: &[u8]| {
        observer.lock().unwrap_or_else(PoisonError::into_inner).observe(direction, bytes);
    };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::try_join!(
        pump(from_client, to_server, Direction::Requests, switches.clone(), &observe),
        pump(from_server, to_client, Direction::Replies, switches.clone(), &observe),
    )?;
    close_in_order(&client);
    close_in_order(&server);
    Ok(())
}

/// One direction. Reading and writing are joined by a queue, so that bytes that come while others wait out their delay
/// start their own at once.
async fn pump(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    direction: Direction,
    switches: watch::Receiver<Switches>,
    observe: &(impl Fn(Direction, &[u8]) + Sync),
) -> io::Result<()> {
    let (queue, queued) = mpsc::channel(QUEUE);
    let read = read(from, queue, |bytes| observe(direction, bytes));
    tokio::try_join!(read, write(queued, to, direction, switches))?;
    Ok(())
}

async fn read(mut from: ReadHalf<'_>, queue: mpsc::Sender<(Instant, Part)>, observe: impl Fn(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let part = match from.read(&mut buffer).await {
            Ok(0) => Part::End,
            Ok(length) => {
                observe(&buffer[..length]);
                Part::Bytes(buffer[..length].to_vec())
            }
            Err(error) => Part::Broken(error),
        };
        let more = matches!(part, Part::Bytes(_));
        // Where nobody takes it, writing has failed, and that ends the connection.
        if queue.send((Instant::now(), part)).await.is_err() || !more {
            return Ok(());
        }
    }
}

async fn write(
    mut queue: mpsc::Receiver<(Instant, Part)>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    mut switches: watch::Receiver<Switches>,
) -> io::Result<()> {
    while let Some((arrived, part)) = queue.recv().await {
        let written = match part {
            Part::Bytes(bytes) => write_all(&bytes, &to, direction, &mut switches, arrived).await,
            Part::End => {
                passable(&mut switches, direction, arrived).await;
                to.shutdown().await
            }
            Part::Broken(error) => {
                passable(&mut switches, direction, arrived).await;
                return Err(error);
            }
        };
        if let Err(error) = written {
            // The news that the receiver is gone travels the other way.
            passable(&mut switches, direction.reverse(), Instant::now()).await;
            return Err(error);
        }
    }
    Ok(())
}

async fn write_all(
    mut bytes: &[u8],
    to: &WriteHalf<'_>,
    direction: Direction,
    switches: &mut watch::Receiver<Switches>,
    arrived: Instant,
) -> io::Result<()> {
    while !bytes.is_empty() {
        // In this order: the receiver may be slow, and the switches may change meanwhile.
        to.writable().await?;
        passable(switches, direction, arrived).await;
        match to.try_write(bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What comes out of a socket.
#[derive(Debug)]
enum Part {
    Bytes(Vec<u8>),
    End,
    Broken(io::Error),
}

const CHUNK: usize = 16 * 1024;
/// Up to 64 MiB a direction are held back; then the sender's own buffers fill.
const QUEUE: usize = 4096;
