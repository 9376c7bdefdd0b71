mod breaks;
mod gate;
mod random;
