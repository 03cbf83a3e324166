//! `timeline.svg`: a run at a glance.
//!
//! ```text
//!   title, legend
//!   faults     |  ====lan net0: loss 0.2====     |
//!              0 s        5 s       10 s      15 s
//!   a          |^--------------x          ^------|   machines: boot, crash
//!   net0
//!   a carp0    |..BBBBMMMMMMMMM            BBBMMM|   lanes; below each its
//!              |      | | | |                | | |   advertisements
//!   c pings    |-------- xxx --------------------|
//!   verdicts
//! ```

mod lanes;
mod machines;
pub(crate) mod picture;
mod rows;
mod text;
pub(crate) mod words;

#[cfg(test)]
pub(crate) mod tests;

use super::record::{Event, State};
use maud::{Markup, PreEscaped, html};
use picture::{Kind, Lane, Picture};
pub(crate) use rows::sign;
use rows::{Row, glyph};
pub(crate) use text::clean;
use text::{cut, px, width, wrap};

/// The picture's width.
const WIDTH: f64 = 1200.0;
/// Left and right of everything.
const MARGIN: f64 = 20.0;
/// Faults that are shown with their text; the others share a row.
const FAULT_ROWS: usize = 8;
/// Verdicts that are shown.
const VERDICTS: usize = 40;

/// The picture of a run: SVG that needs nothing else, 1200 pixels wide. What
/// falls within a pixel is drawn once, so the size does not grow with the
/// length of the run.
pub fn svg(events: &[Event]) -> String {
    draw(&Picture::of(events, usize::MAX))
}

/// The picture as SVG.
pub(crate) fn draw(picture: &Picture) -> String {
    let mut page = Page::new(picture);
    page.head();
    let faults = page.faults();
    page.axis();
    page.machines();
    page.lanes();
    page.pings();
    let bottom = page.y;
    page.axis();
    page.shade(&faults, bottom);
    page.violations(bottom);
    page.verdicts();
    page.finish()
}

/// The picture as far as it is drawn.
struct Page<'a> {
    picture: &'a Picture,
    /// Where time begins, and where it ends.
    left: f64,
    right: f64,
    /// Everything above is drawn.
    y: f64,
    /// Where the grid begins.
    top: f64,
    /// Behind everything, and before it.
    back: String,
    front: String,
    /// Where each machine and LAN is drawn, for the faults.
    places: Vec<Place>,
}

/// The height that a machine, and a LAN, has on the page.
struct Place {
    lan: Option<String>,
    machine: String,
    y: f64,
    height: f64,
}

impl<'a> Page<'a> {
    fn new(picture: &'a Picture) -> Page<'a> {
        let pings = picture.pings.iter().map(|p| format!("{} → {}", p.client, p.to));
        let labels = picture.lanes.iter().map(Lane::name).chain(pings);
        let machines = picture.machines.iter().map(|m| m.name.clone());
        let widest = labels.chain(machines).map(|l| width(&l, 12.0)).fold(110.0, f64::max);
        Page {
            picture,
            left: MARGIN + widest.min(260.0) + 14.0,
            right: WIDTH - MARGIN - 10.0,
            y: 0.0,
            top: 0.0,
            back: String::new(),
            front: String::new(),
            places: Vec::new(),
        }
    }

    /// Where a moment is.
    fn x(&self, t: u64) -> f64 {
        self.left + (self.right - self.left) * (t as f64 / self.picture.end as f64)
    }

    fn put(&mut self, markup: &Markup) {
        self.front.push_str(&markup.0);
    }

    /// Title, what the run was, and the legend.
    fn head(&mut self) {
        let p = self.picture;
        let verdict = match p.passed {
            Some(true) => ("ok", "PASSED"),
            Some(false) => ("bad", "FAILED"),
            None => ("dim", "NOT ENDED"),
        };
        let badge = width(verdict.1, 13.0) + 24.0;
        let title = cut(&p.scenario, 22.0, WIDTH - 3.0 * MARGIN - badge);
        let what = format!("seed {} · {} time · {}", p.seed, p.clock, words::span(p.end));
        let at = WIDTH - MARGIN - badge;
        self.put(&html! {
            text.title x=(MARGIN) y="40" { (title) }
            text.dim x=(MARGIN) y="61" { (what) }
            rect class={"badge " (verdict.0)} x=(px(at)) y="22" width=(px(badge)) height="26" rx="13" {}
            text.verdict x=(px(at + badge / 2.0)) y="39.5" text-anchor="middle" { (verdict.1) }
        });
        self.y = 86.0;
        self.legend();
    }

    fn legend(&mut self) {
        let swatch = |class: &str| html! { rect class=(class) x="0" y="-9" width="18" height="11" rx="2" {} };
        let states = [State::Absent, State::Init, State::Backup, State::Master];
        let mut all: Vec<(String, Markup)> =
            states.map(|s| (s.name().to_owned(), swatch(&format!("state {}", s.name())))).into();
        all.push(("advertisement".into(), html! { path.advert d="M9 -8v9" {} }));
        all.push(("changes in a row".into(), swatch("many")));
        all.push(("fault".into(), swatch("fault")));
        all.push(("lost ping".into(), swatch("lost")));
        let glyphs = Kind::ALL.map(|(kind, name)| (name.to_owned(), glyph(kind, 9.0, -4.0)));
        let mut x = MARGIN;
        for (name, sign) in all.into_iter().chain(glyphs) {
            let room = 24.0 + width(&name, 11.0) + 12.0;
            if x + room > WIDTH - MARGIN {
                (x, self.y) = (MARGIN, self.y + 18.0);
            }
            self.put(&html! {
                g transform={"translate(" (px(x)) " " (px(self.y)) ")"} {
                    (sign)
                    text.small x="24" y="0" { (name) }
                }
            });
            x += room;
        }
        self.y += 16.0;
    }

    /// The faults' names, each on a row where it has room, and where they
    /// begin to shade what is below.
    fn faults(&mut self) -> Vec<f64> {
        let p = self.picture;
        if p.faults.is_empty() {
            return Vec::new();
        }
        self.heading("faults");
        let mut free = [self.left; FAULT_ROWS];
        let mut bottoms = Vec::new();
        for fault in &p.faults {
            let (from, to) = (self.x(fault.from), self.x(fault.to).max(self.x(fault.from) + 1.0));
            let name = cut(&fault.text, 11.0, (self.right - from).max(from - self.left) - 8.0);
            let room = width(&name, 11.0) + 8.0;
            // Where there is no room after its beginning it stands before it.
            let after = from + room <= self.right || from - room < self.left;
            let (at, anchor) = if after { (from + 4.0, "start") } else { (from - 4.0, "end") };
            let begin = if after { from } else { from - room };
            let row = free.iter().position(|f| *f <= begin);
            let named = row.is_some();
            let row = row.unwrap_or(FAULT_ROWS);
            if let Some(free) = free.get_mut(row) {
                *free = to.max(begin + room) + 3.0;
            }
            let y = self.y + 18.0 * row as f64;
            let tip = format!("{}\n{}", fault.text, text::period(fault.from, fault.to));
            self.put(&html! {
                g {
                    title { (tip) }
                    rect.fault.name x=(px(from)) y=(px(y)) width=(px(to - from)) height="15" {}
                    @if named { text.small x=(px(at)) y=(px(y + 11.5)) text-anchor=(anchor) { (name) } }
                }
            });
            bottoms.push(y + 15.0);
        }
        self.y = bottoms.iter().fold(self.y, |y, b| y.max(*b)) + 8.0;
        bottoms
    }

    /// The band of each fault below its name, over what it concerns.
    fn shade(&mut self, tops: &[f64], bottom: f64) {
        for (fault, top) in self.picture.faults.iter().zip(tops) {
            let (from, to) = (self.x(fault.from), self.x(fault.to).max(self.x(fault.from) + 1.0));
            let mut band = |y: f64, height: f64| {
                let (x, y, width, height) = (px(from), px(y), px(to - from), px(height));
                let band = html! { rect.fault x=(x) y=(y) width=(width) height=(height) {} };
                self.back.push_str(&band.0);
            };
            if fault.lan.is_none() && fault.machine.is_none() {
                band(*top, bottom - top);
                continue;
            }
            let concerns = |p: &&Place| {
                let machine = fault.machine.as_ref().is_none_or(|m| *m == p.machine);
                machine && fault.lan.as_ref().is_none_or(|l| p.lan.as_ref() == Some(l))
            };
            // Rows that touch get one band.
            let mut bands: Vec<(f64, f64)> = Vec::new();
            for place in self.places.iter().filter(concerns) {
                let (top, end) = (place.y - 4.0, place.y + place.height + 2.0);
                match bands.last_mut() {
                    Some(last) if top - last.1 < 6.0 => last.1 = end,
                    _ => bands.push((top, end)),
                }
            }
            bands.into_iter().for_each(|(top, end)| band(top, end - top));
        }
    }

    /// A time axis here; the first of two begins the grid, the second ends it.
    fn axis(&mut self) {
        let first = self.top == 0.0;
        let most = ((self.right - self.left) / 90.0) as u64;
        for (t, label) in words::axis(0, self.picture.end, most) {
            let x = self.x(t);
            let half = width(&label, 11.0) / 2.0;
            let at = x.min(WIDTH - 4.0 - half);
            self.put(&html! {
                text.small.dim x=(px(at)) y=(px(self.y + 12.0)) text-anchor="middle" { (label) }
            });
            if !first {
                let (x, top, end) = (px(x), px(self.top), px(self.y));
                self.back.push_str(&html! { path.grid d={"M" (x) " " (top) "V" (end)} {} }.0);
            }
        }
        self.y += 18.0;
        if first {
            self.top = self.y;
        }
    }

    fn heading(&mut self, name: &str) {
        let room = WIDTH - 2.0 * MARGIN;
        let name = cut(name, 12.0, room);
        self.put(&html! { text.head x=(MARGIN) y=(px(self.y + 13.0)) { (name) } });
        self.y += 20.0;
    }

    /// A line through everything where what must always hold did not.
    fn violations(&mut self, bottom: f64) {
        for verdict in self.picture.verdicts.iter().filter(|v| v.violated) {
            let x = px(self.x(verdict.at));
            let tip = format!("{} at {}", verdict.text, words::moment(verdict.at));
            self.put(&html! {
                path.violation d={"M" (x) " " (px(self.top)) "V" (px(bottom))} { title { (tip) } }
            });
        }
    }

    /// What stands left of a row, in as much room as there is.
    fn label(&mut self, name: &str, more: &str, middle: f64, size: f64) {
        let room = self.left - MARGIN - 10.0;
        let tip = if more.is_empty() { name.to_owned() } else { format!("{name}\n{more}") };
        self.put(&html! {
            text.label x=(px(self.left - 10.0)) y=(px(middle + size * 0.35)) style={"font-size:" (size) "px"} text-anchor="end" {
                (cut(name, size, room))
                title { (tip) }
            }
        });
    }

    fn machines(&mut self) {
        if self.picture.machines.is_empty() {
            return;
        }
        self.heading("machines");
        for machine in &self.picture.machines {
            self.label(&machine.name, "", self.y + 10.0, 12.0);
            let row = Row { left: self.left, right: self.right, end: self.picture.end, y: self.y };
            let drawn = row.machine(machine);
            self.put(&drawn);
            self.place(None, &machine.name, 18.0);
            self.y += 22.0;
        }
        self.y += 6.0;
    }

    fn place(&mut self, lan: Option<&String>, machine: &str, height: f64) {
        let (lan, machine, y) = (lan.cloned(), machine.to_owned(), self.y);
        self.places.push(Place { lan, machine, y, height });
    }

    fn lanes(&mut self) {
        let small = self.picture.lanes.len() > 40;
        for lan in self.picture.lanes.chunk_by(|a, b| a.lan == b.lan) {
            self.heading(lan[0].lan.as_deref().unwrap_or("on no LAN"));
            for vhid in lan.chunk_by(|a, b| a.vhid == b.vhid) {
                for lane in vhid {
                    let (band, pitch, size) = if small { (8.0, 13.0, 9.0) } else { (16.0, 26.0, 12.0) };
                    self.label(&lane.name(), "", self.y + band / 2.0, size);
                    let row = Row { left: self.left, right: self.right, end: self.picture.end, y: self.y };
                    let drawn = row.lane(lane, band);
                    self.put(&drawn);
                    self.place(lane.lan.as_ref(), &lane.machine, pitch - 3.0);
                    self.y += pitch;
                }
                self.y += if small { 2.0 } else { 4.0 };
            }
            self.y += 4.0;
        }
    }

    fn pings(&mut self) {
        if self.picture.pings.is_empty() {
            return;
        }
        self.heading("pings");
        for pings in &self.picture.pings {
            let name = format!("{} → {}", pings.client, pings.to);
            self.label(&name, "", self.y + 11.0, 12.0);
            let lost = format!("{} of {} lost", pings.lost, pings.sent);
            self.label(&lost, "", self.y + 27.0, 11.0);
            let row = Row { left: self.left, right: self.right, end: self.picture.end, y: self.y };
            let drawn = row.pings(pings);
            self.put(&drawn);
            self.place(None, &pings.client, 50.0);
            self.y += 62.0;
        }
    }

    /// Which expectations hold; those that do not come first if there are too
    /// many for all.
    fn verdicts(&mut self) {
        let all = &self.picture.verdicts;
        if all.is_empty() {
            return;
        }
        self.y += 8.0;
        self.heading("expectations");
        let mut shown: Vec<_> = all.iter().collect();
        if all.len() > VERDICTS {
            shown.sort_by_key(|v| v.holds);
            shown.truncate(VERDICTS);
        }
        for verdict in shown {
            let (class, sign) = if verdict.holds { ("ok", "✓") } else { ("bad", "✗") };
            let colon = if verdict.seen.is_empty() { "" } else { ": " };
            let at = words::moment(verdict.at);
            let text = format!("{}{colon}{} (at {at})", verdict.text, verdict.seen);
            self.put(&html! { text.sign.(class) x=(MARGIN) y=(px(self.y + 12.0)) { (sign) } });
            for line in wrap(&text, 12.0, WIDTH - 2.0 * MARGIN - 20.0) {
                self.put(&html! { text x=(MARGIN + 20.0) y=(px(self.y + 12.0)) { (line) } });
                self.y += 18.0;
            }
        }
        if let more @ 1.. = all.len().saturating_sub(VERDICTS) {
            self.put(&html! { text.dim x=(MARGIN + 20.0) y=(px(self.y + 12.0)) { "and " (more) " more" } });
            self.y += 18.0;
        }
    }

    fn finish(self) -> String {
        let height = (self.y + 16.0).ceil();
        let title = format!("{}, seed {}", self.picture.scenario, self.picture.seed);
        let page = html! {
            svg.timeline xmlns="http://www.w3.org/2000/svg" width=(WIDTH) height=(height)
                viewBox={"0 0 " (WIDTH) " " (height)} role="img" {
                title { (title) }
                style { (PreEscaped(include_str!("timeline.css"))) }
                defs {
                    pattern #hatch width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                        rect width="6" height="6" fill="#f6f6f6" {}
                        path d="M0 0V6" stroke="#d4d4d4" stroke-width="3" {}
                    }
                }
                rect.paper width="100%" height="100%" {}
                (PreEscaped(&self.back))
                (PreEscaped(&self.front))
            }
        };
        clean(page.into_string())
    }
}
