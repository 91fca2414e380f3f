//! Figures that were measured several times.

use alloc::vec::Vec;

/// Figures of the same measurement, repeated.
///
/// ```
/// use bootllm_bench::Samples;
///
/// let speeds = Samples(vec![9.0, 10.0, 11.0]);
/// assert_eq!((speeds.mean(), speeds.deviation()), (Some(10.0), Some(1.0)));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(pub Vec<f64>);

impl Samples {
    /// The mean; `None` without samples.
    pub fn mean(&self) -> Option<f64> {
        let count = self.0.len();
        (count > 0).then(|| self.0.iter().sum::<f64>() / count as f64)
    }

    /// The standard deviation of the sample (with n − 1, as llama-bench prints it); `None` of fewer
    /// than two.
    pub fn deviation(&self) -> Option<f64> {
        let (mean, count) = (self.mean()?, self.0.len());
        let squares: f64 = self.0.iter().map(|sample| (sample - mean) * (sample - mean)).sum();
        (count > 1).then(|| libm::sqrt(squares / (count - 1) as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn few_samples_have_no_deviation_and_none_no_mean() {
        assert_eq!((Samples(vec![]).mean(), Samples(vec![]).deviation()), (None, None));
        assert_eq!((Samples(vec![3.0]).mean(), Samples(vec![3.0]).deviation()), (Some(3.0), None));
        let four = Samples(vec![2.0, 4.0, 4.0, 6.0]);
        assert_eq!(four.mean(), Some(4.0));
        assert!((four.deviation().unwrap() - (8.0f64 / 3.0).sqrt()).abs() < 1e-12);
    }
}
