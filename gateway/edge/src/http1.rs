//! The public service: HTTP/1 by connections of our own, HTTP/2 by pingora's proxy.
//!
//! Pingora's HTTP/1 session would do for the protocol. Its streams are used; its session is not: it sends head and body one by
//! one, copies what the kernel could send out of files, and costs more processor time per request than everything
//! that the edge itself does (DECISIONS.md has the figures).

mod connection;
mod head;
mod output;

use crate::edge::Edge;
use crate::proxy::EdgeProxy;
use async_trait::async_trait;
use bytes::BytesMut;
use connection::{Connection, Read};
use pingora::apps::{HttpServerOptions, ServerApp};
use pingora::protocols::l4::stream::Stream as SocketStream;
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use std::sync::Arc;

/// What a client sends first that speaks HTTP/2 without TLS (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves viewers' connections.
pub(crate) struct Public {
    edge: Arc<Edge>,
    http2: Arc<HttpProxy<EdgeProxy>>,
    /// HTTP/2 is spoken without TLS, too.
    h2c: bool,
}

impl Public {
    pub(crate) fn new(edge: Arc<Edge>, conf: &Arc<ServerConf>, h2c: bool) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2c = h2c;
        options.h2_idle_timeout = Some(edge.limits.keepalive);
        let mut http2 = http_proxy(conf, EdgeProxy::new(edge.clone()));
        http2.server_options = Some(options);
        Self { edge, http2: Arc::new(http2), h2c }
    }
}

#[async_trait]
impl ServerApp for Public {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            return self.http2.process_new(stream, shutdown).await;
        }
        let mut connection = Connection::new(&self.edge, stream, shutdown.clone());
        if self.h2c && connection.is_plain() {
            // Byte by byte, if it must be: a request may be shorter than the preface.
            let until_told = async {
                while connection.read().len() < PREFACE.len() && PREFACE.starts_with(connection.read()) {
                    if !matches!(connection.more().await, Read::Bytes) {
                        return false;
                    }
                }
                true
            };
            // Who says nothing, or not enough to tell, is waited for as long as an idle connection is kept.
            if !matches!(pingora_timeout::timeout(self.edge.limits.keepalive, until_told).await, Ok(true)) {
                return None;
            }
            if connection.read().starts_with(PREFACE) {
                let (stream, read) = connection.into_parts();
                return self.http2.process_new(rewound(stream, &read)?, shutdown).await;
            }
        }
        connection.serve().await;
        None
    }

    async fn cleanup(&self) {
        self.http2.cleanup().await;
    }
}

/// The stream as it was before these bytes were read from it.
fn rewound(stream: Stream, read: &BytesMut) -> Option<Stream> {
    let mut socket = stream.into_any().downcast::<SocketStream>().ok()?;
    socket.rewind(read);
    Some(socket)
}
