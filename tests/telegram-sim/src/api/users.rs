//! Users.

use grammers_tl_types::{enums, functions, types};

use super::objects::View;
use super::{Answered, Context, object};
use crate::session::arguments;

pub(super) fn get_users(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::users::GetUsers = arguments(body)?;
    let live = context.call.shared.live.read();
    let view = View { live: &live, account: &context.caller.account };
    let one = |user: &enums::InputUser| {
        let id = match user {
            enums::InputUser::UserSelf => view.account.user_id,
            enums::InputUser::User(user) => user.user_id,
            enums::InputUser::FromMessage(user) => user.user_id,
            enums::InputUser::Empty => 0,
        };
        match live.accounts.iter().find(|account| account.user_id == id) {
            Some(account) => view.user(account),
            None => enums::User::Empty(types::UserEmpty { id }),
        }
    };
    object(&asked.id.iter().map(one).collect::<Vec<_>>())
}
