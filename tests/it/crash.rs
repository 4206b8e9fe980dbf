//! The crash rig: the real binary, killed at every commit, at every send and at random instants.
//!
//! A sandbox tenant runs in the test, `zia-mcp serve` is a child on stdio. A small library in C,
//! loaded into the child with `LD_PRELOAD`, kills it with SIGKILL right before, right after or in
//! the middle of a chosen system call; the product itself has no switch for this. After each kill
//! another child takes over, and once all is at rest the store is held against the journal of the
//! tenant (`oracles`).
//!
//! Each run kills at random 200 times. More, and one run again:
//!
//! ```text
//! TEST_KILLS=5000 cargo nextest run --locked --profile crash crash::random
//! TEST_SEED=42 cargo nextest run --locked --profile crash --no-capture crash::random
//! ```

mod budget;
mod collect;
mod control;
mod facts;
mod life;
mod oracles;
mod points;
mod random;
mod recovery;
mod replicas;
mod several;
mod shim;
mod windows;
mod world;
