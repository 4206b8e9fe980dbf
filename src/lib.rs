//! An MCP server that manages the users of a Zscaler Internet Access (ZIA) tenant.

pub mod cli;
pub mod config;
pub mod directory;
pub mod http;
pub mod lifecycle;
pub mod mcp;
pub mod model;
pub mod private_file;
pub mod sandbox;
pub mod store;
pub mod telemetry;
pub mod zia;
