//! What people and programs are told: a live table, and JSON.

pub mod json;
pub mod table;
