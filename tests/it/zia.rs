//! The ZIA client against a scripted tenant on a socket.

mod budget;
mod certificates;
mod oneapi;
mod reads;
mod secrets;
mod session;
mod tenant;
mod writes;
