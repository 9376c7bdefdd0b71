//! Marks with an end: what a gateway that comes new must know until then, and never after.

use crate::broadcast::{Away, Broadcast};

/// Marks that one call carries.
const BATCH: usize = 500;

impl Broadcast {
    /// Puts marks up, each until a second since 1970. Of two of the same text the later end stands.
    ///
    /// # Errors
    /// [`Away`]. Marks may have been put up.
    pub async fn mark(&self, marks: &[(String, i64)]) -> Result<(), Away> {
        for batch in marks.chunks(BATCH) {
            let mut add = redis::cmd("ZADD");
            add.arg(self.marked()).arg("GT");
            for (mark, until) in batch {
                add.arg(until).arg(mark);
            }
            self.command::<i64>(&add).await?;
        }
        Ok(())
    }

    /// Takes down marks that have ended at `now`, and of more than `most` those that end first.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn trim_marks(&self, now: i64, most: usize) -> Result<(), Away> {
        self.command::<i64>(redis::cmd("ZREMRANGEBYSCORE").arg(self.marked()).arg("-inf").arg(now)).await?;
        let beyond = -i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
        self.command::<i64>(redis::cmd("ZREMRANGEBYRANK").arg(self.marked()).arg(0).arg(beyond)).await.map(drop)
    }

    /// The marks that have not ended at `now`, seconds since 1970. The others are taken down.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn marks(&self, now: i64) -> Result<Vec<(String, i64)>, Away> {
        self.command::<i64>(redis::cmd("ZREMRANGEBYSCORE").arg(self.marked()).arg("-inf").arg(now)).await?;
        self.command(redis::cmd("ZRANGE").arg(self.marked()).arg(0).arg(-1).arg("WITHSCORES")).await
    }
}
