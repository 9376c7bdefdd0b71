//! Records by key, of which the later one stands: what a gateway that comes new must know, however long ago it was said.

use crate::broadcast::{Away, Broadcast};

/// Records that one call carries.
const BATCH: usize = 200;

/// A record for the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// What it is about.
    pub key: String,
    /// The higher one stands.
    pub rank: u64,
    /// Of records with the same rank, one that is firm stands before one that is not.
    pub firm: bool,
    /// The record itself. Of two that are alike in rank and firmness the greater text stands.
    pub text: String,
}

impl Broadcast {
    /// Puts records on the board where they are later than what stands there, and gives all that stands there then.
    ///
    /// # Errors
    /// [`Away`]. Records may have been put there.
    pub async fn post(&self, records: &[Posted]) -> Result<Vec<String>, Away> {
        for batch in records.chunks(BATCH) {
            let mut call = self.call(&self.scripts().post);
            for Posted { key, rank, firm, text } in batch {
                call.arg(key).arg(format!("{rank}{}", if *firm { ".5" } else { "" })).arg(text);
            }
            self.ask::<i64>(&call).await?;
        }
        let mut all = redis::cmd("HVALS");
        let values: Vec<String> = self.command(all.arg(self.board())).await?;
        Ok(values.into_iter().filter_map(|value| Some(value.split_once('\t')?.1.to_owned())).collect())
    }
}
