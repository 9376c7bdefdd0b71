//! Whether a world hangs together.

use std::collections::HashSet;
use std::hash::Hash;

use crate::world::{Account, Channel, World};

impl World {
    /// Says what's wrong with this world, if anything: names and ids used twice, data-centres and members that aren't
    /// there, numbers Telegram couldn't have given out.
    ///
    /// # Errors
    /// One sentence about the first mistake found.
    pub fn check(&self) -> Result<(), String> {
        if self.data_centres.is_empty() {
            return Err("there is no data-centre".to_owned());
        }
        once("data-centre", &self.data_centres)?;
        if let Some(dc) = self.data_centres.iter().find(|dc| !(1..=1000).contains(*dc)) {
            return Err(format!("data-centre {dc} isn't between 1 and 1000"));
        }
        once("account name", self.accounts.iter().map(|account| &account.name))?;
        once("account id", self.accounts.iter().map(|account| account.user_id))?;
        once("channel id", self.channels.iter().map(|channel| channel.id))?;
        let documents =
            self.channels.iter().flat_map(|channel| &channel.messages).flat_map(|message| &message.document);
        once("document id", documents.map(|document| document.id).filter(|id| *id != 0))?;
        self.accounts.iter().try_for_each(|account| self.check_account(account))?;
        self.channels.iter().try_for_each(|channel| self.check_channel(channel))
    }

    fn has(&self, dc: i32, what: &str) -> Result<(), String> {
        if self.data_centres.contains(&dc) { Ok(()) } else { Err(format!("{what}: there is no data-centre {dc}")) }
    }

    fn check_account(&self, account: &Account) -> Result<(), String> {
        let what = format!("account {:?}", account.name);
        // The name becomes a file's when seeds are written.
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if account.name.is_empty() || account.name.starts_with('.') || !account.name.chars().all(plain) {
            return Err(format!(
                "{what}: a name is made of letters, digits, '-', '_' and '.', which it can't begin with"
            ));
        }
        if account.user_id <= 0 {
            return Err(format!("{what}: an id is positive"));
        }
        self.has(account.home_dc, &what)?;
        account.authorized_dcs.iter().try_for_each(|dc| self.has(*dc, &what))
    }

    fn check_channel(&self, channel: &Channel) -> Result<(), String> {
        let what = format!("channel {}", channel.id);
        if !(1..1_000_000_000_000).contains(&channel.id) {
            return Err(format!("{what}: an id has 1 to 12 digits and no sign"));
        }
        for member in channel.members.iter().flatten() {
            if !self.accounts.iter().any(|account| account.name == *member) {
                return Err(format!("{what}: there is no account {member:?}"));
            }
        }
        let topics = channel.topics.iter().map(|topic| topic.id);
        let messages = channel.messages.iter().map(|message| message.id);
        once(&format!("{what}: message or topic id"), topics.chain(messages))?;
        for message in &channel.messages {
            let what = format!("{what}, message {}", message.id);
            if message.id <= 0 || message.date <= 0 {
                return Err(format!("{what}: ids and dates are positive"));
            }
            if let Some(topic) = message.topic.filter(|id| !channel.topics.iter().any(|topic| topic.id == *id)) {
                return Err(format!("{what}: there is no topic {topic}"));
            }
            if let Some(document) = &message.document {
                self.has(document.dc, &what)?;
            }
        }
        Ok(())
    }
}

fn once<T: Eq + Hash + std::fmt::Debug>(what: &str, all: impl IntoIterator<Item = T>) -> Result<(), String> {
    let mut seen = HashSet::new();
    for one in all {
        if seen.contains(&one) {
            return Err(format!("{what} {one:?} is used twice"));
        }
        seen.insert(one);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Document, Topic};

    fn good() -> World {
        let mut channel = Channel::new(1, "c").with_document(2, Document::generated("d", 2, 1, 1));
        channel.topics.push(Topic { id: 1, title: "t".to_owned() });
        World::new(1).with_account(Account::bot("a", 1)).with_channel(channel)
    }

    #[test]
    fn mistakes_are_found() {
        assert_eq!(good().check(), Ok(()));
        type Spoil = fn(&mut World);
        let table: [(Spoil, &str); 13] = [
            (|world| world.data_centres.clear(), "no data-centre"),
            (|world| world.data_centres.push(2), "data-centre 2 is used twice"),
            (|world| world.data_centres.push(0), "between 1 and 1000"),
            (|world| world.accounts.push(Account::bot("a", 2)), "name \"a\" is used twice"),
            (|world| world.accounts.push(Account::bot("b", 1)), "id 1 is used twice"),
            (|world| world.accounts.push(Account::bot("../b", 2)), "a name is made of"),
            (|world| world.accounts[0].home_dc = 3, "no data-centre 3"),
            (|world| world.channels[0].id = -5, "no sign"),
            (|world| world.channels[0].members = Some(vec!["x".to_owned()]), "no account \"x\""),
            (|world| world.channels[0].messages[0].id = 1, "message or topic id 1 is used twice"),
            (|world| world.channels[0].messages[0].id = 0, "positive"),
            (|world| world.channels[0].messages[0].topic = Some(9), "no topic 9"),
            (
                |world| world.channels[0].messages[0].document = Some(Document::generated("d", 5, 1, 1)),
                "no data-centre 5",
            ),
        ];
        for (spoil, expected) in table {
            let mut world = good();
            spoil(&mut world);
            let error = world.check().unwrap_err();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
    }
}
