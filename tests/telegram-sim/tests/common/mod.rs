//! An unmodified grammers client, signed in from a seed.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

use grammers_client::sender::{NoRetries, SenderPool};
use grammers_mtsender::{ConnectionParams, InvocationError, SenderPoolHandle};
use grammers_session::SessionData;
use grammers_session::storages::MemorySession;
use grammers_session::types::DcOption;
use grammers_tl_types::{RemoteCall, enums, functions, types};
use telegram_sim::{SessionSeed, Sim};
use tokio::task::JoinHandle;

/// A grammers sender pool at work.
pub(crate) struct Client {
    pub(crate) seed: SessionSeed,
    pub(crate) handle: SenderPoolHandle,
    runner: JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.runner.abort();
    }
}

/// What an RPC error said, or what else went wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    Rpc(i32, String),
    Other(String),
}

impl From<InvocationError> for Failed {
    fn from(error: InvocationError) -> Self {
        match error {
            InvocationError::Rpc(rpc) => {
                let value = rpc.value.map(|value| format!("_{value}")).unwrap_or_default();
                Self::Rpc(rpc.code, format!("{}{value}", rpc.name))
            }
            other => Self::Other(other.to_string()),
        }
    }
}

pub(crate) fn rpc(code: i32, name: &str) -> Failed {
    Failed::Rpc(code, name.to_owned())
}

impl Client {
    pub(crate) fn of(sim: &Sim, account: &str) -> Self {
        let seed = sim.seeds().into_iter().find(|seed| seed.account == account).expect("an account of that name");
        Self::from_seed(seed)
    }

    pub(crate) fn from_seed(seed: SessionSeed) -> Self {
        let option = |dc: &telegram_sim::DcAddress| {
            let ipv4 = SocketAddrV4::new(dc.ip.parse().unwrap(), dc.port);
            let ipv6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, dc.port, 0, 0);
            (dc.id, DcOption { id: dc.id, ipv4, ipv6, auth_key: seed.auth_key(dc.id) })
        };
        let dc_options: HashMap<_, _> = seed.dcs.iter().map(option).collect();
        let session = MemorySession::from(SessionData { home_dc: seed.home_dc, dc_options, ..SessionData::default() });
        let params = ConnectionParams { retry_policy: Box::new(NoRetries), ..ConnectionParams::default() };
        let pool = SenderPool::with_configuration(Arc::new(session), seed.api_id, params);
        let runner = tokio::spawn(pool.runner.run());
        Self { seed, handle: pool.handle.thin.clone(), runner }
    }

    pub(crate) async fn call_on<R: RemoteCall>(&self, dc: i32, request: &R) -> Result<R::Return, Failed> {
        Ok(self.handle.invoke_in_dc(dc, request).await?)
    }

    pub(crate) async fn call<R: RemoteCall>(&self, request: &R) -> Result<R::Return, Failed> {
        self.call_on(self.seed.home_dc, request).await
    }

    /// Takes the authorization at home to `dc`.
    pub(crate) async fn carry_to(&self, dc: i32) -> Result<(), Failed> {
        let enums::auth::ExportedAuthorization::Authorization(exported) =
            self.call(&functions::auth::ExportAuthorization { dc_id: dc }).await?;
        let import = functions::auth::ImportAuthorization { id: exported.id, bytes: exported.bytes };
        self.call_on(dc, &import).await.map(drop)
    }

    /// Fetches one message; bots may leave the access hash out.
    pub(crate) async fn message(&self, channel_id: i64, id: i32) -> Result<enums::Message, Failed> {
        let request = functions::channels::GetMessages {
            channel: types::InputChannel { channel_id, access_hash: 0 }.into(),
            id: vec![types::InputMessageId { id }.into()],
        };
        match self.call(&request).await? {
            enums::messages::Messages::ChannelMessages(mut found) => Ok(found.messages.remove(0)),
            other => Err(Failed::Other(format!("{other:?}"))),
        }
    }

    /// The document under a message.
    pub(crate) async fn document(&self, channel_id: i64, id: i32) -> Result<types::Document, Failed> {
        match self.message(channel_id, id).await? {
            enums::Message::Message(types::Message {
                media:
                    Some(enums::MessageMedia::Document(types::MessageMediaDocument {
                        document: Some(enums::Document::Document(document)),
                        ..
                    })),
                ..
            }) => Ok(document),
            other => Err(Failed::Other(format!("{other:?}"))),
        }
    }

    /// One part of a document.
    pub(crate) async fn part(
        &self,
        dc: i32,
        document: &types::Document,
        offset: i64,
        limit: i32,
    ) -> Result<Vec<u8>, Failed> {
        self.ask(dc, location(document), offset, limit, true).await
    }

    pub(crate) async fn ask(
        &self,
        dc: i32,
        location: types::InputDocumentFileLocation,
        offset: i64,
        limit: i32,
        precise: bool,
    ) -> Result<Vec<u8>, Failed> {
        let location = location.into();
        let request = functions::upload::GetFile { precise, cdn_supported: false, location, offset, limit };
        match self.call_on(dc, &request).await? {
            enums::upload::File::File(file) => Ok(file.bytes),
            other @ enums::upload::File::CdnRedirect(_) => Err(Failed::Other(format!("{other:?}"))),
        }
    }

    /// A whole document, with `window` parts of 512 KiB asked for at a time.
    pub(crate) async fn download(&self, document: &types::Document, window: usize) -> Result<Vec<u8>, Failed> {
        use futures_util::{StreamExt, TryStreamExt, stream};
        const PART: i64 = 512 * 1024;
        let parts = (0..).map(|index| index * PART).take_while(|&offset| offset == 0 || offset < document.size);
        let ask = |offset| self.part(document.dc_id, document, offset, PART as i32);
        stream::iter(parts).map(ask).buffered(window).try_concat().await
    }
}

pub(crate) fn location(document: &types::Document) -> types::InputDocumentFileLocation {
    types::InputDocumentFileLocation {
        id: document.id,
        access_hash: document.access_hash,
        file_reference: document.file_reference.clone(),
        thumb_size: String::new(),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}
