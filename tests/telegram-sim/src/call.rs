//! One call from its bytes to its answer: faults first, then the API, then the packet.

use std::sync::Arc;
use std::time::Duration;

use grammers_tl_types::{Serializable, enums, functions, types};

use crate::api;
use crate::conduct::{Told, UnderWay};
use crate::connection::{Manner, Wire};
use crate::content::Content;
use crate::faults::{Asked, Fault};
use crate::message::{Outgoing, pack};
use crate::query::{Query, arguments, file_question, unwrap};
use crate::state::{KeyEntry, Shared};
use crate::world::Account;

/// Answers longer than this are packed, file bytes excepted, as Telegram does.
const PACK_FROM: usize = 1024;

/// Who calls, and where.
pub(crate) struct Call<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) dc: i32,
    pub(crate) entry: &'a Arc<KeyEntry>,
    pub(crate) session: i64,
    /// The connection it came over.
    pub(crate) wire: &'a Wire,
    pub(crate) connection: u64,
}

/// The account a call is made by.
pub(crate) struct Caller {
    pub(crate) index: usize,
    pub(crate) account: Account,
    pub(crate) imported: bool,
}

/// An error as RPC answers carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: i32,
    pub(crate) name: String,
}

/// An answer.
pub(crate) enum Answer {
    /// A serialised object.
    Object(Vec<u8>),
    /// A part of a document, read straight into the packet.
    File { content: Content, mime: String, date: i32, offset: u64, length: usize },
}

/// What becomes of a call.
pub(crate) enum Outcome {
    Packet {
        packet: Vec<u8>,
        account: Option<usize>,
        manner: Manner,
        late: Duration,
        told: Option<Told>,
        under_way: Option<UnderWay>,
    },
    Error(i32),
    Close,
    Nothing,
}

impl Refusal {
    pub(crate) fn new(code: i32, name: impl Into<String>) -> Self {
        Self { code, name: name.into() }
    }

    pub(crate) fn bad(name: &str) -> Self {
        Self::new(400, name)
    }

    pub(crate) fn unregistered() -> Self {
        Self::new(401, "AUTH_KEY_UNREGISTERED")
    }
}

impl Call<'_> {
    /// The account that is signed in with this key, if any.
    pub(crate) fn caller(&self) -> Option<Caller> {
        let (index, imported) = self.entry.account()?;
        let account = self.shared.live.read().accounts.get(index)?.clone();
        Some(Caller { index, account, imported })
    }
}

/// Runs a call.
pub(crate) fn run(call: &Call<'_>, packet_id: i64, id: i64, body: &[u8]) -> Outcome {
    let caller = call.caller();
    let mut manner = Manner::Whole;
    let mut late = Duration::ZERO;
    let (mut under_way, mut exported) = (None, None);
    let answer = match unwrap(body) {
        Err(_) => Err(Refusal::bad("INPUT_REQUEST_INVALID")),
        Ok(query) => {
            if let Some(device) = query.device {
                call.shared.used(call.dc, call.entry, call.connection, Some(&String::from_utf8_lossy(device)));
            }
            if let Some(layer) = query.layer {
                call.entry.set_layer(layer);
            }
            let file = file_question(&query).and_then(FileQuestion::new);
            if let (Some(caller), Some(file)) = (&caller, &file) {
                under_way = Some(call.shared.counters.book.part(&caller.account.name, call.dc, file.document));
            }
            if query.method == "auth.exportAuthorization" {
                let asked = arguments::<functions::auth::ExportAuthorization>(query.arguments);
                exported = asked.ok().map(|asked| asked.dc_id);
            }
            match fault(call, caller.as_ref(), query.method, file.as_ref()) {
                None => banned(call, caller.as_ref(), &query)
                    .map_or_else(|| api::answer(call, caller.as_ref(), &query), Err),
                Some(Fault::FloodWait(seconds)) => Err(Refusal::new(420, format!("FLOOD_WAIT_{seconds}"))),
                Some(Fault::FloodPremiumWait(seconds)) => match &caller {
                    Some(caller) if caller.account.premium => api::answer(call, Some(caller), &query),
                    _ => Err(Refusal::new(420, format!("FLOOD_PREMIUM_WAIT_{seconds}"))),
                },
                Some(Fault::ReferenceExpired) => Err(Refusal::bad("FILE_REFERENCE_EXPIRED")),
                Some(Fault::Migrate(dc)) => Err(Refusal::new(303, format!("FILE_MIGRATE_{dc}"))),
                Some(Fault::Error(code, name)) => Err(Refusal::new(code, name)),
                Some(Fault::KeyUnregistered) => Err(Refusal::unregistered()),
                Some(Fault::UserDeactivated) => Err(Refusal::new(401, "USER_DEACTIVATED")),
                Some(Fault::Drop) => return Outcome::Close,
                Some(Fault::Silence) => return Outcome::Nothing,
                Some(Fault::Transport(code)) => return Outcome::Error(code),
                Some(Fault::WrongSalt) => return wrong_salt(call, packet_id),
                Some(Fault::Truncate) => {
                    manner = Manner::Half;
                    api::answer(call, caller.as_ref(), &query)
                }
                Some(Fault::Slow(rate)) => {
                    manner = Manner::Slowly(rate.max(1));
                    api::answer(call, caller.as_ref(), &query)
                }
                Some(Fault::Delay(milliseconds)) => {
                    late = Duration::from_millis(milliseconds);
                    api::answer(call, caller.as_ref(), &query)
                }
            }
        }
    };
    let told = caller.as_ref().and_then(|caller| match (&answer, exported) {
        (Err(refusal), _) => Told::refusal(&caller.account.name, call.dc, refusal),
        (Ok(_), Some(dc)) => Some(Told::exported(&caller.account.name, dc)),
        (Ok(_), None) => None,
    });
    let packet = packet(call, id, answer);
    Outcome::Packet { packet, account: caller.map(|caller| caller.index), manner, late, told, under_way }
}

/// What a banned account is told. It may still fetch the configuration, as nobody is signed in there.
fn banned(call: &Call<'_>, caller: Option<&Caller>, query: &Query<'_>) -> Option<Refusal> {
    let error = call.shared.banned.read().get(&caller?.index).cloned()?;
    (query.method != "help.getConfig").then(|| Refusal::new(401, error))
}

/// A part of a document.
struct FileQuestion {
    document: i64,
    offset: Option<u64>,
    limit: u64,
}

impl FileQuestion {
    fn new(asked: functions::upload::GetFile) -> Option<Self> {
        let enums::InputFileLocation::InputDocumentFileLocation(location) = &asked.location else { return None };
        let offset = u64::try_from(asked.offset).ok();
        Some(Self { document: location.id, offset, limit: asked.limit.max(0) as u64 })
    }
}

/// Counts the call and asks the rules about it.
fn fault(call: &Call<'_>, caller: Option<&Caller>, method: &'static str, file: Option<&FileQuestion>) -> Option<Fault> {
    let name = caller.map(|caller| caller.account.name.as_str());
    call.shared.counters.called(method, name.unwrap_or_default(), call.dc);
    let offset = file.and_then(|file| file.offset);
    if let (Some(file), Some(offset)) = (file, offset) {
        call.shared.counters.chunk_asked(file.document, offset, file.limit);
    }
    let document = file.map(|file| file.document);
    let asked = Asked { method, account: name, dc: call.dc, offset, document };
    let fault = call.shared.faults.decide(&asked);
    if let Some(fault) = &fault {
        call.shared.counters.faulted();
        if let (Some(name), Fault::Drop | Fault::Truncate | Fault::Transport(_)) = (name, fault) {
            call.shared.counters.book.cut(name, call.dc);
        }
    }
    fault
}

fn wrong_salt(call: &Call<'_>, packet_id: i64) -> Outcome {
    call.entry.spoil_salts();
    let notice = types::BadServerSalt {
        bad_msg_id: packet_id,
        bad_msg_seqno: 0,
        error_code: 48,
        new_server_salt: call.entry.salt(call.shared.seed),
    };
    let mut out = begin(call, 64);
    enums::BadMsgNotification::BadServerSalt(notice).serialize(out.body());
    let packet = out.seal(&call.entry.key);
    Outcome::Packet { packet, account: None, manner: Manner::Whole, late: Duration::ZERO, told: None, under_way: None }
}

fn begin(call: &Call<'_>, capacity: usize) -> Outgoing {
    let id = call.shared.message_ids.next(true);
    Outgoing::begin(call.entry.salt(call.shared.seed), call.session, id, true, capacity)
}

fn packet(call: &Call<'_>, id: i64, answer: Result<Answer, Refusal>) -> Vec<u8> {
    let length = match &answer {
        Ok(Answer::Object(object)) => object.len(),
        Ok(Answer::File { length, .. }) => *length,
        Err(_) => 0,
    };
    let mut out = begin(call, length + 64);
    out.result_of(id);
    let refused = match answer {
        Ok(Answer::Object(object)) if object.len() > PACK_FROM => {
            out.body().extend_from_slice(&pack(&object));
            None
        }
        Ok(Answer::Object(object)) => {
            out.body().extend_from_slice(&object);
            None
        }
        Ok(Answer::File { content, mime, date, offset, length }) => {
            let before = out.body().len();
            api::write_file(out.body(), &content, &mime, date, offset, length).err().map(|error| {
                tracing::error!(%error, offset, length, "a document can't be read");
                out.body().truncate(before);
                Refusal::new(500, "INTERNAL")
            })
        }
        Err(refusal) => Some(refusal),
    };
    if let Some(Refusal { code, name }) = refused {
        enums::RpcError::Error(types::RpcError { error_code: code, error_message: name }).serialize(out.body());
    }
    out.seal(&call.entry.key)
}

impl From<crate::message::Malformed> for Refusal {
    fn from(_: crate::message::Malformed) -> Self {
        Self::bad("INPUT_REQUEST_INVALID")
    }
}
