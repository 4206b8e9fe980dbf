//! The Model Context Protocol face.

pub mod frame;
pub mod stdio;
