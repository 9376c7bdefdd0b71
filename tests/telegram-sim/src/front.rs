//! An MTProxy in front of the data-centres: takes the obfuscated transports from whoever knows its secret, and leads each
//! connection to the data-centre that its first bytes ask for.
//!
//! The way from here to the data-centre is a function call and not another connection; what a client sees is the same. Whoever
//! doesn't know the secret is cut off without a word.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::debug;

use crate::connection::serve;
use crate::counters::From;
use crate::faults::Reachability;
use crate::state::Shared;
use crate::transport::Decoder;

type Reachabilities = BTreeMap<i32, watch::Receiver<Reachability>>;

/// Accepts connections until the simulation ends.
pub(crate) async fn listen(
    shared: Arc<Shared>,
    secret: [u8; 16],
    listener: TcpListener,
    reachabilities: Reachabilities,
) {
    let reachabilities = Arc::new(reachabilities);
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(lead(Arc::clone(&shared), secret, stream, Arc::clone(&reachabilities)));
    }
}

async fn lead(shared: Arc<Shared>, secret: [u8; 16], mut stream: TcpStream, reachabilities: Arc<Reachabilities>) {
    let mut decoder = Decoder::behind(secret);
    let mut buffer = vec![0; 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => decoder.push(&buffer[..count]),
        }
        match decoder.wanted() {
            Ok(None) => {}
            Ok(Some(wanted)) => {
                // Negative numbers ask for a data-centre's machines for media, which are the same here.
                let dc = i32::from(wanted.unsigned_abs());
                let Some(reachability) = reachabilities.get(&dc) else { break };
                return serve(shared, dc, stream, decoder, From::Front, reachability.clone()).await;
            }
            Err(error) => {
                debug!(%error, "turning a connection away");
                break;
            }
        }
    }
    shared.counters.turned_away();
}
