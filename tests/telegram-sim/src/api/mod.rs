//! The methods, by name. Each file below answers one family of them.

mod auth;
mod channels;
mod files;
mod help;
mod objects;
mod users;

use grammers_tl_types::Serializable;

pub(crate) use self::files::write_file;
use crate::call::{Answer, Call, Caller, Refusal};
use crate::session::Query;

/// What a method gets to see.
pub(crate) struct Context<'a> {
    pub(crate) call: &'a Call<'a>,
    pub(crate) caller: &'a Caller,
}

type Answered = Result<Answer, Refusal>;

/// Answers a call, or says which error Telegram would.
pub(crate) fn answer(call: &Call<'_>, caller: Option<&Caller>, query: &Query<'_>) -> Answered {
    let body = query.arguments;
    // What a client may ask before it's signed in.
    match query.method {
        "help.getConfig" => return help::config(call),
        "help.getNearestDc" => return help::nearest(call),
        "auth.importAuthorization" => return auth::import(call, body),
        _ => {}
    }
    let caller = caller.ok_or_else(Refusal::unregistered)?;
    let context = Context { call, caller };
    match query.method {
        "auth.exportAuthorization" => auth::export(&context, body),
        "channels.getChannels" => channels::get_channels(&context, body),
        "channels.getMessages" => channels::get_messages(&context, body),
        "messages.getDialogs" => channels::get_dialogs(&context, body),
        "messages.getHistory" => channels::get_history(&context, body),
        "updates.getState" => help::state(),
        "upload.getFile" => files::get_file(&context, body),
        "users.getUsers" => users::get_users(&context, body),
        _ => Err(Refusal::bad("METHOD_INVALID")),
    }
}

/// Serialises an object that was made with no lock held over it.
fn object<T: Serializable>(value: &T) -> Answered {
    Ok(Answer::Object(value.to_bytes()))
}
