//! What came of running a claim: numbers beside those they should be, and curves.

use std::fmt;

use serde::Serialize;

/// How far a measured number may be from the published one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// By this share of the published one, either way.
    Relative(f64),
    /// By this much, either way.
    Absolute(f64),
    /// By this factor, either way.
    Factor(f64),
    /// It must lie within these bounds, both included; the published number is only shown.
    Between(f64, f64),
}

impl Tolerance {
    /// Whether `measured` is close enough to `expected`.
    #[must_use]
    pub fn accepts(self, measured: f64, expected: f64) -> bool {
        // Rounding must not decide at the very edge.
        let slack = 1e-9 * expected.abs().max(1e-9);
        match self {
            Self::Relative(share) => (measured - expected).abs() <= share * expected.abs() + slack,
            Self::Absolute(by) => (measured - expected).abs() <= by + slack,
            Self::Factor(factor) => {
                measured <= expected * factor + slack && measured * factor >= expected - slack
            }
            Self::Between(least, most) => (least..=most).contains(&measured),
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Relative(0.0) | Self::Absolute(0.0) => write!(f, "exact"),
            Self::Relative(share) => write!(f, "±{} %", number(share * 100.0)),
            Self::Absolute(by) => write!(f, "±{}", number(by)),
            Self::Factor(factor) => write!(f, "×÷{}", number(factor)),
            Self::Between(least, most) if most == f64::INFINITY => {
                write!(f, "≥ {}", number(least))
            }
            Self::Between(least, most) if least == f64::NEG_INFINITY => {
                write!(f, "≤ {}", number(most))
            }
            Self::Between(least, most) => write!(f, "{} to {}", number(least), number(most)),
        }
    }
}

/// Whether what was measured is what was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every number is within its tolerance.
    Reproduced,
    /// At least one is not.
    Departs,
    /// Nothing published is there to compare with at these parameters.
    Open,
}

impl Verdict {
    /// In one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::Departs => "departs",
            Self::Open => "open",
        }
    }
}

/// One number beside the one it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What it is, with its unit.
    pub what: String,
    /// What we measured.
    pub measured: f64,
    /// What was published.
    pub expected: f64,
    /// How far apart they may be.
    pub tolerance: Tolerance,
}

impl Check {
    /// A number and what it should be.
    pub fn new(
        what: impl Into<String>,
        measured: f64,
        expected: f64,
        tolerance: Tolerance,
    ) -> Self {
        Self { what: what.into(), measured, expected, tolerance }
    }

    /// A number that must not be above `most`.
    pub fn at_most(what: impl Into<String>, measured: f64, most: f64) -> Self {
        Self::new(what, measured, most, Tolerance::Between(f64::NEG_INFINITY, most))
    }

    /// A number that must not be below `least`.
    pub fn at_least(what: impl Into<String>, measured: f64, least: f64) -> Self {
        Self::new(what, measured, least, Tolerance::Between(least, f64::INFINITY))
    }

    /// Whether it is close enough.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.tolerance.accepts(self.measured, self.expected)
    }
}

/// Whose curve it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Measured here.
    Ours,
    /// Measured here, for comparison with the former.
    Other,
    /// As published.
    Published,
    /// A formula.
    Formula,
}

/// One curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Whose it is.
    pub role: Role,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// A curve.
    pub fn new(
        name: impl Into<String>,
        role: Role,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        Self { name: name.into(), role, points: points.into_iter().collect() }
    }
}

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By powers of two.
    Log2,
    /// By powers of ten.
    Log10,
}

/// An axis of a plot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Axis {
    /// What it shows, with its unit.
    pub label: String,
    /// How it is divided.
    pub scale: Scale,
}

impl Axis {
    /// An evenly divided axis.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Linear }
    }

    /// An axis divided by powers of two.
    pub fn log2(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Log2 }
    }

    /// An axis divided by powers of ten.
    pub fn log10(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Log10 }
    }
}

/// Curves over a common axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// The curves.
    pub series: Vec<Series>,
}

/// Figures of several things side by side, for people: what decides is a [`Check`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What it shows.
    pub title: String,
    /// What its columns are, with their units.
    pub columns: Vec<String>,
    /// What each row is of, and a cell for each column.
    pub rows: Vec<(String, Vec<String>)>,
}

/// What came of running a claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Figures side by side.
    pub summaries: Vec<Summary>,
    /// Numbers that decide.
    pub checks: Vec<Check>,
    /// Curves to look at.
    pub plots: Vec<Plot>,
    /// What a reader should know: what was taken differently from the source, and why.
    pub notes: Vec<String>,
}

impl Outcome {
    /// Whether the claim holds.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.checks.is_empty() {
            Verdict::Open
        } else if self.checks.iter().all(Check::holds) {
            Verdict::Reproduced
        } else {
            Verdict::Departs
        }
    }

    /// Adds a number that decides.
    pub fn check(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// Adds something to know.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

/// A number with as many digits as mean something: four, or all of a whole number.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "none".to_owned() } else { "never".to_owned() };
    }
    if value == value.trunc() && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    let magnitude = value.abs().log10().floor() as i32;
    let decimals = (3 - magnitude).clamp(0, 9) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_end_where_they_say() {
        for (tolerance, expected, accepted, refused) in [
            (Tolerance::Relative(0.03), 10.0, [9.7, 10.3], [9.69, 10.31]),
            (Tolerance::Absolute(0.5), 1.0, [0.5, 1.5], [0.49, 1.51]),
            (Tolerance::Factor(2.0), 8.0, [4.0, 16.0], [3.99, 16.01]),
            (Tolerance::Between(1.0, 3.0), 99.0, [1.0, 3.0], [0.99, 3.01]),
        ] {
            for measured in accepted {
                assert!(tolerance.accepts(measured, expected), "{tolerance:?} {measured}");
            }
            for measured in refused {
                assert!(!tolerance.accepts(measured, expected), "{tolerance:?} {measured}");
            }
            assert!(!tolerance.accepts(f64::NAN, expected), "{tolerance:?}");
        }
    }

    #[test]
    fn one_number_that_is_off_decides() {
        let mut outcome = Outcome::default();
        assert_eq!(outcome.verdict(), Verdict::Open);
        outcome.check(Check::new("a", 1.0, 1.0, Tolerance::Relative(0.0)));
        assert_eq!(outcome.verdict(), Verdict::Reproduced);
        outcome.check(Check::at_most("b", 2.1, 2.0));
        assert_eq!(outcome.verdict(), Verdict::Departs);
    }

    #[test]
    fn numbers_show_what_they_mean() {
        for (value, shown) in [
            (0.0, "0"),
            (24_000.0, "24000"),
            (5.8512, "5.851"),
            (0.003_21, "0.00321"),
            (8_056.04, "8056"),
            (f64::INFINITY, "never"),
        ] {
            assert_eq!(number(value), shown);
        }
    }
}
