//! Rule T2.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use super::{LONGEST_MESSAGE, event};
use crate::admission::AuthorNotes;
use jiff::Timestamp;

fn told(pod: &str) -> AuthorNotes {
    AuthorNotes {
        namespace: "ci".parse().unwrap(),
        pod: pod.parse().unwrap(),
        notes: Vec::new(),
    }
}

fn name(pod: &str, note: &str, second: i64) -> String {
    let now = Timestamp::from_second(second).unwrap();
    event(&told(pod), note, "one", now).metadata.name.unwrap()
}

#[test]
fn t2_the_event_is_one_that_a_runner_prints() {
    let now = Timestamp::from_second(1).unwrap();
    let event = event(&told("runner-1"), "a Secret made room", "one", now);
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    assert_eq!(event.involved_object.kind.as_deref(), Some("Pod"));
    assert_eq!(event.involved_object.name.as_deref(), Some("runner-1"));
    assert_eq!(event.metadata.namespace.as_deref(), Some("ci"));
    assert_eq!(
        event.message.as_deref(),
        Some("drydock: a Secret made room")
    );
}

#[test]
fn t2_the_name_is_the_same_for_the_same_note_and_another_for_another() {
    assert_eq!(name("pod", "note", 1), name("pod", "note", 2));
    assert_ne!(name("pod", "note", 1), name("pod", "another", 1));
    assert_ne!(name("pod", "note", 1), name("other", "note", 1));
}

#[test]
fn t2_names_and_messages_have_the_length_that_the_api_server_takes() {
    assert!(name(&"p".repeat(253), "note", 1).len() <= 253);
    let now = Timestamp::from_second(1).unwrap();
    let message = event(&told("pod"), &"ü".repeat(2000), "one", now)
        .message
        .unwrap();
    assert!(message.len() <= LONGEST_MESSAGE + 5, "{}", message.len());
}
