//! Telegram words stay here: session store, connections, locations, chunks.
