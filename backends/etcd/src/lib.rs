//! The etcd backend of incumbent.
