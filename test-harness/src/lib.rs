//! (placeholder)

