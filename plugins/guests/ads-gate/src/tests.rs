mod breaks;
mod gate;
