//! Parameters of claims: declared once, typed, and checked before anything runs.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

/// Which defaults to run with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Size {
    /// As the paper or lecture did.
    #[default]
    Paper,
    /// Small enough for a test.
    Small,
}

/// What values a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number within bounds, both included: `4096`, `2^12`, `1e6`.
    Integer(u64, u64),
    /// A number within bounds, both included.
    Real(f64, f64),
    /// Whole numbers, each within bounds: `1,2,5-9`.
    Integers(u64, u64),
    /// Numbers, each within bounds: `0,0.1,0.5`.
    Reals(f64, f64),
}

/// One parameter of a claim.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, with its unit.
    pub what: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// Its default at paper size, as one would write it.
    pub paper: &'static str,
    /// Its default at small size.
    pub small: &'static str,
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of [`Kind::Integer`].
    Integer(u64),
    /// Of [`Kind::Real`].
    Real(f64),
    /// Of [`Kind::Integers`].
    Integers(Vec<u64>),
    /// Of [`Kind::Reals`].
    Reals(Vec<f64>),
}

/// Why a parameter was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParamError {
    /// The claim has no such parameter.
    #[error("{claim} has no parameter `{name}`; it has {known}")]
    Unknown {
        /// The claim.
        claim: &'static str,
        /// What was named.
        name: String,
        /// What could have been.
        known: String,
    },
    /// The value is not of the parameter's kind, or out of its bounds.
    #[error("{name}={text}: {wanted}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// What was given.
        text: String,
        /// What would be right.
        wanted: String,
    },
    /// Each value is acceptable, but not with the others.
    #[error("{claim}: {why}")]
    Together {
        /// The claim.
        claim: &'static str,
        /// What is wrong with them.
        why: String,
    },
}

/// Most numbers that a list may hold.
const LIST_MAX: usize = 1_000;

impl Param {
    /// Reads a value for this parameter.
    ///
    /// # Errors
    /// When `text` is not of its kind, or out of bounds.
    pub fn parse(&self, text: &str) -> Result<Value, ParamError> {
        let value = match self.kind {
            Kind::Integer(least, most) => {
                integer(text).filter(|n| (least..=most).contains(n)).map(Value::Integer)
            }
            Kind::Real(least, most) => {
                real(text).filter(|n| (least..=most).contains(n)).map(Value::Real)
            }
            Kind::Integers(least, most) => integers(text)
                .filter(|list| list.iter().all(|n| (least..=most).contains(n)))
                .map(Value::Integers),
            Kind::Reals(least, most) => list(text, |item| real(item).map(|n| vec![n]))
                .filter(|list| list.iter().all(|n| (least..=most).contains(n)))
                .map(Value::Reals),
        };
        value.ok_or_else(|| ParamError::Value {
            name: self.name,
            text: text.to_owned(),
            wanted: self.wanted(),
        })
    }

    /// Its kind and bounds, in words.
    #[must_use]
    pub fn wanted(&self) -> String {
        match self.kind {
            Kind::Integer(least, most) => format!("a whole number from {least} to {most}"),
            Kind::Real(least, most) => format!("a number from {least} to {most}"),
            Kind::Integers(least, most) => {
                format!("whole numbers from {least} to {most}, such as 1,2,5-9")
            }
            Kind::Reals(least, most) => {
                format!("numbers from {least} to {most} with commas between them")
            }
        }
    }
}

/// `4096`, `2^12` or `1e6`.
fn integer(text: &str) -> Option<u64> {
    if let Some((base, exponent)) = text.split_once('^') {
        return base.parse::<u64>().ok()?.checked_pow(exponent.parse().ok()?);
    }
    if let Some((digits, exponent)) = text.split_once('e') {
        let scale = 10u64.checked_pow(exponent.parse().ok()?)?;
        return digits.parse::<u64>().ok()?.checked_mul(scale);
    }
    text.parse().ok()
}

fn real(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn integers(text: &str) -> Option<Vec<u64>> {
    list(text, |item| match item.split_once('-') {
        Some((first, last)) => {
            let (first, last) = (integer(first)?, integer(last)?);
            let few = last.checked_sub(first)? < LIST_MAX as u64;
            few.then(|| (first..=last).collect())
        }
        None => integer(item).map(|n| vec![n]),
    })
}

/// Items with commas between them, each of which may stand for several numbers.
fn list<T>(text: &str, item: impl Fn(&str) -> Option<Vec<T>>) -> Option<Vec<T>> {
    let mut all = Vec::new();
    for part in text.split(',') {
        all.extend(item(part.trim())?);
        if all.len() > LIST_MAX {
            return None;
        }
    }
    Some(all)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn join<T: fmt::Display>(list: &[T], f: &mut fmt::Formatter<'_>) -> fmt::Result {
            for (at, item) in list.iter().enumerate() {
                write!(f, "{}{item}", if at > 0 { "," } else { "" })?;
            }
            Ok(())
        }
        match self {
            Self::Integer(n) => write!(f, "{n}"),
            Self::Real(n) => write!(f, "{n}"),
            Self::Integers(list) => match list.as_slice() {
                [first, .., last]
                    if list.len() > 2 && list.windows(2).all(|pair| pair[0] + 1 == pair[1]) =>
                {
                    write!(f, "{first}-{last}")
                }
                list => join(list, f),
            },
            Self::Reals(list) => join(list, f),
        }
    }
}

/// The values that one run of a claim uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    values: BTreeMap<&'static str, Value>,
    /// Those that are not the default of their size.
    given: Vec<&'static str>,
}

impl Params {
    /// The defaults of `size` for `claim`'s parameters, with `given` (name, value) in their place.
    ///
    /// # Errors
    /// When a name is not known or a value is not acceptable.
    pub fn new(
        claim: &'static str,
        known: &'static [Param],
        size: Size,
        given: &[(String, String)],
    ) -> Result<Self, ParamError> {
        let mut values = BTreeMap::new();
        for param in known {
            let text = if size == Size::Paper { param.paper } else { param.small };
            values.insert(param.name, param.parse(text)?);
        }
        let mut changed = Vec::new();
        for (name, text) in given {
            let Some(param) = known.iter().find(|param| param.name == name.as_str()) else {
                let names: Vec<_> = known.iter().map(|param| param.name).collect();
                let known = names.join(", ");
                return Err(ParamError::Unknown { claim, name: name.clone(), known });
            };
            let value = param.parse(text)?;
            if values.insert(param.name, value.clone()) != Some(value) {
                changed.push(param.name);
            }
        }
        Ok(Self { values, given: changed })
    }

    /// Every parameter with its value, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.values.iter().map(|(name, value)| (*name, value))
    }

    /// Those that are not the default of their size.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.iter().filter(|(name, _)| self.given.contains(name))
    }

    /// The value of a whole number.
    ///
    /// # Panics
    /// If the claim did not declare it as one.
    #[must_use]
    pub fn int(&self, name: &str) -> u64 {
        match self.values.get(name) {
            Some(Value::Integer(n)) => *n,
            other => panic!("{name} was not declared as a whole number: {other:?}"),
        }
    }

    /// The value of a number.
    ///
    /// # Panics
    /// If the claim did not declare it as one.
    #[must_use]
    pub fn real(&self, name: &str) -> f64 {
        match self.values.get(name) {
            Some(Value::Real(n)) => *n,
            other => panic!("{name} was not declared as a number: {other:?}"),
        }
    }

    /// The value of a list of whole numbers.
    ///
    /// # Panics
    /// If the claim did not declare it as one.
    #[must_use]
    pub fn ints(&self, name: &str) -> &[u64] {
        match self.values.get(name) {
            Some(Value::Integers(list)) => list,
            other => panic!("{name} was not declared as whole numbers: {other:?}"),
        }
    }

    /// The value of a list of numbers.
    ///
    /// # Panics
    /// If the claim did not declare it as one.
    #[must_use]
    pub fn reals(&self, name: &str) -> &[f64] {
        match self.values.get(name) {
            Some(Value::Reals(list)) => list,
            other => panic!("{name} was not declared as numbers: {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Param] = &[
        Param {
            name: "nodes",
            what: "nodes",
            kind: Kind::Integers(1, 1 << 20),
            paper: "2^3,2^4",
            small: "8",
        },
        Param { name: "rate", what: "", kind: Kind::Real(0.0, 1.0), paper: "0.5", small: "1" },
    ];

    fn with(name: &str, value: &str) -> Result<Params, ParamError> {
        Params::new("test", KNOWN, Size::Paper, &[(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, expected) in [
            ("4096", Some(vec![4096])),
            ("2^12", Some(vec![4096])),
            ("1e6", Some(vec![1_000_000])),
            ("1,3-5,2^3", Some(vec![1, 3, 4, 5, 8])),
            ("", None),
            ("5-3", None),
            ("0", None),
            ("2^21", None),
            ("2^99", None),
            ("1e99", None),
            ("-1", None),
            ("1.5", None),
            ("1-1000000", None),
        ] {
            let read = with("nodes", text).map(|params| params.ints("nodes").to_vec());
            assert_eq!(read.ok(), expected, "{text}");
        }
        for (text, expected) in [("0.25", Some(0.25)), ("NaN", None), ("inf", None), ("1.1", None)]
        {
            assert_eq!(with("rate", text).map(|params| params.real("rate")).ok(), expected);
        }
    }

    #[test]
    fn what_is_refused_is_named() {
        let unknown = with("node", "1").expect_err("unknown");
        assert_eq!(unknown.to_string(), "test has no parameter `node`; it has nodes, rate");
        let wrong = with("rate", "2").expect_err("out of bounds");
        assert_eq!(wrong.to_string(), "rate=2: a number from 0 to 1");
    }

    #[test]
    fn only_what_differs_from_the_default_counts_as_given() {
        assert_eq!(with("rate", "0.5").expect("valid").given().count(), 0);
        let given = with("nodes", "4-9").expect("valid");
        let shown: Vec<_> = given.given().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["nodes=4-9"]);
    }
}
