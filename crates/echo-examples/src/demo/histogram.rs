//! Round trips, counted in buckets whose width is about three percent of what they hold.

use std::time::Duration;

/// Buckets for each power of two.
const STEPS: u64 = 32;

/// How often each duration was seen.
#[derive(Default)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(super) fn record(&mut self, duration: Duration) {
        let bucket = bucket(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
    }

    /// The duration that `share` of all (0 to 1) do not exceed.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        // A count is far below the 2^53 that a float holds exactly.
        let wanted = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(upper_bound(bucket as u64));
            }
        }
        Duration::ZERO
    }
}

/// Below `STEPS` a bucket holds one number; above, each power of two has `STEPS` buckets.
fn bucket(nanos: u64) -> usize {
    let bucket = if nanos < STEPS {
        nanos
    } else {
        let shift = u64::from(nanos.ilog2() - STEPS.ilog2());
        (shift + 1) * STEPS + (nanos >> shift) - STEPS
    };
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

/// The largest number in a bucket.
fn upper_bound(bucket: u64) -> u64 {
    if bucket < STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    let first = (STEPS + bucket % STEPS) << shift;
    first + (1 << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_lies_in_its_bucket_and_no_further_than_a_step_below_its_bound() {
        for nanos in (0..5000).chain([1 << 20, (1 << 30) + 12345, (1 << 40) - 1]) {
            let bound = upper_bound(bucket(nanos) as u64);
            assert!(bound >= nanos && bound - nanos <= nanos / STEPS, "{nanos} in {bound}");
        }
    }

    #[test]
    fn quantiles_are_taken_by_rank() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), Duration::ZERO);
        for nanos in 1..=30 {
            histogram.record(Duration::from_nanos(nanos));
        }
        assert_eq!(histogram.quantile(0.5), Duration::from_nanos(15));
        assert_eq!(histogram.quantile(0.999), Duration::from_nanos(30));
        assert_eq!(histogram.quantile(0.0), Duration::from_nanos(1));
    }
}
