use super::*;

const LOOK: Duration = Duration::from_secs(30);

#[test]
fn what_is_good_is_looked_at_as_soon_as_it_changes() {
    let mut pause = Pause::new(LOOK);
    assert_eq!(pause.after(Look::Good), (Duration::ZERO, LOOK));
    assert_eq!(pause.after(Look::Good), (Duration::ZERO, LOOK));
}

#[test]
fn what_fails_is_tried_again_soon_and_then_less_and_less_often() {
    let mut pause = Pause::new(LOOK);
    let mut before = Duration::ZERO;
    for _ in 0..5 {
        let (least, most) = pause.after(Look::Failed);
        assert_eq!(least, most);
        assert!(least > before, "{least:?}");
        before = least;
    }
    for _ in 0..10 {
        pause.after(Look::Failed);
    }
    assert_eq!(pause.after(Look::Failed), (LOOK, LOOK));
}

#[test]
fn writing_in_turn_with_somebody_else_becomes_slow_and_is_forgiven() {
    let mut pause = Pause::new(LOOK);
    for _ in 0..30 {
        pause.after(Look::Wrote);
        pause.after(Look::Good);
    }
    let (least, _) = pause.after(Look::Wrote);
    assert_eq!(least, LOOK);
    for _ in 0..15 {
        pause.after(Look::Good);
    }
    assert_eq!(pause.after(Look::Good).0, Duration::ZERO);
}

#[test]
fn no_pause_is_longer_than_that_between_looks() {
    let look = Duration::from_millis(5);
    let mut pause = Pause::new(look);
    for outcome in [Look::Wrote, Look::Failed, Look::Good] {
        let (least, most) = pause.after(outcome);
        assert!(least <= look && most <= look);
    }
}
