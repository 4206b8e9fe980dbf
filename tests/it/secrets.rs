//! Secrets show in nothing that the server shows, logs or keeps, in no form.

mod binary;
mod debug_forms;
mod hunt;
mod tap;
mod whole_life;
