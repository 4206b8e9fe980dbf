//! The `zia-mcp` command.

fn main() {}
