//! The memory backend of incumbent.
