//! The figures of the README, measured on the binary itself.
//!
//! `cargo bench --bench figures` prints every table; words after `--` choose among them. The binary is driven as a client drives it, by raw JSON-RPC, and
//! its tenant is a sandbox in a process of its own. Each figure stands beside the aim and beside a
//! floor measured in the same run, since machines differ and are noisy.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark ends at the first surprise, and prints"
)]

mod audit;
mod calls;
mod http;
mod index;
mod lists;
mod load;
mod memory;
mod messages;
mod operations;
mod recovery;
mod server;
mod startup;
mod stats;
mod stdio;
mod table;

/// A table: its name, and what prints it.
type Table = (&'static str, fn());

const TABLES: [Table; 9] = [
    ("startup", startup::print),
    ("memory", memory::print),
    ("calls", calls::print),
    ("lists", lists::print),
    ("load", load::print),
    ("operations", operations::print),
    ("recovery", recovery::print),
    ("audit", audit::print),
    ("index", index::print),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if index::tenant(&arguments) || index::serve(&arguments) {
        return;
    }
    // Only `cargo bench` says so; `cargo test --all-targets` and nextest start benchmarks too.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let wanted: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|a| !a.starts_with("--") && a.parse::<usize>().is_err())
        .collect();
    let is_known = |wanted: &&&str| TABLES.iter().any(|(name, _)| name == *wanted);
    if let Some(unknown) = wanted.iter().find(|name| !is_known(name)) {
        panic!("no table {unknown}; there are {:?}", TABLES.map(|(name, _)| name));
    }
    for (name, print) in TABLES {
        if wanted.is_empty() || wanted.contains(&name) {
            print();
        }
    }
}
