//! The public service: HTTP/1 by connections of our own, HTTP/2 by pingora's proxy.
//!
//! Pingora's HTTP/1 session would do for the protocol. Its streams are used; its session is not: it sends head and body one by
//! one, copies what the kernel could send out of files, and costs more processor time per request than everything
//! that the edge itself does (DECISIONS.md has the figures).

mod connection;
mod head;
mod output;

use crate::connections::Place;
use crate::edge::Edge;
use crate::frames::PREFACE;
use crate::lifecycle::Connected;
use crate::lingering::Lingering;
use crate::proxy::EdgeProxy;
use crate::proxy_protocol;
use crate::remote::household;
use crate::tls::Tls;
use async_trait::async_trait;
use bytes::BytesMut;
use connection::{Connection, Read};
use pingora::apps::{HttpServerOptions, ServerApp};
use pingora::protocols::http::v2::server::H2Options;
use pingora::protocols::l4::stream::Stream as SocketStream;
use pingora::protocols::{ALPN, GetSocketDigest, Stream};
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

/// The longest list of header fields of a request over HTTP/2, in bytes (RFC 9113 §6.5.2): as long as a head of HTTP/1 may be.
const LONGEST_FIELDS: u32 = head::LONGEST_HEAD as u32;
/// Bytes that one stream may have waiting for its connection's socket. pingora's own bound is 400 KiB, a hundred of which would be held for who
/// opens all windows and reads nothing.
const SEND_BUFFER: usize = 128 << 10;

/// Serves viewers' connections.
pub(crate) struct Public {
    edge: Arc<Edge>,
    http2: Arc<HttpProxy<EdgeProxy>>,
    manner: Manner,
}

/// How connections of some addresses begin, and what is done with them.
#[derive(Clone, Default)]
pub(crate) struct Manner {
    /// With a handshake.
    pub(crate) tls: Option<Arc<Tls>>,
    /// HTTP/2 is spoken without TLS, too.
    pub(crate) h2c: bool,
    /// Viewers without TLS are sent to this port.
    pub(crate) https_port: Option<u16>,
    /// With a line that says where they come from.
    pub(crate) proxy_protocol: bool,
    /// Requests beside each other on one connection of HTTP/2.
    pub(crate) http2_streams: u32,
}

impl Public {
    pub(crate) fn new(edge: Arc<Edge>, conf: &Arc<ServerConf>, manner: Manner) -> Self {
        let mut h2_options = H2Options::default();
        h2_options
            .max_concurrent_streams(manner.http2_streams)
            .max_header_list_size(LONGEST_FIELDS)
            .max_send_buffer_size(SEND_BUFFER);
        let mut options = HttpServerOptions::default();
        options.h2c = manner.h2c;
        options.h2_idle_timeout = Some(edge.live.limits().keepalive);
        let mut http2 = http_proxy(conf, EdgeProxy::new(edge.clone(), manner.https_port));
        http2.server_options = Some(options);
        http2.h2_options = Some(h2_options);
        Self { edge, http2: Arc::new(http2), manner }
    }
}

impl Public {
    /// What comes before HTTP. `None`: there is nobody to serve.
    async fn begin(&self, stream: Stream, place: &Place) -> Option<Begun> {
        if !self.manner.proxy_protocol && self.manner.tls.is_none() {
            let trusted = self.name(peer(&*stream), place)?;
            return Some(Begun { stream, trusted });
        }
        let mut socket = *stream.into_any().downcast::<SocketStream>().ok()?;
        if self.manner.proxy_protocol && !proxy_protocol::take(&mut socket, &self.edge.proxies).await {
            return None;
        }
        // Before anything is computed for the client.
        let trusted = self.name(peer(&socket), place)?;
        let stream: Stream = match &self.manner.tls {
            Some(tls) => tls.accept(socket, self.edge.live.limits().handshake_timeout, place).await?,
            None => Box::new(socket),
        };
        Some(Begun { stream, trusted })
    }

    /// Counts the connection for its address, unless many viewers come by it. `None`: there are too many of them.
    fn name(&self, peer: Option<IpAddr>, place: &Place) -> Option<bool> {
        let trusted = self.edge.proxies.trusts(peer);
        match peer {
            Some(peer) if !trusted => place.name(household(peer)).then_some(false),
            _ => Some(true),
        }
    }

    async fn serve(
        &self,
        stream: Stream,
        connected: Connected,
        place: Place,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let patience = self.edge.live.limits().write_timeout;
        // Boxes, as a connection of HTTP/1 would keep room for a handshake and for HTTP/2 for as long as it lives.
        let Begun { stream, trusted } = Box::pin(self.begin(stream, &place)).await?;
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            let stream = Lingering::new(stream, connected, place, patience, trusted);
            return Box::pin(self.serve_http2(stream, shutdown)).await;
        }
        let mut connection = Connection::new(&self.edge, stream, self.manner.https_port, &place.slot, shutdown.clone());
        if self.manner.h2c && connection.is_plain() {
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
            let keepalive = self.edge.live.limits().keepalive;
            if !matches!(pingora_timeout::timeout(keepalive, until_told).await, Ok(true)) {
                return None;
            }
            if connection.read().starts_with(PREFACE) {
                let (stream, read) = connection.into_parts();
                let stream = rewound(stream, &read)?;
                let stream = Lingering::new(stream, connected, place, patience, trusted);
                return Box::pin(self.serve_http2(stream, shutdown)).await;
            }
        }
        connection.serve().await;
        None
    }

    async fn serve_http2(&self, mut stream: Lingering, shutdown: &ShutdownWatch) -> Option<Stream> {
        let within = self.edge.live.limits().head_timeout;
        if !stream.begins(within).await {
            return None;
        }
        self.http2.process_new(Box::new(stream), shutdown).await
    }
}

#[async_trait]
impl ServerApp for Public {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let place = self.edge.connections.admit()?;
        let (connected, slot) = (self.edge.lifecycle.connected(), place.slot.clone());
        let serving: Pin<Box<dyn Future<Output = Option<Stream>> + Send + '_>> =
            Box::pin(self.serve(stream, connected, place, shutdown));
        tokio::select! {
            biased;
            next = serving => next,
            // What is dropped by it was idle.
            () = slot.ended() => None,
        }
    }

    async fn cleanup(&self) {
        self.http2.cleanup().await;
    }
}

/// A connection, as far as it is HTTP.
struct Begun {
    stream: Stream,
    /// Of a proxy that is believed, or of this machine's own: many viewers may come by it.
    trusted: bool,
}

fn peer(stream: &(impl GetSocketDigest + ?Sized)) -> Option<IpAddr> {
    Some(stream.get_socket_digest()?.peer_addr()?.as_inet()?.ip())
}

/// The stream as it was before these bytes were read from it.
fn rewound(stream: Stream, read: &BytesMut) -> Option<Stream> {
    let mut socket = stream.into_any().downcast::<SocketStream>().ok()?;
    socket.rewind(read);
    Some(socket)
}
