//! The doors, with a small server behind them: stdio and Streamable HTTP.

mod callers;
mod dummy;
mod http;
mod issuer;
mod limits;
mod names;
mod stdio;
mod tls;
mod wire;
