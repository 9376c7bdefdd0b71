//! The origin that a cache in a fleet has: the media's owner, or the hive.

use crate::board::{AtHome, Board};
use crate::body::{Source, Transfer};
use crate::peer::Peer;
use crate::ring::Ring;
use crate::route::{Route, Verdict};
use crate::stats::PeerStats;
use hive_client::{HiveAddress, HiveClient, HiveConfig};
use secrecy::SecretString;
use slice::{ByteRange, ETag, MediaId, MediaMeta, Opened, OriginError, SliceOrigin};
use std::sync::Arc;
use std::time::Duration;

/// A fleet of gateways, as one of them is told of it.
#[derive(Clone, Debug)]
pub struct PeersConfig {
    /// This gateway's address among the members.
    pub own: HiveAddress,
    /// All gateways, each once, in any order.
    pub members: Vec<Member>,
    /// Shared bearer token, visible ASCII.
    pub token: SecretString,
    /// Limit for connecting.
    pub connect_timeout: Duration,
    /// How long a gateway may be silent before it is asked for a sign of life, and how long it has to give one.
    pub patience: Duration,
    /// How long one that lives may take until the headers of its answer, and between two pieces of a body.
    pub response_timeout: Duration,
    /// Idle connections kept, to each gateway.
    pub max_idle: usize,
    /// Transfers from other gateways at once; over that, the hive is asked. Less than the fills that the cache may have, so that some of
    /// those always come from the hive.
    pub max_transfers: usize,
}

/// One gateway of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where the others ask it. Its text decides what it owns.
    pub address: HiveAddress,
    /// Its share of the media; one of weight 2 owns twice as many as one of weight 1.
    pub weight: u32,
}

/// The fleet can't be built from these settings.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// This gateway is not among the members.
    #[error("the gateway's own address is none of the members")]
    NotAMember,
    /// The token, or the gateway's own address, can't stand in a header.
    #[error("the token or the gateway's own address holds characters that can't stand in a header")]
    Header(#[from] http::header::InvalidHeaderValue),
}

/// The gateways of a fleet and the hive behind them; clones share connections and counters.
#[derive(Clone)]
pub struct Peers {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) ring: Ring,
    /// In the ring's order. This gateway is among them, and never asked.
    pub(crate) members: Vec<Arc<Peer>>,
    pub(crate) own: usize,
    pub(crate) name: String,
    pub(crate) token: SecretString,
    pub(crate) board: Arc<Board>,
    pub(crate) hive: Arc<dyn SliceOrigin>,
    pub(crate) stats: PeerStats,
}

impl Peers {
    /// Connects when first asked.
    ///
    /// # Errors
    /// [`PeersError`].
    pub fn new(config: PeersConfig, hive: Arc<dyn SliceOrigin>) -> Result<Self, PeersError> {
        let own = config.members.iter().position(|member| member.address == config.own);
        let own = own.ok_or(PeersError::NotAMember)?;
        let name = name(&config.own);
        let member = |member: &Member| {
            let client = HiveClient::new(HiveConfig {
                addresses: vec![member.address.clone()],
                token: config.token.clone(),
                http2: false,
                connect_timeout: config.connect_timeout,
                response_timeout: config.response_timeout,
                idle_timeout: config.response_timeout,
                // Whoever fails is passed over, not asked again.
                retry_window: Duration::ZERO,
                max_idle: config.max_idle,
                hop: Some(name.clone()),
            })?;
            Ok(Arc::new(Peer::new(self::name(&member.address), client, config.patience)))
        };
        let members: Result<Vec<Arc<Peer>>, PeersError> = config.members.iter().map(member).collect();
        let weighed: Vec<_> = config.members.iter().map(|member| (&member.address, member.weight)).collect();
        let shared = Shared {
            ring: Ring::new(&weighed),
            members: members?,
            own,
            name,
            token: config.token,
            board: Arc::new(Board::new(config.max_transfers)),
            hive,
            stats: PeerStats::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// To serve another gateway with this media from the cache. While this is held, what the cache lacks of the media comes from
    /// the hive. `None` while the cache itself awaits bytes of it from a gateway: then [`Peers::hive`] serves.
    #[must_use]
    pub fn stay_home(&self, media: MediaId) -> Option<AtHome> {
        self.shared.board.stay_home(media)
    }

    /// The hive, past all gateways.
    #[must_use]
    pub fn hive(&self) -> &Arc<dyn SliceOrigin> {
        &self.shared.hive
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> &PeerStats {
        &self.shared.stats
    }

    /// The other gateways, and how many of them are out of reach.
    #[must_use]
    pub fn reach(&self) -> (usize, usize) {
        let others = || self.shared.members.iter().enumerate().filter(|(at, _)| *at != self.shared.own);
        (others().count(), others().filter(|(_, peer)| !peer.is_reachable()).count())
    }

    fn route(&self, media: MediaId) -> Route {
        Route::new(Arc::clone(&self.shared), media)
    }
}

#[async_trait::async_trait]
impl SliceOrigin for Peers {
    async fn describe(&self, media: MediaId) -> Result<MediaMeta, OriginError> {
        let mut route = self.route(media);
        while let Some(peer) = route.next() {
            let error = match peer.attend(peer.client.describe(media)).await {
                Ok(Ok(meta)) => return Ok(meta),
                Ok(Err(error)) => Ok(error),
                Err(silent) => Err(silent),
            };
            if let Verdict::Final(error) = route.failed(&peer, error) {
                return Err(error);
            }
        }
        self.shared.hive.describe(media).await
    }

    async fn open(&self, media: MediaId, etag: &ETag, range: ByteRange) -> Result<Opened, OriginError> {
        let (shared, route) = (Arc::clone(&self.shared), self.route(media));
        let mut transfer = Transfer { shared, media, etag: etag.clone(), range, route };
        let (opened, peer) = transfer.open().await?;
        Ok(match peer {
            None => opened,
            peer => Opened { meta: opened.meta, body: transfer.flow(Source::new(opened.body, peer)) },
        })
    }
}

/// As the others know it.
fn name(address: &HiveAddress) -> String {
    match address {
        HiveAddress::Tcp(authority) => authority.clone(),
        HiveAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}
