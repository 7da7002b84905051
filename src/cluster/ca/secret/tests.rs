use super::*;
use std::time::Duration;

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn authority(name: &str) -> Authority {
    Authority::make(name, now(), Duration::from_secs(3600)).unwrap()
}

fn full() -> CaSecret {
    CaSecret {
        current: Some(authority("current")),
        next: Some(authority("next")),
        previous: ["older", "old"]
            .map(|it| authority(it).certificate().clone())
            .to_vec(),
        previous_until: Some(now()),
        changed: Some(now()),
    }
}

fn written(content: &CaSecret) -> Data {
    let mut data = Data::new();
    content.write(&mut data);
    data
}

/// Reads a Secret and asserts that it has no problems.
#[track_caller]
fn read(data: &Data) -> CaSecret {
    let (content, problems) = CaSecret::read(data);
    assert_eq!(problems, [""; 0]);
    content
}

#[test]
fn a_written_secret_is_read_back() {
    for content in [full(), CaSecret::default()] {
        assert_eq!(read(&written(&content)), content);
    }
}

#[test]
fn missing_authorities_are_removed_and_foreign_fields_stay() {
    let mut data = written(&full());
    data.insert("note".to_owned(), ByteString(b"of somebody".to_vec()));
    let mut content = full();
    (content.next, content.previous, content.previous_until) = (None, Vec::new(), None);
    content.write(&mut data);
    let names: Vec<&str> = data.keys().map(String::as_str).collect();
    assert_eq!(names, ["ca.crt", "ca.key", "changed", "note"]);
    assert_eq!(read(&data), content);
}

#[test]
fn trusted_are_previous_current_and_next_without_duplicates_in_this_order() {
    let mut content = full();
    let current = content.current.clone().unwrap().certificate().clone();
    content.trust([current.clone(), content.previous[0].clone()]);
    assert_eq!(content.previous.len(), 2, "nothing is trusted twice");
    let names: Vec<&str> = content
        .trusted()
        .iter()
        .map(|it| it.name().split(' ').next().unwrap())
        .collect();
    assert_eq!(names, ["CN=older", "CN=old", "CN=current", "CN=next"]);
    content.previous.push(current);
    assert_eq!(content.trusted().len(), 4);
}

#[test]
fn the_bundle_is_the_same_for_every_replica_that_reads_the_secret() {
    let content = full();
    let bundle = content.bundle();
    assert_eq!(read(&written(&content)).bundle(), bundle);
    let (read, unreadable) = CaCertificate::all_from_pem(&bundle);
    assert_eq!((read.len(), unreadable), (4, 0));
    assert!(!bundle.contains("PRIVATE"));
}

#[test]
fn an_authority_without_its_key_is_still_trusted() {
    let whole = full();
    let current = whole.current.clone().unwrap();
    for broken in [None, Some("junk"), Some(&*authority("other").key_pem())] {
        let mut data = written(&whole);
        match broken {
            Some(key) => data.insert("ca.key".to_owned(), ByteString(key.into())),
            None => data.remove("ca.key"),
        };
        let (content, problems) = CaSecret::read(&data);
        assert_eq!(content.current, None);
        assert_eq!(content.next, whole.next);
        assert!(content.previous.contains(current.certificate()));
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].starts_with("ca.crt and ca.key: "),
            "{problems:?}"
        );
    }
}

#[test]
fn each_field_that_cannot_be_read_is_named_and_never_quoted() {
    let whole = full();
    for (name, junk) in [
        ("ca.crt", &b"secret words"[..]),
        ("ca.key", b"secret words"),
        ("next.key", b"\xff\xfe"),
        (
            "previous.crt",
            b"-----BEGIN CERTIFICATE-----\nc2VjcmV0IHdvcmRz\n-----END CERTIFICATE-----\n",
        ),
        ("previous-until", b"secret words"),
        ("changed", b"secret words"),
    ] {
        let mut data = written(&whole);
        data.insert(name.to_owned(), ByteString(junk.to_vec()));
        let (content, problems) = CaSecret::read(&data);
        assert_ne!(content, whole);
        assert!(problems.iter().any(|it| it.contains(name)), "{problems:?}");
        assert!(
            !problems.iter().any(|it| it.contains("secret words")),
            "t4: {problems:?}"
        );
    }
}

#[test]
fn t4_no_key_is_shown_for_debugging() {
    let shown = format!("{:?}", full());
    assert!(!shown.contains("PRIVATE"), "{shown}");
    let key = full().current.unwrap().key_pem();
    assert!(!shown.contains(key.lines().nth(1).unwrap()));
}
