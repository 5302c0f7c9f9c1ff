//! A TCP proxy that misbehaves.
