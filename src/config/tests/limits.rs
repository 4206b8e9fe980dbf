//! The tenant's call limits.

use super::*;
use crate::model::{Per, Window};

#[test]
fn call_limits_are_set_by_endpoint_and_window() {
    let window = |limit, per| Window { limit, per };
    let set = |limits: Limits, endpoint, w| limits.with(endpoint, w).expect("known");
    let mut expected = Limits::documented().with_background(20);
    expected = set(expected, "GET /users", window(60, Per::Hour));
    expected = set(expected, "GET /users", window(2, Per::Second));
    let toml = "[tenant.limits]\n'GET /users' = { hour = 60, second = 2 }\n[index]\nshare = 0.2";
    assert_eq!(load_file(toml).expect("accepted").limits, expected);
    assert_eq!(load_file("").expect("accepted").limits, Limits::documented());
    for (toml, told_of) in [
        ("[tenant.limits]\n'GET /user' = { hour = 7 }", "GET /user; the nearest known one is GET /users"),
        (
            "[tenant.limits]\n'GET /users' = { hours = 7 }",
            "unknown window hours; the nearest known one is hour",
        ),
        ("[tenant.limits]\n'GET /users' = { hour = 0 }", "expected a whole number from 1 to 100000"),
        ("[tenant.limits]\n'GET /users' = 7", "expected windows"),
        ("[tenant]\nlimits = 'canary'", "expected a section"),
        ("[index]\nshare = 0.91", "from 0.01 to 0.9"),
    ] {
        assert!(told(load_file(toml)).contains(told_of), "{toml}: {}", told(load_file(toml)));
    }
}
