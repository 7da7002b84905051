//! The cluster side of `serve --cluster`: reads from the API server and writes to it.
//!
//! It runs beside the webhook, and no review waits for it. Channels, which `cli::serve` connects,
//! carry its results to the webhook; an outage of the API server removes none of them (F4).

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

/// Returns the items in their order, each once.
fn distinct<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for item in items {
        if !distinct.contains(&item) {
            distinct.push(item);
        }
    }
    distinct
}
