//! The cluster side of `serve --cluster`: what is read from the API server, and what is written back.
//!
//! Everything here runs beside the webhook, never in the way of a review; it hands over what it knows through channels
//! that `cli::serve` joins. An API server that is away changes nothing of what was handed over (F4).

pub mod ca;
pub mod calls;
mod contact;
pub mod events;
pub mod namespaces;
pub mod policies;
pub mod source;
pub mod status;
mod status_writer;
pub mod store;
#[cfg(test)]
mod testing;
pub mod version;
mod watch;
