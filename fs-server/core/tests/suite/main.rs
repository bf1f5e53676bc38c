//! The file server on a board for the host. One binary, so that rsext4 is compiled once.

mod cards;
mod costs;
mod deaths;
mod model;
mod operations;
mod support;
