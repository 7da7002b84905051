//! Reads the body of a request, within limits of size, time and memory.

use super::State;
use super::connection::{Connection, Phase};
use super::limits::Limits;
use super::request_error::RequestError;
use crate::telemetry::metrics::Limit;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// Initial buffer size for a body, in bytes. It is enough for most reviews. A client that only
/// announces a large body uses no more memory than this.
const INITIAL_CAPACITY: usize = 64 << 10;

/// Reads a body of at most `max` bytes. Counts a body that exceeds the size or the time limit.
pub(super) async fn read(
    state: &State,
    connection: Option<&Connection>,
    headers: &HeaderMap,
    body: Body,
    max: usize,
) -> Result<Bytes, RequestError> {
    let Limits { body_time, .. } = state.limits;
    let collected = timeout(body_time, collect(connection, headers, body, max));
    let collected = match connection {
        Some(connection) => {
            let collected = connection.wait_for(Phase::Body, collected).await;
            collected.map_err(RequestError::BodyEvicted)?
        }
        None => collected.await,
    };
    let result = collected.unwrap_or(Err(RequestError::BodyTooSlow(body_time)));
    match result {
        Err(RequestError::BodyTooLarge(_)) => state.metrics.limit_hit(Limit::BodySize),
        Err(RequestError::BodyTooSlow(_)) => state.metrics.limit_hit(Limit::BodyTime),
        // `Port` counts evictions.
        _ => {}
    }
    result
}

/// Collects the frames of a body in one buffer. A frame itself, even of one byte, keeps the whole
/// read buffer of the HTTP library in memory, so frames are copied.
async fn collect(
    connection: Option<&Connection>,
    headers: &HeaderMap,
    mut body: Body,
    max: usize,
) -> Result<Bytes, RequestError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max) {
        return Err(RequestError::BodyTooLarge(max));
    }
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        // A frame without data contains trailers, which are ignored.
        let Ok(data) = frame.map_err(|_| RequestError::BodyCut)?.into_data() else {
            continue;
        };
        if whole.len() + data.len() > max {
            return Err(RequestError::BodyTooLarge(max));
        }
        if let Some(connection) = connection {
            connection.hold_body(data.len());
        }
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        reserve(&mut whole, data.len(), announced);
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}

/// Reserves memory for the next frame. The buffer grows at most to the announced size, and at most
/// to twice the size of the data.
fn reserve(whole: &mut Vec<u8>, frame: usize, announced: Option<usize>) {
    if whole.capacity() - whole.len() < frame {
        let left = announced.map_or(usize::MAX, |length| length.saturating_sub(whole.len()));
        let more = whole.len().max(INITIAL_CAPACITY).min(left);
        whole.reserve_exact(more.max(frame));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f2_a_body_in_frames_of_one_byte_takes_at_most_twice_its_size() {
        const ANNOUNCED: usize = 1 << 20;
        for announced in [None, Some(ANNOUNCED)] {
            let mut whole: Vec<u8> = Vec::new();
            for length in 1..=ANNOUNCED {
                reserve(&mut whole, 1, announced);
                whole.push(b' ');
                let most = (2 * length).max(INITIAL_CAPACITY);
                assert!(
                    whole.capacity() <= most,
                    "{} for {length}",
                    whole.capacity()
                );
            }
            let most = announced.unwrap_or(2 * ANNOUNCED);
            assert!(whole.capacity() <= most);
        }
    }

    #[test]
    fn f2_a_body_that_is_only_announced_takes_the_initial_capacity() {
        let mut whole = Vec::new();
        reserve(&mut whole, 1, Some(8 << 20));
        assert!(whole.capacity() <= INITIAL_CAPACITY);
    }
}
