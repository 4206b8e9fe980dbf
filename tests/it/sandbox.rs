//! The sandbox tenant over raw HTTP, checked against literal JSON.

mod control;
mod directory;
mod faults;
mod lab;
mod limits;
mod oneapi;
mod read_users;
mod recorded;
mod seed;
mod session;
mod staging;
mod write_users;
