//! Reads the body of a request whole, within the bounds of size, time and room.

use super::connection::MadeRoom;
use super::{Limits, State};
use crate::telemetry::metrics::Limit;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use std::error::Error;
use std::time::Duration;

/// Memory for the beginning of a body, bytes: most reviews fit, and a client that only announces much gets no more.
const FIRST: usize = 64 << 10;

/// Why a body was not read whole. A sentence for whoever sent it.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the request is larger than drydock's limit of {0} bytes")]
    TooLarge(usize),
    #[error("the request's body did not arrive within {} s", .0.as_secs_f64())]
    TooSlow(Duration),
    #[error("the request ended before its body did")]
    Cut,
    #[error("drydock is overloaded: {0}; try again in a few seconds")]
    MadeRoom(MadeRoom),
}

/// Reads it, `most` bytes at most, and counts the bound that it runs into.
pub(super) async fn read(
    state: &State,
    headers: &HeaderMap,
    body: Body,
    most: usize,
) -> Result<Bytes, BodyError> {
    let Limits { body_time, .. } = state.limits;
    let collected = tokio::time::timeout(body_time, collect(headers, body, most)).await;
    let result = collected.unwrap_or(Err(BodyError::TooSlow(body_time)));
    match result {
        Err(BodyError::TooLarge(_)) => state.metrics.limit_hit(Limit::BodySize),
        Err(BodyError::TooSlow(_)) => state.metrics.limit_hit(Limit::BodyTime),
        // Who makes room is counted where it is decided.
        Err(BodyError::Cut | BodyError::MadeRoom(_)) | Ok(_) => {}
    }
    result
}

/// Copies the pieces together as they come: one of a single byte would keep all of the buffer that it was read into.
async fn collect(headers: &HeaderMap, mut body: Body, most: usize) -> Result<Bytes, BodyError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(BodyError::TooLarge(most));
    }
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        // What is no data is trailers.
        let Ok(piece) = frame.map_err(|error| reason(&error))?.into_data() else {
            continue;
        };
        if whole.len() + piece.len() > most {
            return Err(BodyError::TooLarge(most));
        }
        if whole.is_empty() && body.is_end_stream() {
            return Ok(piece);
        }
        make_room(&mut whole, piece.len(), announced);
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

/// Makes room for the next piece: never for more than is announced, nor for more than twice of what has come.
fn make_room(whole: &mut Vec<u8>, piece: usize, announced: Option<usize>) {
    if whole.capacity() - whole.len() < piece {
        let left = announced.map_or(usize::MAX, |length| length.saturating_sub(whole.len()));
        let more = whole.len().max(FIRST).min(left);
        whole.reserve_exact(more.max(piece));
    }
}

fn reason(error: &axum::Error) -> BodyError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(reason) = error.downcast_ref::<MadeRoom>() {
            return BodyError::MadeRoom(*reason);
        }
        cause = error.source();
    }
    BodyError::Cut
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
                make_room(&mut whole, 1, announced);
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
        make_room(&mut whole, 1, Some(8 << 20));
        assert!(whole.capacity() <= FIRST);
    }
}
