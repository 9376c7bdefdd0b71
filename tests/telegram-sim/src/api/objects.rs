//! The schema's objects, filled from the live world as one account sees them.

use grammers_tl_types::{enums, types};

use crate::live::{Live, LiveChannel, LiveDocument, LiveMessage};
use crate::world::Account;

/// A view of the world: what an account is shown, with its own hashes and references.
pub(crate) struct View<'a> {
    pub(crate) live: &'a Live,
    pub(crate) account: &'a Account,
}

impl View<'_> {
    pub(crate) fn user(&self, user: &Account) -> enums::User {
        let user_hash = crate::derive::number(self.live.seed, "user-hash", &[self.account.user_id, user.user_id]);
        enums::User::User(types::User {
            is_self: self.account.user_id == user.user_id,
            contact: false,
            mutual_contact: false,
            deleted: false,
            bot: user.bot,
            bot_chat_history: false,
            bot_nochats: false,
            verified: false,
            restricted: false,
            min: false,
            bot_inline_geo: false,
            support: false,
            scam: false,
            apply_min_photo: false,
            fake: false,
            bot_attach_menu: false,
            premium: user.premium,
            attach_menu_enabled: false,
            bot_can_edit: false,
            close_friend: false,
            stories_hidden: false,
            stories_unavailable: false,
            contact_require_premium: false,
            bot_business: false,
            bot_has_main_app: false,
            bot_forum_view: false,
            bot_forum_can_manage_topics: false,
            bot_can_manage_bots: false,
            bot_guestchat: false,
            bot_guard: false,
            id: user.user_id,
            access_hash: Some(user_hash),
            first_name: Some(user.name.clone()),
            last_name: None,
            username: user.username.clone(),
            phone: user.phone.clone(),
            photo: None,
            status: None,
            bot_info_version: user.bot.then_some(1),
            restriction_reason: None,
            bot_inline_placeholder: None,
            lang_code: None,
            emoji_status: None,
            usernames: None,
            stories_max_id: None,
            color: None,
            profile_color: None,
            bot_active_users: None,
            bot_verification_icon: None,
            send_paid_messages_stars: None,
            linked_community_id: None,
        })
    }

    pub(crate) fn channel(&self, channel: &LiveChannel) -> enums::Chat {
        let forum = !channel.topics.is_empty();
        let access_hash = channel.access_hash(self.live.seed, self.account.user_id);
        enums::Chat::Channel(types::Channel {
            creator: false,
            left: false,
            broadcast: !channel.megagroup,
            verified: false,
            megagroup: channel.megagroup,
            restricted: false,
            signatures: false,
            min: false,
            scam: false,
            has_link: false,
            has_geo: false,
            slowmode_enabled: false,
            call_active: false,
            call_not_empty: false,
            fake: false,
            gigagroup: false,
            noforwards: false,
            join_to_send: false,
            join_request: false,
            forum,
            stories_hidden: false,
            stories_hidden_min: false,
            stories_unavailable: false,
            signature_profiles: false,
            autotranslation: false,
            broadcast_messages_allowed: false,
            monoforum: false,
            forum_tabs: false,
            id: channel.id,
            access_hash: Some(access_hash),
            title: channel.title.clone(),
            username: channel.username.clone(),
            photo: enums::ChatPhoto::Empty,
            date: crate::world::EPOCH,
            restriction_reason: None,
            admin_rights: None,
            banned_rights: None,
            default_banned_rights: None,
            participants_count: None,
            usernames: None,
            stories_max_id: None,
            color: None,
            profile_color: None,
            emoji_status: None,
            level: None,
            subscription_until_date: None,
            bot_verification_icon: None,
            send_paid_messages_stars: None,
            linked_monoforum_id: None,
            linked_community_id: None,
        })
    }

    pub(crate) fn message(&self, channel: &LiveChannel, message: &LiveMessage) -> enums::Message {
        let forward = message.forward.as_ref().map(|forward| {
            enums::MessageFwdHeader::Header(types::MessageFwdHeader {
                imported: false,
                saved_out: false,
                from_id: Some(peer(forward.channel)),
                from_name: None,
                date: forward.date,
                channel_post: Some(forward.message),
                post_author: None,
                saved_from_peer: None,
                saved_from_msg_id: None,
                saved_from_id: None,
                saved_from_name: None,
                saved_date: None,
                psa_type: None,
            })
        });
        let reply = message.topic.map(|topic| {
            enums::MessageReplyHeader::Header(types::MessageReplyHeader {
                reply_to_scheduled: false,
                forum_topic: true,
                quote: false,
                reply_to_ephemeral: false,
                reply_to_msg_id: Some(topic),
                reply_to_peer_id: None,
                reply_from: None,
                reply_media: None,
                reply_to_top_id: None,
                quote_text: None,
                quote_entities: None,
                quote_offset: None,
                todo_item_id: None,
                poll_option: None,
            })
        });
        if let Some(title) = &message.opens_topic {
            let title = title.clone();
            let action = types::MessageActionTopicCreate {
                title_missing: false,
                title,
                icon_color: 0x6f_b9f0,
                icon_emoji_id: None,
            };
            return enums::Message::Service(types::MessageService {
                out: false,
                mentioned: false,
                media_unread: false,
                reactions_are_possible: false,
                silent: false,
                post: !channel.megagroup,
                legacy: false,
                id: message.id,
                from_id: None,
                peer_id: peer(channel.id),
                saved_peer_id: None,
                reply_to: None,
                date: message.date,
                action: enums::MessageAction::TopicCreate(action),
                reactions: None,
                ttl_period: None,
            });
        }
        let document = message.document.and_then(|id| self.live.document(id));
        let media = document.map(|document| {
            let document = Some(self.document(document));
            enums::MessageMedia::Document(types::MessageMediaDocument {
                nopremium: false,
                spoiler: false,
                video: false,
                round: false,
                voice: false,
                document,
                alt_documents: None,
                video_cover: None,
                video_timestamp: None,
                ttl_seconds: None,
            })
        });
        enums::Message::Message(types::Message {
            out: false,
            mentioned: false,
            media_unread: false,
            silent: false,
            post: !channel.megagroup,
            from_scheduled: false,
            legacy: false,
            edit_hide: false,
            pinned: false,
            noforwards: false,
            invert_media: false,
            offline: false,
            video_processing_pending: false,
            paid_suggested_post_stars: false,
            paid_suggested_post_ton: false,
            id: message.id,
            from_id: None,
            from_boosts_applied: None,
            from_rank: None,
            peer_id: peer(channel.id),
            saved_peer_id: None,
            fwd_from: forward,
            via_bot_id: None,
            via_business_bot_id: None,
            guestchat_via_from: None,
            reply_to: reply,
            date: message.date,
            message: message.text.clone(),
            media,
            reply_markup: None,
            entities: None,
            views: None,
            forwards: None,
            replies: None,
            edit_date: message.edit_date,
            post_author: None,
            grouped_id: None,
            reactions: None,
            restriction_reason: None,
            ttl_period: None,
            quick_reply_shortcut_id: None,
            effect: None,
            factcheck: None,
            report_delivery_until_date: None,
            paid_message_stars: None,
            suggested_post: None,
            schedule_repeat_period: None,
            summary_from_language: None,
            rich_message: None,
        })
    }

    pub(crate) fn document(&self, live: &LiveDocument) -> enums::Document {
        let document = &live.document;
        let mut attributes = Vec::new();
        if !document.name.is_empty() {
            let file_name = document.name.clone();
            attributes.push(enums::DocumentAttribute::Filename(types::DocumentAttributeFilename { file_name }));
        }
        enums::Document::Document(types::Document {
            id: document.id,
            access_hash: live.access_hash(self.live.seed, self.account.user_id),
            file_reference: live.reference(self.live.seed, self.account.user_id),
            date: document.date,
            mime_type: document.mime.clone(),
            size: i64::try_from(document.size).unwrap_or(i64::MAX),
            thumbs: None,
            video_thumbs: None,
            dc_id: document.dc,
            attributes,
        })
    }

    pub(crate) fn dialog(&self, channel: &LiveChannel) -> enums::Dialog {
        enums::Dialog::Dialog(types::Dialog {
            pinned: false,
            unread_mark: false,
            view_forum_as_messages: false,
            peer: peer(channel.id),
            top_message: channel.last_id,
            read_inbox_max_id: 0,
            read_outbox_max_id: 0,
            unread_count: 0,
            unread_mentions_count: 0,
            unread_reactions_count: 0,
            unread_poll_votes_count: 0,
            notify_settings: notify_settings(),
            pts: Some(channel.pts),
            draft: None,
            folder_id: None,
            ttl_period: None,
        })
    }
}

pub(crate) fn peer(channel_id: i64) -> enums::Peer {
    enums::Peer::Channel(types::PeerChannel { channel_id })
}

pub(crate) fn notify_settings() -> enums::PeerNotifySettings {
    enums::PeerNotifySettings::Settings(types::PeerNotifySettings {
        show_previews: None,
        silent: None,
        mute_until: None,
        ios_sound: None,
        android_sound: None,
        other_sound: None,
        stories_muted: None,
        stories_hide_sender: None,
        stories_ios_sound: None,
        stories_android_sound: None,
        stories_other_sound: None,
    })
}
