//! The picture of `docs/benchmarks.md`: bars on a logarithmic scale.

use crate::figures::Figures;
use crate::lockless::Part;
use crate::read::{self, Order, Way};
use std::fmt::Write;

/// The file beside the document.
pub(crate) const READS: &str = "reads.svg";

const STYLE: &str = "\
.bg{fill:#fff}text{font:13px ui-sans-serif,'DejaVu Sans',Helvetica,sans-serif;fill:#1b2733}\
.small{font-size:11px;fill:#51606f}.title{font-weight:600}.grid{stroke:#dde3e8}\
.quiet{fill:#2d6cb5}.writer{fill:#c08a1e}";
const LEFT: f64 = 240.0;
const RIGHT: f64 = 820.0;
const TOP: f64 = 60.0;
const ROW: f64 = 38.0;
const BAR: f64 = 14.0;
/// Nanoseconds at both ends of the scale, as powers of ten.
const DECADES: [i32; 2] = [-1, 4];

/// Latencies of one reader, alone and beside a writer; nothing if they were
/// not measured.
pub(crate) fn reads(figures: &Figures) -> Option<String> {
    let of = |way, churn| figures.value(Part::Read.name(), &read::key(way, Order::Latency, 1, churn));
    of(Way::Ours, false)?;
    let height = TOP + ROW * Way::ALL.len() as f64 + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 {height}\" width=\"900\" height=\"{height}\" \
         role=\"img\" aria-label=\"Nanoseconds a read\"><style>{STYLE}</style>\n\
         <rect class=\"bg\" width=\"900\" height=\"{height}\"/>\n"
    );
    text(
        &mut svg,
        "title",
        [20.0, 24.0],
        "Reading a pointer that may be switched: ns until its value is here",
    );
    for (x, class, what) in [(LEFT, "quiet", "one reader"), (LEFT + 140.0, "writer", "beside a writer")] {
        rect(&mut svg, class, [x, 34.0, 12.0, 12.0]);
        text(&mut svg, "small", [x + 18.0, 44.0], what);
    }
    for decade in DECADES[0]..=DECADES[1] {
        let (x, bottom) = (place(10f64.powi(decade)), height - 24.0);
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{x:.1} {TOP} V{bottom}\"/>");
        text(&mut svg, "small", [x - 8.0, bottom + 14.0], &format!("{}", 10f64.powi(decade)));
    }
    for (i, way) in Way::ALL.into_iter().enumerate() {
        let y = TOP + ROW * i as f64 + 4.0;
        text(&mut svg, "", [20.0, y + BAR + 4.0], &way.title().replace('`', ""));
        for (churn, class, y) in [(false, "quiet", y), (true, "writer", y + BAR)] {
            let Some(ns) = of(way, churn) else { continue };
            rect(&mut svg, class, [LEFT, y, place(ns) - LEFT, BAR - 1.0]);
            text(&mut svg, "small", [place(ns) + 5.0, y + BAR - 3.0], &format!("{ns:.1}"));
        }
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

/// Where on the scale.
fn place(ns: f64) -> f64 {
    let [from, to] = DECADES.map(f64::from);
    LEFT + (RIGHT - LEFT) * ((ns.log10() - from) / (to - from)).clamp(0.0, 1.0)
}

fn rect(svg: &mut String, class: &str, [x, y, w, h]: [f64; 4]) {
    let _ = writeln!(svg, "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w:.1}\" height=\"{h}\"/>");
}

fn text(svg: &mut String, class: &str, [x, y]: [f64; 2], what: &str) {
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y}\">{what}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_picture_of_what_was_measured_and_none_of_nothing() {
        let mut f = Figures::default();
        assert_eq!(reads(&f), None);
        f.push("read", &read::key(Way::Ours, Order::Latency, 1, false), 10.0);
        let svg = reads(&f).unwrap();
        assert_eq!((svg.matches("class=\"quiet\"").count(), svg.matches("class=\"writer\"").count()), (2, 1));
    }

    #[test]
    fn a_decade_is_as_wide_as_another() {
        let wide = |ns| place(ns * 10.0) - place(ns);
        assert!((wide(1.0) - wide(100.0)).abs() < 1e-9);
        assert_eq!((place(1e-9), place(1e9)), (LEFT, RIGHT));
    }
}
