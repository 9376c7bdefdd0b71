//! A simulated Telegram data-centre that unmodified MTProto clients talk to.
