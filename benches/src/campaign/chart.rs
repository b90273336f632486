//! Curves as SVG, both axes logarithmic.

use std::fmt::Write as _;

use crate::peer::Variant;
use crate::report::short;

/// A picture of one figure over sizes or numbers.
pub(crate) struct Chart {
    /// What stands above it.
    pub(crate) title: String,
    /// What grows to the right.
    pub(crate) across: &'static str,
    /// What grows upwards, with its unit.
    pub(crate) up: String,
    /// A curve for each who has one.
    pub(crate) curves: Vec<Curve>,
}

/// One who is measured, at several places.
pub(crate) struct Curve {
    /// Who.
    pub(crate) variant: Variant,
    /// Places and figures, all above nought, in order of the places.
    pub(crate) points: Vec<(f64, f64)>,
}

/// An axis from the smallest to the largest value, in logarithms.
struct Axis {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let share = (value.log10() - self.from) / (self.to - self.from).max(f64::MIN_POSITIVE);
        self.start + share * (self.end - self.start)
    }
}

impl Chart {
    /// The picture as a file.
    pub(crate) fn svg(&self) -> String {
        let xs: Vec<f64> = self.points().map(|(x, _)| x.log10()).collect();
        let ys: Vec<f64> = self.points().map(|(_, y)| y.log10()).collect();
        let least = |all: &[f64]| all.iter().copied().fold(f64::INFINITY, f64::min);
        let most = |all: &[f64]| all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if xs.is_empty() {
            return String::new();
        }
        let x = Axis { from: least(&xs), to: most(&xs), start: LEFT, end: RIGHT };
        // Whole powers of ten above and below.
        let y = Axis { from: least(&ys).floor(), to: most(&ys).ceil(), start: BOTTOM, end: TOP };
        let mut out = String::new();
        self.frame(&mut out, &x, &y);
        for (index, curve) in self.curves.iter().enumerate() {
            draw(&mut out, curve, index, &x, &y);
        }
        out.push_str("</svg>\n");
        out
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.curves.iter().flat_map(|curve| curve.points.iter().copied())
    }

    // Writing to a string cannot fail, here and below.
    fn frame(&self, out: &mut String, x: &Axis, y: &Axis) {
        let _ = writeln!(
            out,
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="{LEFT}" y="22" font-size="15" font-weight="bold">{}</text>
<text x="{}" y="{}" text-anchor="middle">{}</text>
<text x="{LEFT}" y="40">{}</text>"##,
            self.title,
            f64::midpoint(LEFT, RIGHT),
            BOTTOM + 38.0,
            self.across,
            self.up,
        );
        for power in y.from as i32..=y.to as i32 {
            let value = 10_f64.powi(power);
            let at = y.at(value);
            let _ = writeln!(
                out,
                r##"<line x1="{LEFT}" x2="{RIGHT}" y1="{at:.1}" y2="{at:.1}" stroke="#dddddd"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"##,
                LEFT - 6.0,
                at + 4.0,
                short(value),
            );
        }
        let mut places: Vec<f64> = self.points().map(|(x, _)| x).collect();
        places.sort_unstable_by(f64::total_cmp);
        places.dedup();
        for place in places {
            let at = x.at(place);
            let _ = writeln!(
                out,
                r##"<line x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{BOTTOM}" stroke="#eeeeee"/><text x="{at:.1}" y="{}" text-anchor="middle">{}</text>"##,
                BOTTOM + 18.0,
                place_name(place),
            );
        }
    }
}

fn draw(out: &mut String, curve: &Curve, index: usize, x: &Axis, y: &Axis) {
    let color = COLORS[index % COLORS.len()];
    // This library's curve stands out; floors are dashed.
    let width = if curve.variant == Variant::Sp { 3.0 } else { 1.5 };
    let dash = if curve.variant.is_floor() { r#" stroke-dasharray="5 4""# } else { "" };
    let places: Vec<String> = curve
        .points
        .iter()
        .map(|&(at, value)| format!("{:.1},{:.1}", x.at(at), y.at(value)))
        .collect();
    let name = curve.variant.name();
    let _ = writeln!(
        out,
        r#"<polyline points="{}" fill="none" stroke="{color}" stroke-width="{width}"{dash}/>"#,
        places.join(" "),
    );
    for (&(at, value), place) in curve.points.iter().zip(&places) {
        let (cx, cy) = place.split_once(',').unwrap_or(("0", "0"));
        let _ = writeln!(
            out,
            r#"<circle cx="{cx}" cy="{cy}" r="3" fill="{color}"><title>{name}: {} at {}</title></circle>"#,
            short(value),
            place_name(at),
        );
    }
    let at = TOP + 10.0 + 20.0 * index as f64;
    let _ = writeln!(
        out,
        r#"<line x1="{}" x2="{}" y1="{at}" y2="{at}" stroke="{color}" stroke-width="{width}"{dash}/><text x="{}" y="{}">{name}</text>"#,
        RIGHT + 15.0,
        RIGHT + 40.0,
        RIGHT + 46.0,
        at + 4.0,
    );
}

/// Sizes are powers of two and read best in their units.
fn place_name(value: f64) -> String {
    match value as u64 {
        v if v >= 1 << 20 && v.is_multiple_of(1 << 20) => format!("{} Mi", v >> 20),
        v if v >= 1 << 10 && v.is_multiple_of(1 << 10) => format!("{} Ki", v >> 10),
        v => v.to_string(),
    }
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 620.0;
const TOP: f64 = 55.0;
const BOTTOM: f64 = 390.0;

/// Told apart by most eyes, also in print.
const COLORS: [&str; 9] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666", "#999900",
    "#000000",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_and_point_is_drawn() {
        let curve = |variant| Curve { variant, points: vec![(16.0, 1e6), (1024.0, 5e5)] };
        let chart = Chart {
            title: "one way".to_owned(),
            across: "bytes",
            up: "messages/s".to_owned(),
            curves: vec![curve(Variant::Sp), curve(Variant::RawBatch)],
        };
        let svg = chart.svg();
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains("1 Ki") && svg.contains("raw-batch"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
