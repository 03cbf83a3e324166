//! The timeline as a picture: one file that needs no other.

use super::story::{Ping, Span, State, Story, Who};
use super::text::{formula, millis};
use super::{CLIENT, VIP};
use std::fmt::Write;
use std::time::Duration;

const WIDTH: u32 = 860;
const HEIGHT: u32 = 318;
/// Where the lanes begin and end.
const LEFT: f64 = 84.0;
const RIGHT: f64 = 836.0;
const LANE_HEIGHT: u32 = 34;
const PINGS_Y: u32 = 206;
const AXIS_Y: u32 = 236;
/// Points that a letter of a lane's label takes.
const LETTER: f64 = 8.0;

/// A card of its own colour, so that the page's does not matter; browsers that
/// prefer dark get a dark one.
const STYLE: &str = "\
  text { font: 13px ui-sans-serif, system-ui, 'DejaVu Sans', sans-serif; fill: #1f2328 }
  .card { fill: #ffffff; stroke: #d0d7de }
  .title { font-size: 16px; font-weight: 600 }
  .dim { fill: #59636e; font-size: 12px }
  .off { fill: #eaeef2 } .INIT { fill: #f2cc60 } .BACKUP { fill: #a5d6ff } .MASTER { fill: #0969da }
  .in-MASTER { fill: #ffffff; font-weight: 600 } .in-BACKUP { fill: #0a3069 }
  .in-INIT { fill: #4d2d00 } .in-off { fill: #59636e }
  .ad, .axis { stroke: #59636e } .answered { fill: #2da44e } .lost { fill: #cf222e }
  .mark { stroke: #cf222e; stroke-dasharray: 4 3 } .bad { fill: #cf222e; font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .card { fill: #0d1117; stroke: #30363d }
    .dim { fill: #9198a1 } .off { fill: #21262d } .in-off { fill: #9198a1 }
    .ad, .axis { stroke: #9198a1 } .bad { fill: #ff7b72 } .mark { stroke: #ff7b72 }
  }
";

fn label(state: State) -> &'static str {
    if state == State::Off { "not running" } else { state.name() }
}

struct Picture<'a> {
    story: &'a Story,
    out: String,
}

/// The picture of a story.
pub fn timeline(story: &Story) -> String {
    let mut p = Picture { story, out: String::new() };
    p.head();
    for (who, y) in Who::ALL.into_iter().zip([84, 142]) {
        p.lane(who, y);
    }
    p.pings();
    p.axis();
    p.marks();
    p.legend();
    p.line(format_args!("</svg>"));
    p.out
}

impl Picture<'_> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.out, "{line}");
    }

    fn x(&self, at: Duration) -> f64 {
        LEFT + (RIGHT - LEFT) * at.as_secs_f64() / self.story.end.as_secs_f64().max(0.001)
    }

    fn text(&mut self, x: f64, y: u32, class: &str, text: &str) {
        self.line(format_args!("<text x='{x:.1}' y='{y}' class='{class}'>{text}</text>"));
    }

    fn bar(&mut self, from: f64, to: f64, y: u32, height: u32, class: &str) {
        let width = to - from;
        self.line(format_args!(
            "<rect x='{from:.1}' y='{y}' width='{width:.1}' height='{height}' class='{class}'/>"
        ));
    }

    fn stroke(&mut self, x: f64, y: u32, length: u32, class: &str) {
        self.line(format_args!("<path d='M{x:.1} {y}v{length}' class='{class}'/>"));
    }

    fn head(&mut self) {
        self.line(format_args!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' \
             width='{WIDTH}' height='{HEIGHT}' role='img'>"
        ));
        self.line(format_args!("<title>Two machines share {VIP}: one dies, the other answers</title>"));
        self.line(format_args!("<style>\n{STYLE}</style>"));
        let (width, height) = (WIDTH - 1, HEIGHT - 1);
        self.line(format_args!(
            "<rect x='0.5' y='0.5' width='{width}' height='{height}' rx='8' class='card'/>"
        ));
        self.text(16.0, 28, "title", &format!("Two machines share {VIP}: one dies, the other answers"));
        let takeover = self.story.takeover().map_or_else(String::new, |t| {
            format!("b takes over {} ms after a's last advertisement; ", millis(t))
        });
        self.text(16.0, 48, "dim", &format!("{takeover}{}", formula()));
    }

    fn lane(&mut self, who: Who, y: u32) {
        self.text(16.0, y + 15, "title", who.name());
        self.text(16.0, y + 30, "dim", &who.ip().to_string());
        for Span { from, to, state } in self.story.spans(who) {
            let (from, to, name) = (self.x(from), self.x(to), state.name());
            self.bar(from, to, y, LANE_HEIGHT, name);
            let label = label(state);
            if to - from > LETTER * (label.len() + 1) as f64 {
                self.text(from + LETTER, y + 22, &format!("in-{name}"), label);
            }
        }
        let story = self.story;
        for ad in story.adverts.iter().filter(|a| a.who == who) {
            self.stroke(self.x(ad.at), y + LANE_HEIGHT + 2, 8, "ad");
        }
    }

    fn pings(&mut self) {
        self.text(16.0, PINGS_Y + 8, "", "pings");
        self.text(16.0, PINGS_Y + 23, "dim", &CLIENT.to_string());
        let story = self.story;
        let answered = |p: &Ping| p.answered.is_some();
        let mut runs = story.pings.chunk_by(|a, b| answered(a) == answered(b)).peekable();
        while let Some(run) = runs.next() {
            let Some(first) = run.first() else { continue };
            // a run lasts until the next one begins
            let end = runs.peek().and_then(|next| next.first()).map_or(story.end, |p| p.sent);
            let (from, to) = (self.x(first.sent), self.x(end));
            if answered(first) {
                self.bar(from, to, PINGS_Y, 10, "answered");
            } else {
                self.bar(from, to, PINGS_Y, 22, "lost");
            }
        }
        if let Some(gap) = story.gap() {
            let text = format!("{} lost in {} ms", gap.lost, millis(gap.length()));
            let y = PINGS_Y - 6;
            self.text(self.x(gap.from) + 4.0, y, "bad", &text);
        }
    }

    fn axis(&mut self) {
        let end = self.story.end.as_secs();
        let step = [1, 2, 5, 10, 20, 60].into_iter().find(|s| end / s <= 20).unwrap_or(600);
        self.line(format_args!("<path d='M{LEFT:.1} {AXIS_Y}H{RIGHT:.1}' class='axis'/>"));
        for second in (0..=end).step_by(step as usize) {
            let x = self.x(Duration::from_secs(second));
            self.stroke(x, AXIS_Y, 6, "axis");
            let unit = if second == 0 { " s" } else { "" };
            self.text(x - 4.0, AXIS_Y + 20, "dim", &format!("{second}{unit}"));
        }
    }

    fn marks(&mut self) {
        let marks = [(self.story.killed(), "a is killed"), (self.story.returned(), "a is back")];
        for (at, what) in marks.into_iter().filter_map(|(at, what)| Some((at?, what))) {
            let x = self.x(at);
            self.stroke(x, 70, AXIS_Y - 70, "mark");
            self.text(x + 4.0, 76, "bad", what);
        }
    }

    fn legend(&mut self) {
        let y = 286;
        let mut x = LEFT;
        let states = [State::Master, State::Backup, State::Init, State::Off].map(|s| (s.name(), label(s)));
        let names = states.into_iter().chain([("answered", "ping answered"), ("lost", "ping lost")]);
        for (class, name) in names {
            self.bar(x, x + 14.0, y, 14, class);
            self.text(x + 20.0, y + 12, "dim", name);
            x += 36.0 + 7.5 * name.len() as f64;
        }
        self.stroke(x + 6.0, y + 3, 8, "ad");
        self.text(x + 14.0, y + 12, "dim", "advertisement");
    }
}
