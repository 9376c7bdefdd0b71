//! What one connection sees of the account's store, in the shape that grammers asks for.

use crate::schema::StoreError;
use crate::store::{AccountStore, PeerRecord};
use grammers_session::types::{
    ChannelKind, ChannelState, DcOption, PeerAuth, PeerId, PeerInfo, PeerKind, UpdateState, UpdatesState,
};
use grammers_session::{BoxFuture, Session, SessionData};
use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

/// A view for one connection to one data-centre.
///
/// It calls that data-centre the home: grammers announces the loss of the home connection alone, and every connection's loss
/// must be noticed.
pub(crate) struct SessionView {
    pub(crate) store: Arc<AccountStore>,
    pub(crate) dc: i32,
    /// Addresses from the configuration, which win over Telegram's own lists.
    pub(crate) addresses: Arc<HashMap<i32, SocketAddr>>,
}

impl Session for SessionView {
    type Error = StoreError;

    fn home_dc_id(&self) -> Result<i32, StoreError> {
        Ok(self.dc)
    }

    fn set_home_dc_id(&self, dc_id: i32) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.store.set_home_dc(dc_id))
    }

    fn dc_option(&self, dc_id: i32) -> Result<Option<DcOption>, StoreError> {
        let built_in = SessionData::default().dc_options.remove(&dc_id);
        let record = self.store.dc(dc_id).unwrap_or_default();
        let configured = self.addresses.get(&dc_id).copied();
        let ipv4 = match configured {
            Some(SocketAddr::V4(address)) => Some(address),
            _ => record.ipv4.or(built_in.as_ref().map(|option| option.ipv4)),
        };
        let ipv6 = match configured {
            Some(SocketAddr::V6(address)) => Some(address),
            _ => record.ipv6.or(built_in.as_ref().map(|option| option.ipv6)),
        };
        Ok(match (ipv4, ipv6) {
            (None, None) => None,
            (ipv4, ipv6) => {
                let ipv4 = ipv4.unwrap_or(SocketAddrV4::new([0, 0, 0, 0].into(), 0));
                let ipv6 = ipv6.unwrap_or_else(|| SocketAddrV6::new(ipv4.ip().to_ipv6_mapped(), ipv4.port(), 0, 0));
                Some(DcOption { id: dc_id, ipv4, ipv6, auth_key: record.auth_key })
            }
        })
    }

    fn set_dc_option(&self, option: &DcOption) -> BoxFuture<'_, Result<(), StoreError>> {
        let option = option.clone();
        Box::pin(async move {
            // A configured address is the configuration's to keep, not the store's: it may change between two runs.
            let configured = self.addresses.contains_key(&option.id);
            let known = self.store.dc(option.id).unwrap_or_default();
            let ipv4 = if configured { known.ipv4 } else { Some(option.ipv4).filter(|a| a.port() != 0) };
            let ipv6 = if configured {
                known.ipv6
            } else {
                Some(option.ipv6).filter(|a| a.port() != 0 && *a.ip() != Ipv6Addr::UNSPECIFIED)
            };
            self.store.save_dc(option.id, ipv4, ipv6, option.auth_key).await
        })
    }

    fn peer(&self, peer: PeerId) -> BoxFuture<'_, Result<Option<PeerInfo>, StoreError>> {
        Box::pin(async move {
            let Some((id, bare)) = peer.bot_api_dialog_id().zip(peer.bare_id()) else {
                return Ok(None);
            };
            Ok(self.store.peer(id).map(|record| peer_info(peer.kind(), bare, record)))
        })
    }

    fn cache_peer(&self, peer: PeerInfo) -> BoxFuture<'_, Result<(), StoreError>> {
        self.cache_peers(vec![peer])
    }

    fn cache_peers(&self, peers: Vec<PeerInfo>) -> BoxFuture<'_, Result<(), StoreError>> {
        let records = peers.iter().filter_map(|peer| Some((peer.id().bot_api_dialog_id()?, record(peer)))).collect();
        Box::pin(self.store.save_peers(records))
    }

    fn updates_state(&self) -> BoxFuture<'_, Result<UpdatesState, StoreError>> {
        Box::pin(self.store.write(|file| {
            let mut state = file.query_row("SELECT pts, qts, date, seq FROM update_state", [], |row| {
                Ok(UpdatesState {
                    pts: row.get(0)?,
                    qts: row.get(1)?,
                    date: row.get(2)?,
                    seq: row.get(3)?,
                    channels: Vec::new(),
                })
            })?;
            let mut statement = file.prepare("SELECT id, pts FROM channel_state")?;
            let rows = statement.query_map([], |row| Ok(ChannelState { id: row.get(0)?, pts: row.get(1)? }))?;
            state.channels = rows.collect::<Result<_, _>>()?;
            Ok(state)
        }))
    }

    fn set_update_state(&self, update: UpdateState) -> BoxFuture<'_, Result<(), StoreError>> {
        const CHANNEL: &str = "INSERT OR REPLACE INTO channel_state (id, pts) VALUES (?1, ?2)";
        Box::pin(self.store.write(move |file| match update {
            UpdateState::All(all) => {
                file.execute(
                    "UPDATE update_state SET pts = ?1, qts = ?2, date = ?3, seq = ?4",
                    [all.pts, all.qts, all.date, all.seq],
                )?;
                file.execute("DELETE FROM channel_state", [])?;
                all.channels.iter().try_for_each(|channel| file.execute(CHANNEL, (channel.id, channel.pts)).map(drop))
            }
            UpdateState::Primary { pts, date, seq } => {
                file.execute("UPDATE update_state SET pts = ?1, date = ?2, seq = ?3", [pts, date, seq]).map(drop)
            }
            UpdateState::Secondary { qts } => file.execute("UPDATE update_state SET qts = ?1", [qts]).map(drop),
            UpdateState::Channel { id, pts } => file.execute(CHANNEL, (id, pts)).map(drop),
        }))
    }
}

fn peer_info(kind: PeerKind, id: i64, record: PeerRecord) -> PeerInfo {
    let auth = record.access_hash.map(PeerAuth::from_hash);
    match kind {
        PeerKind::User => PeerInfo::User { id, auth, bot: record.bot, is_self: record.is_self },
        PeerKind::Chat => PeerInfo::Chat { id },
        PeerKind::Channel => PeerInfo::Channel {
            id,
            auth,
            kind: record.channel_kind.and_then(|kind| {
                [ChannelKind::Broadcast, ChannelKind::Megagroup, ChannelKind::Gigagroup, ChannelKind::Community]
                    .into_iter()
                    .find(|known| *known as u8 == kind)
            }),
        },
    }
}

fn record(peer: &PeerInfo) -> PeerRecord {
    let access_hash = match peer {
        PeerInfo::Chat { .. } => None,
        PeerInfo::User { auth, .. } | PeerInfo::Channel { auth, .. } => auth.map(PeerAuth::hash),
    };
    match peer {
        PeerInfo::User { bot, is_self, .. } => {
            PeerRecord { access_hash, bot: *bot, is_self: *is_self, channel_kind: None }
        }
        PeerInfo::Chat { .. } => PeerRecord::default(),
        PeerInfo::Channel { kind, .. } => {
            PeerRecord { access_hash, channel_kind: kind.map(|kind| kind as u8), ..PeerRecord::default() }
        }
    }
}
