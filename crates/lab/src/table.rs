//! Records as text: a table for people, CSV for spreadsheets and golden files, fields for JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Serialize, Serializer};

use crate::claim::Provenance;
use crate::outcome::{Plot, Tolerance, Verdict, number};
use crate::run::Record;

/// The first line of every CSV file.
const CSV_HEADER: &str = "claim,part,name,x,value,expected,tolerance,verdict\n";

/// A record as a table for a terminal.
#[must_use]
pub fn human(record: &Record) -> String {
    let claim = record.claim;
    let mut text = String::new();
    let mut line = |parts: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{parts}");
    };
    line(format_args!("{}: {}", claim.id, record.verdict().word()));
    line(format_args!("  {}", claim.says));
    line(format_args!("  {} ({})", claim.source, claim.provenance.words()));
    let params: Vec<_> =
        record.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    line(format_args!("  {}", params.join(" ")));
    for summary in &record.outcome.summaries {
        let names = summary.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..summary.columns.len())
            .map(|at| {
                let cells = summary.rows.iter().filter_map(|(_, cells)| cells.get(at));
                let all = cells.chain([&summary.columns[at]]);
                all.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let row = |cells: &[String]| -> String {
            let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("  {cell:>width$}"));
            padded.collect()
        };
        line(format_args!(""));
        line(format_args!("  {}", summary.title));
        line(format_args!("  {:<names$}{}", "", row(&summary.columns)));
        for (name, cells) in &summary.rows {
            line(format_args!("  {name:<names$}{}", row(cells)));
        }
    }
    let checks = &record.outcome.checks;
    if !checks.is_empty() {
        let width = checks.iter().map(|check| check.what.chars().count()).max().unwrap_or(0);
        let width = width.max("what".len());
        line(format_args!(""));
        line(format_args!(
            "  {:<width$}  {:>10}  {:>10}  {}",
            "what", "ours", "claimed", "tolerance"
        ));
        for check in checks {
            line(format_args!(
                "  {:<width$}  {:>10}  {:>10}  {}{}",
                check.what,
                number(check.measured),
                number(check.expected),
                check.tolerance,
                if check.holds() { "" } else { "  <- departs" },
            ));
        }
    }
    if !record.outcome.notes.is_empty() {
        line(format_args!(""));
    }
    for note in &record.outcome.notes {
        line(format_args!("  note: {note}"));
    }
    line(format_args!(""));
    line(format_args!(
        "  seed {}, {:.1} s: {}",
        record.seed,
        record.took.as_secs_f64(),
        record.command()
    ));
    text
}

/// Records as CSV: one line for each number that decides, and one for each point of each curve.
#[must_use]
pub fn csv<'a>(records: impl IntoIterator<Item = &'a Record>) -> String {
    let mut text = CSV_HEADER.to_owned();
    for record in records {
        let mut row = |fields: [&str; 7]| {
            let fields = fields.map(quoted);
            let _ = writeln!(text, "{},{}", record.claim.id, fields.join(","));
        };
        for check in &record.outcome.checks {
            let verdict = if check.holds() { "holds" } else { "departs" };
            let tolerance = check.tolerance.to_string();
            let (measured, expected) = (six(check.measured), six(check.expected));
            row(["check", &check.what, "", &measured, &expected, &tolerance, verdict]);
        }
        for plot in &record.outcome.plots {
            for series in &plot.series {
                for (x, y) in &series.points {
                    row([&plot.title, &series.name, &six(*x), &six(*y), "", "", ""]);
                }
            }
        }
    }
    text
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// Six significant digits: enough to notice a change, and few enough to outlive another libm.
fn six(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    rounded.to_string()
}

/// The fields of a record's JSON.
#[derive(Serialize)]
struct Fields<'a> {
    claim: &'a str,
    title: &'a str,
    says: &'a str,
    source: &'a str,
    provenance: Provenance,
    params: BTreeMap<&'a str, String>,
    seed: u64,
    command: String,
    seconds: f64,
    verdict: Verdict,
    checks: Vec<CheckFields<'a>>,
    plots: &'a [Plot],
    notes: &'a [String],
}

#[derive(Serialize)]
struct CheckFields<'a> {
    what: &'a str,
    measured: f64,
    expected: f64,
    tolerance: Tolerance,
    verdict: Verdict,
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let checks = self.outcome.checks.iter().map(|check| CheckFields {
            what: &check.what,
            measured: check.measured,
            expected: check.expected,
            tolerance: check.tolerance,
            verdict: if check.holds() { Verdict::Reproduced } else { Verdict::Departs },
        });
        Fields {
            claim: self.claim.id,
            title: self.claim.title,
            says: self.claim.says,
            source: self.claim.source,
            provenance: self.claim.provenance,
            params: self.params.iter().map(|(name, value)| (name, value.to_string())).collect(),
            seed: self.seed,
            command: self.command(),
            seconds: self.took.as_secs_f64(),
            verdict: self.verdict(),
            checks: checks.collect(),
            plots: &self.outcome.plots,
            notes: &self.outcome.notes,
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_with_commas_are_quoted() {
        assert_eq!(quoted("a, b"), "\"a, b\"");
        assert_eq!(quoted("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(quoted("plain"), "plain");
    }

    #[test]
    fn six_digits_are_kept() {
        for (value, shown) in
            [(1.0 / 3.0, "0.333333"), (24_000.0, "24000"), (1_234_567.8, "1234570"), (0.0, "0")]
        {
            assert_eq!(six(value), shown);
        }
    }
}
