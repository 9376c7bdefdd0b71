//! The methods, by name. Each file below answers one family of them.

mod auth;
mod channels;
mod codes;
mod files;
mod full;
mod help;
mod history;
mod named;
mod objects;
mod password;
mod send;
mod tokens;
mod uploads;
mod users;

use grammers_tl_types::Serializable;

pub(crate) use self::files::write_file;
use self::objects::View;
use crate::call::{Answer, Call, Caller, Refusal};
use crate::live::Live;
use crate::query::Query;

/// What a method gets to see.
pub(crate) struct Context<'a> {
    pub(crate) call: &'a Call<'a>,
    pub(crate) caller: &'a Caller,
}

impl Context<'_> {
    /// The world as the caller is shown it.
    fn view<'a>(&'a self, live: &'a Live) -> View<'a> {
        View { live, account: &self.caller.account }
    }

    /// Refuses bots, as Telegram does for everything that lists.
    fn not_for_bots(&self) -> Result<(), Refusal> {
        if self.caller.account.bot { Err(Refusal::bad("BOT_METHOD_INVALID")) } else { Ok(()) }
    }
}

type Answered = Result<Answer, Refusal>;

/// Answers a call, or says which error Telegram would.
pub(crate) fn answer(call: &Call<'_>, caller: Option<&Caller>, query: &Query<'_>) -> Answered {
    let body = query.arguments;
    // What a client may ask before it's signed in.
    match query.method {
        "auth.importAuthorization" => return auth::import(call, body),
        "auth.importBotAuthorization" => return auth::import_bot(call, body),
        "account.getPassword" => return password::get(call),
        "auth.cancelCode" => return codes::cancel_code(call, body),
        "auth.checkPassword" => return password::check(call, body),
        "auth.exportLoginToken" => return tokens::export(call, body),
        "auth.importLoginToken" => return tokens::import(call, body),
        "auth.resendCode" => return codes::resend_code(call, body),
        "auth.sendCode" => return codes::send_code(call, body),
        "auth.signIn" => return codes::sign_in(call, body),
        "help.getConfig" => return help::config(call),
        "help.getNearestDc" => return help::nearest(call),
        _ => {}
    }
    let caller = caller.ok_or_else(Refusal::unregistered)?;
    let context = Context { call, caller };
    match query.method {
        "auth.acceptLoginToken" => tokens::accept(&context, body),
        "auth.exportAuthorization" => auth::export(&context, body),
        "auth.logOut" => auth::log_out(&context),
        "channels.deleteMessages" => send::delete(&context, body),
        "channels.getChannels" => channels::get_channels(&context, body),
        "channels.getFullChannel" => channels::get_full_channel(&context, body),
        "channels.getMessages" => history::get_messages(&context, body),
        "contacts.resolveUsername" => channels::resolve_username(&context, body),
        "messages.forwardMessages" => send::forward(&context, body),
        "messages.getDialogs" => channels::get_dialogs(&context, body),
        "messages.getForumTopics" => channels::get_topics(&context, body),
        "messages.getForumTopicsByID" => channels::get_topics_by_id(&context, body),
        "messages.getHistory" => history::get_history(&context, body),
        "messages.getMessages" => history::get_private_messages(body),
        "messages.getReplies" => history::get_replies(&context, body),
        "messages.search" => history::search(&context, body),
        "messages.sendMedia" => send::send_media(&context, body),
        "updates.getChannelDifference" => channels::difference(&context, body),
        "updates.getDifference" => help::difference(),
        "updates.getState" => help::state(),
        "upload.getFile" => files::get_file(&context, body),
        "upload.getFileHashes" => files::get_hashes(&context, body),
        "upload.saveBigFilePart" => uploads::save_big_part(&context, body),
        "upload.saveFilePart" => uploads::save_part(&context, body),
        "users.getFullUser" => users::get_full_user(&context, body),
        "users.getUsers" => users::get_users(&context, body),
        _ => Err(Refusal::bad("METHOD_INVALID")),
    }
}

/// Serialises an object.
fn object<T: Serializable>(value: &T) -> Answered {
    Ok(Answer::Object(value.to_bytes()))
}
