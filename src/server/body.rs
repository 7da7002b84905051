//! Reads the body of a request, within the limits of size, time and memory.

use super::connection::{Connection, Evicted, Phase};
use super::{Limits, State};
use crate::telemetry::metrics::Limit;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use std::time::Duration;
use tokio::time::timeout;

/// First allocation for a body, in bytes. Most reviews fit, and a client that only announces a
/// large body gets no more.
const FIRST: usize = 64 << 10;

/// Why a body was not read. A sentence for its sender.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the request is larger than drydock's limit of {0} bytes")]
    TooLarge(usize),
    #[error("the request's body did not arrive within {} s", .0.as_secs_f64())]
    TooSlow(Duration),
    #[error("the request ended before its body did")]
    Cut,
    #[error("drydock is overloaded: {0}; try again in a few seconds")]
    Evicted(#[from] Evicted),
}

/// Reads a body of at most `max` bytes, and counts the limit that it exceeds.
pub(super) async fn read(
    state: &State,
    connection: Option<&Connection>,
    headers: &HeaderMap,
    body: Body,
    max: usize,
) -> Result<Bytes, BodyError> {
    let Limits { body_time, .. } = state.limits;
    let collected = timeout(body_time, collect(connection, headers, body, max));
    let collected = match connection {
        Some(connection) => connection.wait_for(Phase::Body, collected).await?,
        None => collected.await,
    };
    let result = collected.unwrap_or(Err(BodyError::TooSlow(body_time)));
    match result {
        Err(BodyError::TooLarge(_)) => state.metrics.limit_hit(Limit::BodySize),
        Err(BodyError::TooSlow(_)) => state.metrics.limit_hit(Limit::BodyTime),
        // Evictions are counted where they are decided.
        Err(BodyError::Cut | BodyError::Evicted(_)) | Ok(_) => {}
    }
    result
}

/// Copies the frames together as they arrive: a frame of one byte would keep the whole buffer that
/// it was read into.
async fn collect(
    connection: Option<&Connection>,
    headers: &HeaderMap,
    mut body: Body,
    max: usize,
) -> Result<Bytes, BodyError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max) {
        return Err(BodyError::TooLarge(max));
    }
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        // A frame without data has trailers.
        let Ok(data) = frame.map_err(|_| BodyError::Cut)?.into_data() else {
            continue;
        };
        if whole.len() + data.len() > max {
            return Err(BodyError::TooLarge(max));
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

/// Makes room for the next frame: never more than announced, nor more than twice the bytes so far.
fn reserve(whole: &mut Vec<u8>, frame: usize, announced: Option<usize>) {
    if whole.capacity() - whole.len() < frame {
        let left = announced.map_or(usize::MAX, |length| length.saturating_sub(whole.len()));
        let more = whole.len().max(FIRST).min(left);
        whole.reserve_exact(more.max(frame));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f2_a_body_that_comes_byte_by_byte_takes_no_more_than_its_bytes() {
        const ANNOUNCED: usize = 1 << 20;
        for announced in [None, Some(ANNOUNCED)] {
            let mut whole: Vec<u8> = Vec::new();
            for length in 1..=ANNOUNCED {
                reserve(&mut whole, 1, announced);
                whole.push(b' ');
                let most = (2 * length).max(FIRST);
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
    fn f2_a_body_that_is_only_announced_takes_little() {
        let mut whole = Vec::new();
        reserve(&mut whole, 1, Some(8 << 20));
        assert!(whole.capacity() <= FIRST);
    }
}
