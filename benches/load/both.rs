//! Measures the baseline and drydock in alternating rounds, so that other load on the machine
//! affects both.

/// A value for the baseline and a value for drydock.
#[derive(Clone, Copy)]
pub(crate) struct Both<T> {
    pub(crate) baseline: T,
    pub(crate) drydock: T,
}

impl<T> Both<T> {
    pub(crate) fn map<U>(self, mut with: impl FnMut(T) -> U) -> Both<U> {
        Both {
            baseline: with(self.baseline),
            drydock: with(self.drydock),
        }
    }

    pub(crate) fn as_ref(&self) -> Both<&T> {
        Both {
            baseline: &self.baseline,
            drydock: &self.drydock,
        }
    }
}

/// Measures both in each round. The order alternates.
pub(crate) fn in_turns<S, T>(
    rounds: usize,
    subjects: &mut Both<S>,
    mut measure: impl FnMut(&mut S) -> T,
) -> Vec<Both<T>> {
    let mut round = |number: usize| {
        if number.is_multiple_of(2) {
            let baseline = measure(&mut subjects.baseline);
            let drydock = measure(&mut subjects.drydock);
            Both { baseline, drydock }
        } else {
            let drydock = measure(&mut subjects.drydock);
            let baseline = measure(&mut subjects.baseline);
            Both { baseline, drydock }
        }
    };
    (0..rounds).map(&mut round).collect()
}

/// Returns the medians of the rounds.
pub(crate) fn medians<T>(rounds: &[Both<T>], figure: impl Fn(&T) -> f64) -> Both<f64> {
    Both {
        baseline: median(rounds.iter().map(|round| figure(&round.baseline)).collect()),
        drydock: median(rounds.iter().map(|round| figure(&round.drydock)).collect()),
    }
}

/// Returns the median of the ratios of drydock to the baseline in each round. This is not the ratio
/// of the medians, which can be of different rounds.
pub(crate) fn ratio<T>(rounds: &[Both<T>], figure: impl Fn(&T) -> f64) -> f64 {
    median(
        rounds
            .iter()
            .map(|round| figure(&round.drydock) / figure(&round.baseline))
            .collect(),
    )
}

pub(crate) fn median(figures: Vec<f64>) -> f64 {
    quantile(figures, 0.5)
}

/// Returns a quantile, such as 0.5 for the median. Between two figures, returns the higher one.
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
