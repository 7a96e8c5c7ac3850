//! Median, least and greatest of a few rounds.

use std::fmt;

/// What the rounds of one figure gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Sums up `values`; `None` when there are none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 0 {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self { median, min, max })
    }

    /// `median (min-max)`, with digits as the size asks for.
    #[must_use]
    pub fn full(&self) -> String {
        format!("{} ({}-{})", Figure(self.median), Figure(self.min), Figure(self.max))
    }
}

/// A number with about three digits, thousands set apart.
#[derive(Debug, Clone, Copy)]
pub struct Figure(pub f64);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size < 10.0 {
            return write!(f, "{:.2}", self.0);
        }
        if size < 100.0 {
            return write!(f, "{:.1}", self.0);
        }
        let digits = format!("{size:.0}");
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at) % 3 == 0 {
                text.push(',');
            }
            text.push(digit);
        }
        if self.0 < 0.0 {
            f.write_str("-")?;
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let spread = Spread::of([4.0, 1.0, 2.0, 3.0]);
        assert_eq!(spread, Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
    }

    #[test]
    fn figures_keep_three_digits() {
        let texts = [1.234, 56.78, 901.2, 12_345.6, -1_234_567.0].map(|n| Figure(n).to_string());
        assert_eq!(texts, ["1.23", "56.8", "901", "12,346", "-1,234,567"]);
    }
}
