//! The MCP face: tools, prompts and resources over the use cases.

mod arguments;
mod ask;
mod call;
mod complete;
pub mod frame;
mod prompts;
mod reply;
mod resources;
mod schema;
mod scopes;
mod server;
pub mod stdio;
mod subscriptions;
mod tools;

pub use scopes::{may_call, needed};
pub use server::Server;
