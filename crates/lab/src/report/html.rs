//! The page around the plots.

use std::fmt::Write;

use super::svg;
use crate::outcome::{Check, Plot, Role, Summary, Verdict, number};
use crate::run::Record;

const STYLE: &str = include_str!("style.css");

/// One self-contained page about some runs; no script, nothing fetched from elsewhere.
#[must_use]
pub fn page(records: &[Record]) -> String {
    let mut html = String::new();
    let count = |verdict| records.iter().filter(|record| record.verdict() == verdict).count();
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Shoal: claims, measured again</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>Claims, measured again</h1>\n<p>What lectures and papers say of peer-to-peer \
         systems, beside what Shoal’s own protocol code does when a simulator runs it. Every run \
         follows from its seed: the command under a claim gives the same numbers again.</p>\n\
         <p class=\"sum\"><b>{}</b> claims: <span class=\"badge reproduced\">{} reproduced</span> \
         <span class=\"badge departs\">{} depart</span>",
        records.len(),
        count(Verdict::Reproduced),
        count(Verdict::Departs),
    );
    if count(Verdict::Open) > 0 {
        let _ = write!(html, " <span class=\"badge open\">{} open</span>", count(Verdict::Open));
    }
    html += "</p>\n</header>\n<main>\n";
    contents(records, &mut html);
    for record in records {
        claim(record, &mut html);
    }
    html + "</main>\n</body>\n</html>\n"
}

fn badge(verdict: Verdict) -> String {
    format!("<span class=\"badge {0}\">{0}</span>", verdict.word())
}

fn contents(records: &[Record], html: &mut String) {
    *html += "<nav aria-label=\"Claims\">\n<ul>\n";
    for record in records {
        let _ = writeln!(
            html,
            "<li><a href=\"#{0}\">{0}</a> <span class=\"about\">{1}</span> {2}</li>",
            record.claim.id,
            svg::escape(record.claim.title),
            badge(record.verdict())
        );
    }
    *html += "</ul>\n</nav>\n";
}

fn claim(record: &Record, html: &mut String) {
    let claim = record.claim;
    let _ = write!(
        html,
        "<section id=\"{id}\">\n<h2>{title} {badge}</h2>\n<p class=\"id\">{id}</p>\n\
         <p>{says}</p>\n<p class=\"source\">{source} ({how})</p>\n",
        id = claim.id,
        title = svg::escape(claim.title),
        badge = badge(record.verdict()),
        says = svg::escape(claim.says),
        source = svg::escape(claim.source),
        how = claim.provenance.words(),
    );
    record.outcome.summaries.iter().for_each(|it| summary(it, html));
    let plots = &record.outcome.plots;
    // One plot has its table beside it; several have theirs below.
    *html += if plots.len() == 1 { "<div class=\"beside\">\n" } else { "<div>\n" };
    if !plots.is_empty() {
        *html += "<div class=\"plots\">\n";
        plots.iter().for_each(|plot| figure(plot, html));
        *html += "</div>\n";
    }
    checks(&record.outcome.checks, html);
    *html += "</div>\n";
    for note in &record.outcome.notes {
        let _ = writeln!(html, "<p class=\"note\">{}</p>", svg::escape(note));
    }
    parameters(record, html);
    *html += "</section>\n";
}

fn figure(plot: &Plot, html: &mut String) {
    let _ = write!(html, "<figure>\n<figcaption>{}</figcaption>\n", svg::escape(&plot.title));
    *html += "<ul class=\"key\">";
    for (which, series) in plot.series.iter().enumerate() {
        let look = svg::look(plot, which);
        let radius = if series.role == Role::Published { 4.5 } else { 2.5 };
        let dot = if series.role == Role::Formula {
            String::new()
        } else {
            format!("<circle class=\"dot {look}\" cx=\"12\" cy=\"6\" r=\"{radius}\"/>")
        };
        let _ = write!(
            html,
            "<li><svg viewBox=\"0 0 24 12\" aria-hidden=\"true\"><path class=\"line {look}\" \
             d=\"M0 6H24\"/>{dot}</svg>{}</li>",
            svg::escape(&series.name)
        );
    }
    *html += "</ul>\n";
    *html += &svg::draw(plot);
    *html += "</figure>\n";
}

/// Figures side by side: the first cell of a row says what it is of.
fn summary(summary: &Summary, html: &mut String) {
    let _ = write!(
        html,
        "<div class=\"wide\"><table>\n<caption>{}</caption>\n<thead><tr><td></td>",
        svg::escape(&summary.title)
    );
    for column in &summary.columns {
        let _ = write!(html, "<th scope=\"col\" class=\"n\">{}</th>", svg::escape(column));
    }
    *html += "</tr></thead>\n<tbody>\n";
    for (name, cells) in &summary.rows {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", svg::escape(name));
        for cell in cells {
            let _ = write!(html, "<td class=\"n\">{}</td>", svg::escape(cell));
        }
        *html += "</tr>\n";
    }
    *html += "</tbody></table></div>\n";
}

fn checks(checks: &[Check], html: &mut String) {
    if checks.is_empty() {
        return;
    }
    *html += "<div class=\"wide\"><table>\n<thead><tr><th>what</th><th class=\"n\">ours</th>\
              <th class=\"n\">claimed</th><th>tolerance</th><th>verdict</th></tr></thead>\n<tbody>\n";
    for check in checks {
        let (class, word) =
            if check.holds() { ("", "holds") } else { (" class=\"off\"", "departs") };
        let _ = writeln!(
            html,
            "<tr{class}><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td>\
             <td>{word}</td></tr>",
            svg::escape(&check.what),
            number(check.measured),
            number(check.expected),
            check.tolerance,
        );
    }
    *html += "</tbody></table></div>\n";
}

fn parameters(record: &Record, html: &mut String) {
    let _ = write!(
        html,
        "<details><summary>Seed {}, {:.1} s; parameters</summary>\n<dl>\n",
        record.seed,
        record.took.as_secs_f64()
    );
    for (name, value) in record.params.iter() {
        let what = record.claim.params.iter().find(|param| param.name == name);
        let what = what.map_or("", |param| param.what);
        let _ = writeln!(
            html,
            "<dt>{name} = {}</dt><dd>{}</dd>",
            svg::escape(&value.to_string()),
            svg::escape(what)
        );
    }
    let _ = write!(
        html,
        "</dl></details>\n<pre><code>{}</code></pre>\n",
        svg::escape(&record.command())
    );
}
