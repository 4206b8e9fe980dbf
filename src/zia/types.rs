//! What ZIA's answers are read into: every field but the id is optional.

mod lenient;
mod named;
mod user;

pub use named::ZiaNamed;
pub use user::{Raw, Whose, ZiaUser};
