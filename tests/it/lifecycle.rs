//! The use cases against the sandbox tenant.

mod deprovision;
