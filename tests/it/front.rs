//! The doors, with a small server behind them: stdio and Streamable HTTP.

mod dummy;
mod http;
mod limits;
mod names;
mod stdio;
mod tls;
mod wire;
