//! Plots as SVG whose colours are CSS classes, so that one picture serves light and dark pages.
//! Crates that draw plots write colours into the picture, or bring a browser's worth of script.

use std::fmt::Write;

use crate::outcome::{Axis, Plot, Role, Scale, Series, number};

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;

/// Marks that an axis should have, about.
const MARKS: usize = 6;

/// Above this number of points a curve is drawn without dots.
const DOTS_MAX: usize = 60;

/// Several curves of one role are told apart by up to this many looks.
const LOOKS: usize = 4;

/// An axis with its bounds, in the units in which it is even.
struct Span {
    scale: Scale,
    least: f64,
    most: f64,
    marks: Vec<(f64, String)>,
}

impl Span {
    fn over(axis: &Axis, values: impl Iterator<Item = f64>) -> Self {
        let even = |value: f64| match axis.scale {
            Scale::Linear => value,
            Scale::Log2 => value.log2(),
            Scale::Log10 => value.log10(),
        };
        let bounds = values.map(even).filter(|value| value.is_finite());
        let (least, most) =
            bounds.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        let (least, most) = match (least, most) {
            (least, most) if least > most => (0.0, 1.0),
            (least, most) if least == most => (least - 0.5, most + 0.5),
            // What begins near zero begins at zero.
            (least, most) if axis.scale == Scale::Linear && least >= 0.0 && least < most * 0.6 => {
                (0.0, most)
            }
            bounds => bounds,
        };
        match axis.scale {
            Scale::Linear => Self::linear(least, most),
            Scale::Log2 => Self::powers(axis.scale, least, most, 2.0),
            Scale::Log10 => Self::powers(axis.scale, least, most, 10.0),
        }
    }

    fn linear(least: f64, most: f64) -> Self {
        let step = nice((most - least) / (MARKS as f64 - 1.0));
        let (first, last) = ((least / step).floor(), (most / step).ceil());
        let count = (last - first) as usize;
        let marks = (0..=count).map(|mark| {
            let value = (first + mark as f64) * step;
            (value, short(value, step))
        });
        Self {
            scale: Scale::Linear,
            least: first * step,
            most: last * step,
            marks: marks.collect(),
        }
    }

    fn powers(scale: Scale, least: f64, most: f64, base: f64) -> Self {
        let (first, last) = ((least + 1e-9).floor(), (most - 1e-9).ceil());
        let stride = ((last - first) / MARKS as f64).ceil().max(1.0) as usize;
        let marks = (0..=(last - first) as usize).step_by(stride).map(|mark| {
            let exponent = first + mark as f64;
            (exponent, power(base, exponent))
        });
        let marks = marks.collect();
        // Only as wide as the values need, to the next mark below and a little above.
        let pad = (most - least) * 0.03;
        Self { scale, least: (least - pad).max(first), most: most + pad, marks }
    }

    /// Where `value` is, from 0 to 1; `None` if it has no place.
    fn place(&self, value: f64) -> Option<f64> {
        let even = match self.scale {
            Scale::Linear => value,
            Scale::Log2 => value.log2(),
            Scale::Log10 => value.log10(),
        };
        even.is_finite().then(|| (even - self.least) / (self.most - self.least))
    }

    /// Marks within bounds, with their places.
    fn marks(&self) -> impl Iterator<Item = (f64, &str)> {
        let place = |value: f64| (value - self.least) / (self.most - self.least);
        self.marks
            .iter()
            .map(move |(value, label)| (place(*value), label.as_str()))
            .filter(|(place, _)| (-1e-6..=1.0 + 1e-6).contains(place))
    }
}

/// The next of 1, 2, 2.5 or 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor =
        [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|factor| factor * power >= step * 0.999);
    factor.unwrap_or(10.0) * power
}

fn short(value: f64, step: f64) -> String {
    // One more than the step's magnitude, for steps of 2.5.
    let decimals = ((-step.log10()).ceil() + 1.0).clamp(0.0, 6.0) as usize;
    let text = match value.abs() {
        1e6.. => format!("{}M", number(value / 1e6)),
        1e4.. => format!("{}k", number(value / 1e3)),
        _ => format!("{value:.decimals$}"),
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn power(base: f64, exponent: f64) -> String {
    let value = base.powf(exponent);
    let kibi = base == 2.0 && exponent >= 10.0;
    match value {
        _ if kibi && exponent < 20.0 => format!("{}Ki", value / 1024.0),
        _ if kibi => format!("{}Mi", value / 1_048_576.0),
        1e6.. => format!("{}M", value / 1e6),
        1e3.. => format!("{}k", value / 1e3),
        0.001.. => number(value),
        _ => format!("1e{exponent}"),
    }
}

/// How a curve looks: the class of its line and of its key.
#[must_use]
pub(super) fn look(plot: &Plot, which: usize) -> String {
    let series = &plot.series[which];
    let of_role = |other: &&Series| group(other.role) == group(series.role);
    let nth = plot.series[..which].iter().filter(of_role).count();
    format!("{}{}", group(series.role), nth % LOOKS)
}

const fn group(role: Role) -> &'static str {
    match role {
        Role::Ours | Role::Other => "ours",
        Role::Published => "published",
        Role::Formula => "formula",
    }
}

/// Text as it stands in HTML.
#[must_use]
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Draws a plot.
#[must_use]
pub(super) fn draw(plot: &Plot) -> String {
    let points = || plot.series.iter().flat_map(|series| &series.points);
    let x = Span::over(&plot.x, points().map(|point| point.0));
    let y = Span::over(&plot.y, points().map(|point| point.1));
    let across = |place: f64| LEFT + place * (WIDTH - LEFT - RIGHT);
    let down = |place: f64| HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
        escape(&plot.title)
    );
    // Writing to a string does not fail.
    let mut add = |parts: std::fmt::Arguments<'_>| {
        let _ = svg.write_fmt(parts);
    };
    for (place, label) in y.marks() {
        let at = down(place);
        add(format_args!(
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{:.1}\"/><text class=\"mark\" x=\"{:.1}\" \
             y=\"{:.1}\" text-anchor=\"end\">{label}</text>\n",
            WIDTH - RIGHT,
            LEFT - 7.0,
            at + 4.0
        ));
    }
    for (place, label) in x.marks() {
        let at = across(place);
        let foot = HEIGHT - BOTTOM;
        add(format_args!(
            "<path class=\"axis\" d=\"M{at:.1} {foot}v4\"/><text class=\"mark\" x=\"{at:.1}\" \
             y=\"{:.1}\" text-anchor=\"middle\">{label}</text>\n",
            foot + 17.0
        ));
    }
    add(format_args!(
        "<path class=\"axis\" d=\"M{LEFT} {:.1}H{:.1}\"/>\n",
        HEIGHT - BOTTOM,
        WIDTH - RIGHT
    ));
    add(format_args!(
        "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
        f64::midpoint(LEFT, WIDTH - RIGHT),
        HEIGHT - 8.0,
        escape(&plot.x.label)
    ));
    let middle = f64::midpoint(TOP, HEIGHT - BOTTOM);
    add(format_args!(
        "<text class=\"label\" transform=\"translate(13 {middle:.1})rotate(-90)\" \
         text-anchor=\"middle\">{}</text>\n",
        escape(&plot.y.label)
    ));
    // Ours on top of what it is compared with.
    let mut order: Vec<usize> = (0..plot.series.len()).collect();
    order.sort_by_key(|&which| match plot.series[which].role {
        Role::Formula => 0,
        Role::Published => 1,
        Role::Other => 2,
        Role::Ours => 3,
    });
    for which in order {
        let series = &plot.series[which];
        let look = look(plot, which);
        let mut path = String::new();
        let mut dots = String::new();
        // Rings around ours where both coincide.
        let radius = if series.role == Role::Published { 4.5 } else { 2.5 };
        let mut pen_up = true;
        for &(at, value) in &series.points {
            let (Some(right), Some(up)) = (x.place(at), y.place(value)) else {
                pen_up = true;
                continue;
            };
            let (cx, cy) = (across(right), down(up));
            let _ = write!(path, "{}{cx:.1} {cy:.1}", if pen_up { 'M' } else { 'L' });
            pen_up = false;
            let _ = write!(
                dots,
                "<circle class=\"dot {look}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{radius}\"><title>{}: {} at \
                 {}</title></circle>",
                escape(&series.name),
                number(value),
                number(at)
            );
        }
        add(format_args!("<path class=\"line {look}\" d=\"{path}\"/>"));
        if series.role != Role::Formula && series.points.len() <= DOTS_MAX {
            add(format_args!("{dots}"));
        }
        add(format_args!("\n"));
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64]) -> Vec<String> {
        let span = Span::over(axis, values.iter().copied());
        span.marks().map(|(_, label)| label.to_owned()).collect()
    }

    #[test]
    fn marks_are_round_numbers() {
        assert_eq!(labels(&Axis::linear(""), &[0.0, 3.4]), ["0", "1", "2", "3", "4"]);
        assert_eq!(labels(&Axis::linear(""), &[0.0, 12.0]), ["0", "2.5", "5", "7.5", "10", "12.5"]);
        assert_eq!(
            labels(&Axis::linear(""), &[0.1, 0.23]),
            ["0", "0.05", "0.1", "0.15", "0.2", "0.25"]
        );
        assert_eq!(
            labels(&Axis::log2(""), &[8.0, 16_384.0]),
            ["8", "32", "128", "512", "2Ki", "8Ki"]
        );
        assert_eq!(
            labels(&Axis::log10(""), &[10.0, 1e6]),
            ["10", "100", "1k", "10k", "100k", "1M"]
        );
    }

    #[test]
    fn a_curve_breaks_where_it_has_no_value() {
        let points = [(0.0, 1.0), (1.0, f64::INFINITY), (2.0, 1.5), (3.0, 2.0)];
        let plot = Plot {
            title: "a < b".to_owned(),
            x: Axis::linear("x"),
            y: Axis::linear("y"),
            series: vec![Series::new("s", Role::Ours, points)],
        };
        let svg = draw(&plot);
        let path = svg.lines().find(|line| line.contains("line ours0")).expect("the curve");
        assert_eq!(path.split("d=\"").nth(1).map(|d| d.matches('M').count()), Some(2));
        assert!(svg.contains("a &lt; b"), "{svg}");
        assert!(!svg.contains("inf"), "{svg}");
    }
}
