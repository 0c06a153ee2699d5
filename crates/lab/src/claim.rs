//! The registry of claims.

use serde::Serialize;

use crate::claims;
use crate::outcome::Outcome;
use crate::param::{Param, ParamError};
use crate::run::Run;

/// How a published figure was come by, and so how much it binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// Printed in the text or in a table.
    Text,
    /// Read off a curve.
    Curve,
    /// Arithmetic on what is stated.
    Derived,
    /// Recalled, and not checked against the source: a hint.
    Memory,
}

impl Provenance {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Text => "stated in the source",
            Self::Curve => "read off the source's curve",
            Self::Derived => "derived from what the source states",
            Self::Memory => "recalled, not checked against the source: a hint",
        }
    }
}

/// What a lecture or paper says, and how to measure it again.
#[derive(Debug)]
pub struct Claim {
    /// Its name.
    pub id: &'static str,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// What is claimed.
    pub says: &'static str,
    /// Who claims it, and where.
    pub source: &'static str,
    /// How the figures were come by.
    pub provenance: Provenance,
    /// What can be varied.
    pub params: &'static [Param],
    /// Seconds that it takes at paper size on one core, about: the long ones begin first.
    pub seconds: u32,
    /// Measures it.
    pub measure: fn(&Run<'_>) -> Result<Outcome, ParamError>,
}

/// Every claim, grouped by what it is about.
#[must_use]
pub fn all() -> &'static [&'static Claim] {
    claims::ALL
}

/// The claim called `name`, or if there is none, those whose names begin with `name` and a dot.
#[must_use]
pub fn find(name: &str) -> Vec<&'static Claim> {
    if let Some(claim) = all().iter().find(|claim| claim.id == name) {
        return vec![claim];
    }
    let within = |id: &str| id.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    all().iter().copied().filter(|claim| within(claim.id)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::param::{Params, Size};

    #[test]
    fn names_are_unique_and_say_what_they_are() {
        let mut seen = BTreeSet::new();
        for claim in all() {
            assert!(seen.insert(claim.id), "{} is there twice", claim.id);
            assert!(claim.id.contains('.'), "{} is in no group", claim.id);
            for text in [claim.title, claim.says, claim.source] {
                assert!(!text.is_empty(), "{}", claim.id);
            }
        }
    }

    #[test]
    fn every_default_is_within_its_own_bounds() {
        for claim in all() {
            for size in [Size::Paper, Size::Small] {
                let params = Params::new(claim.id, claim.params, size, &[]);
                params.unwrap_or_else(|error| panic!("{}: {error}", claim.id));
            }
        }
    }

    #[test]
    fn a_group_is_found_by_its_name() {
        assert_eq!(find("distribution.seed_leaves").len(), 1);
        assert!(find("distribution").len() > 3);
        assert!(find("distri").is_empty());
    }
}
