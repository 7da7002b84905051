//! Two things side by side, measured in turns: what the machine does besides then happens to both.

/// The same of the floor and of drydock.
#[derive(Clone, Copy)]
pub(crate) struct Both<T> {
    pub(crate) floor: T,
    pub(crate) drydock: T,
}

impl<T> Both<T> {
    pub(crate) fn map<U>(self, mut with: impl FnMut(T) -> U) -> Both<U> {
        Both {
            floor: with(self.floor),
            drydock: with(self.drydock),
        }
    }

    pub(crate) fn as_ref(&self) -> Both<&T> {
        Both {
            floor: &self.floor,
            drydock: &self.drydock,
        }
    }
}

/// Measures both in each round; who comes first changes with every round.
pub(crate) fn in_turns<S, T>(
    rounds: usize,
    subjects: &mut Both<S>,
    mut measure: impl FnMut(&mut S) -> T,
) -> Vec<Both<T>> {
    let mut round = |number: usize| {
        if number.is_multiple_of(2) {
            let floor = measure(&mut subjects.floor);
            let drydock = measure(&mut subjects.drydock);
            Both { floor, drydock }
        } else {
            let drydock = measure(&mut subjects.drydock);
            let floor = measure(&mut subjects.floor);
            Both { floor, drydock }
        }
    };
    (0..rounds).map(&mut round).collect()
}

/// Returns the median of the rounds for each.
pub(crate) fn medians<T>(rounds: &[Both<T>], figure: impl Fn(&T) -> f64) -> Both<f64> {
    Both {
        floor: median(rounds.iter().map(|round| figure(&round.floor)).collect()),
        drydock: median(rounds.iter().map(|round| figure(&round.drydock)).collect()),
    }
}

/// Returns the median of the rounds' ratios, drydock to floor. It is not the ratio of the medians:
/// those may be of different rounds.
pub(crate) fn ratio<T>(rounds: &[Both<T>], figure: impl Fn(&T) -> f64) -> f64 {
    median(
        rounds
            .iter()
            .map(|round| figure(&round.drydock) / figure(&round.floor))
            .collect(),
    )
}

pub(crate) fn median(figures: Vec<f64>) -> f64 {
    quantile(figures, 0.5)
}

/// Returns the figure below which this share of them is; the higher of the two that are nearest.
pub(crate) fn quantile(mut figures: Vec<f64>, share: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a count is a small whole number"
    )]
    let at = (figures.len() as f64 * share) as usize;
    figures[at.min(figures.len() - 1)]
}
