//! Reads from the API server and writes to it for `serve --cluster`.
//!
//! The watches and writes run beside the webhook. `cli::serve` creates the channels that carry
//! their results to it, and the webhook keeps the last results during an outage of the API server
//! (rule F4). A review waits for the API server only if it needs a live read of a namespace.

mod address_source;
pub mod ca;
pub mod client;
pub mod clock;
mod error;
pub mod events;
pub mod namespaces;
pub mod policies;
mod status;
mod status_writer;
mod store;
#[cfg(test)]
mod testing;
pub mod version;
mod watch;

/// Returns the items in their order, without duplicates.
fn distinct<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for item in items {
        if !distinct.contains(&item) {
            distinct.push(item);
        }
    }
    distinct
}
