//! The test kernel.
