//! The plots of the report, as SVG.

use std::fmt::Write as _;

use crate::age::BEFORE;

const TITLE: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 300" font-family="sans-serif" font-size="12">
<rect width="600" height="300" fill="#fff"/>
<path d="M70 40V250H560" fill="none" stroke="#888"/>
"##;
const OURS: &str = "#258";
const OTHER: &str = "#c33";

/// The idle tick against rows, the rows on a logarithmic axis.
pub fn idle(points: &[(u64, f64)]) -> String {
    let highest = points.iter().map(|(_, ms)| *ms).fold(5.0, f64::max) * 1.1;
    let x = |changes: f64| 70.0 + (changes / 10_000.0).log10() / 2.0 * 480.0;
    let y = |ms: f64| 250.0 - ms / highest * 210.0;
    let points: Vec<Point> = points
        .iter()
        .map(|(changes, ms)| Point {
            x: x(*changes as f64),
            y: y(*ms),
            at: changes.to_string(),
            says: format!("{ms:.2}"),
        })
        .collect();
    let bar = format!(
        r##"<path d="M70 {0:.1}H560" stroke="{OTHER}" stroke-dasharray="4"/><text x="480" y="{1:.1}" fill="{OTHER}">bar: 5 ms</text>"##,
        y(5.0),
        y(5.0) - 5.0
    );
    let title = title("Idle tick in ms against change rows (median of 50)");
    format!("{TITLE}{title}{bar}\n{}</svg>\n", line(&points, OURS))
}

/// An attempt without its call against the iterations of its mission, both on logarithmic axes, and what it was before.
pub fn age(points: &[(i32, f64)]) -> String {
    let x = |iterations: i32| 70.0 + (f64::from(iterations) / 20.0).log10() / 2.5 * 480.0;
    let y = |ms: f64| 250.0 - ms.max(1.0).log10() / 4.5 * 210.0;
    let of = |points: &[(i32, f64)]| -> Vec<Point> {
        let point = |(iterations, ms): &(i32, f64)| Point {
            x: x(*iterations),
            y: y(*ms),
            at: iterations.to_string(),
            says: format!("{ms:.0}"),
        };
        points.iter().map(point).collect()
    };
    let title = title("Attempt without its call in ms against iterations of its mission");
    let legend = format!(
        r##"<text x="90" y="60" fill="{OURS}">now</text><text x="130" y="60" fill="{OTHER}">before, when each attempt read all rows twice</text>"##
    );
    format!("{TITLE}{title}{legend}\n{}{}</svg>\n", line(&of(&BEFORE), OTHER), line(&of(points), OURS))
}

struct Point {
    x: f64,
    y: f64,
    /// Its place on the axis, in words.
    at: String,
    says: String,
}

fn title(text: &str) -> String {
    format!("<text x=\"20\" y=\"24\" font-size=\"14\">{text}</text>\n")
}

fn line(points: &[Point], colour: &str) -> String {
    let path: Vec<String> = points.iter().map(|point| format!("{:.1},{:.1}", point.x, point.y)).collect();
    let mut svg = format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
        path.join(" ")
    );
    for Point { x, y, at, says } in points {
        let _ = writeln!(
            svg,
            r##"<circle cx="{x:.1}" cy="{y:.1}" r="4" fill="{colour}"/><text x="{x:.1}" y="{:.1}" text-anchor="middle">{says}</text><text x="{x:.1}" y="270" text-anchor="middle">{at}</text>"##,
            y - 10.0
        );
    }
    svg
}
