//! Many machines in one thread.
