//! Calls that an account made, by what they were for.

use grammers_tl_types::Identifiable;
use grammers_tl_types::functions::{auth, channels, messages, upload};
use std::sync::atomic::{AtomicU64, Ordering};

const CLASSES: [&str; 5] = ["file", "message", "dialogs", "authorization", "other"];

#[derive(Default)]
pub(crate) struct Calls([AtomicU64; CLASSES.len()]);

impl Calls {
    pub(crate) fn count(&self, method: u32) {
        let class = match method {
            upload::GetFile::CONSTRUCTOR_ID => 0,
            channels::GetMessages::CONSTRUCTOR_ID => 1,
            messages::GetDialogs::CONSTRUCTOR_ID => 2,
            auth::ExportAuthorization::CONSTRUCTOR_ID | auth::ImportAuthorization::CONSTRUCTOR_ID => 3,
            _ => 4,
        };
        self.0[class].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Vec<(&'static str, u64)> {
        CLASSES.iter().copied().zip(self.0.iter().map(|count| count.load(Ordering::Relaxed))).collect()
    }
}
