//! The library that is loaded into the child, compiled when it is needed.

use std::{path::PathBuf, process::Command, sync::LazyLock};

/// Once for all worlds of a test.
static BUILT: LazyLock<PathBuf> = LazyLock::new(build);

/// Compiles `shim.c` with the compiler that Rust links with too; where the library is.
pub(super) fn built() -> PathBuf {
    BUILT.clone()
}

fn build() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/crash/shim.c");
    let (mine, shared) = (folder.join(format!("shim.{}.so", std::process::id())), folder.join("shim.so"));
    let compiled = Command::new("cc")
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .args([mine.as_os_str(), source.as_ref(), "-ldl".as_ref()])
        .status();
    assert!(compiled.expect("a C compiler, as for any Rust build").success());
    // Another test may be using the one before, which stays as it is for that one.
    std::fs::rename(mine, &shared).unwrap();
    shared
}
