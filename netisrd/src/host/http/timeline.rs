//! The states of the last day, and their picture.

use super::super::json::{Wall, state_name};
use super::super::parts::Turn;
use super::super::watcher::Change;
use crate::kern::devctl::{Vhost, Vhosted};
use chrono::{DurationRound, TimeDelta};
use compat::net::if_::IfName;
use compat::sys::time::Time;
use libcarp::softc::State;
use maud::{Markup, html};
use std::collections::VecDeque;
use std::time::Duration;

/// What is remembered.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// States of one carp interface that are remembered.
const SPANS_MAX: usize = 2000;
/// Carp interfaces that are gone and still remembered.
const GONE_MAX: usize = 64;
/// Carp interfaces in the picture.
const LANES_MAX: usize = 128;

const WIDTH: f64 = 960.0;
const LABEL: f64 = 150.0;
const LANE: f64 = 26.0;
/// A state, however short.
const NARROWEST: f64 = 1.0;

/// The states of one carp interface, and since when.
struct Lane {
    of: Vhost,
    spans: VecDeque<(Time, State)>,
    gone: Option<Time>,
}

/// Those of all.
#[derive(Default)]
pub(super) struct Timeline(Vec<Lane>);

/// A lane for another process: index, name, vhid, parent; when it came to which
/// state; when it went.
pub(super) type Memory = (u16, String, u8, Option<String>, Vec<(u64, i32)>, Option<u64>);

impl Timeline {
    /// What another process needs to go on with it.
    pub(super) fn memory(&self) -> Vec<Memory> {
        let name = |name: IfName| name.to_string();
        let lane = |l: &Lane| {
            let spans = l.spans.iter().map(|(at, state)| (at.0, *state as i32)).collect();
            (l.of.if_index, name(l.of.ifname), l.of.vhid, l.of.parent.map(name), spans, l.gone.map(|at| at.0))
        };
        self.0.iter().map(lane).collect()
    }

    /// Goes on with another's; what makes no sense is forgotten.
    pub(super) fn of(memory: Vec<Memory>) -> Timeline {
        let lane = |(if_index, ifname, vhid, parent, spans, gone): Memory| {
            let parent = parent.and_then(|parent| IfName::new(&parent));
            let of = Vhost { if_index, ifname: IfName::new(&ifname)?, vhid, parent };
            let spans: Vec<(u64, i32)> = spans;
            let spans = spans.into_iter().filter_map(|(at, state)| Some((Time(at), State::from_i32(state)?)));
            Some(Lane { of, spans: spans.collect(), gone: gone.map(Time) })
        };
        Timeline(memory.into_iter().filter_map(lane).collect())
    }

    /// Takes note of what a turn has to tell.
    pub(super) fn see(&mut self, turn: &Turn<'_>) {
        if !turn.changes.is_empty() {
            self.note(turn.changes, turn.watcher.vhosts(), turn.now);
        }
    }

    fn note(&mut self, changes: &[Change], vhosts: &[Vhosted], now: Time) {
        for change in changes {
            match change {
                Change::Transition(n) => self.lane(n.of).spans.push_back((n.at, n.t.new)),
                Change::Destroyed(v) => self.lane(v.of).gone = Some(now),
                _ => {}
            }
        }
        // One that is new, and whatever was missed.
        for v in vhosts {
            let lane = self.lane(v.of);
            if lane.spans.back().map(|(_, state)| *state) != Some(v.state) {
                lane.spans.push_back((v.since, v.state));
            }
        }
        self.forget(now);
    }

    fn lane(&mut self, of: Vhost) -> &mut Lane {
        let found = self.0.iter().position(|l| l.of.if_index == of.if_index && l.gone.is_none());
        let at = found.unwrap_or_else(|| {
            self.0.push(Lane { of, spans: VecDeque::new(), gone: None });
            self.0.len() - 1
        });
        self.0[at].of = of;
        &mut self.0[at]
    }

    fn forget(&mut self, now: Time) {
        let is_old = |t: Time| now - t > DAY;
        for lane in &mut self.0 {
            // A state lasts until the next one begins.
            while lane.spans.get(1).is_some_and(|(t, _)| is_old(*t)) || lane.spans.len() > SPANS_MAX {
                lane.spans.pop_front();
            }
        }
        let mut gone = self.0.iter().filter(|l| l.gone.is_some()).count();
        self.0.retain(|l| {
            let Some(t) = l.gone else { return true };
            let keep = !is_old(t) && gone <= GONE_MAX;
            if !keep {
                gone -= 1;
            }
            keep
        });
    }

    /// The picture, of what is a day old by then: a state may have lasted for many.
    pub(super) fn svg(&mut self, wall: &Wall, now: Time) -> Markup {
        self.forget(now);
        let (gone, living): (Vec<&Lane>, Vec<&Lane>) = self.0.iter().partition(|lane| lane.gone.is_some());
        let lanes: Vec<&Lane> = living.into_iter().chain(gone).take(LANES_MAX).collect();
        let height = LANE * lanes.len() as f64 + 24.0;
        html! {
            svg role="img" viewBox=(format!("0 0 {WIDTH} {height}")) width="100%" {
                title { "States of the last 24 hours" }
                @for (i, lane) in lanes.iter().enumerate() {
                    (lane.draw(LANE * i as f64, wall, now))
                }
                (axis(LANE * lanes.len() as f64, wall, now))
            }
            @if lanes.len() < self.0.len() {
                p { (self.0.len() - lanes.len()) " more are not shown." }
            }
        }
    }
}

impl Lane {
    fn draw(&self, y: f64, wall: &Wall, now: Time) -> Markup {
        let ends = self.spans.iter().skip(1).map(|(t, _)| *t).chain([self.gone.unwrap_or(now)]);
        let spans: Vec<_> = self.spans.iter().zip(ends).collect();
        let (mut drawn, mut bars) = (WIDTH, Vec::new());
        // However short, a state is seen, unless a later one has its place.
        for ((from, state), to) in spans.into_iter().rev() {
            let (begin, end) = (place(*from, now), place(to, now));
            if drawn > LABEL && (begin < drawn || end <= drawn) {
                let right = end.min(drawn);
                let width = (right - begin).max(NARROWEST);
                drawn = right - width;
                bars.push((drawn, width, *state, *from, to));
            }
        }
        html! {
            text x="0" y=(y + 17.0) { (name(&self.of)) }
            @for (x, width, state, from, to) in bars {
                rect class=(state_name(state)) x=(px(x)) y=(y + 3.0) width=(px(width)) height=(LANE - 6.0) {
                    title { (state_name(state)) ", " (short(wall, from)) " to " (short(wall, to)) }
                }
            }
        }
    }
}

/// `carp0 vhid 1`
pub(super) fn name(of: &Vhost) -> String {
    match of.vhid {
        0 => of.ifname.to_string(),
        vhid => format!("{} vhid {vhid}", of.ifname),
    }
}

fn px(x: f64) -> String {
    format!("{x:.2}")
}

fn short(wall: &Wall, t: Time) -> String {
    wall.when(t).format("%Y-%m-%d %H:%M:%S").to_string()
}

fn place(t: Time, now: Time) -> f64 {
    let ago = (now - t).as_secs_f64() / DAY.as_secs_f64();
    WIDTH - ago.min(1.0) * (WIDTH - LABEL)
}

/// Every third hour.
fn axis(y: f64, wall: &Wall, now: Time) -> Markup {
    let end = wall.when(now);
    let three = TimeDelta::hours(3);
    let first = end.duration_trunc(three).unwrap_or(end);
    let ticks = (0..8).map(|n| first - three * n).map(|t| {
        let ago = (end - t).num_milliseconds() as f64 / 1000.0 / DAY.as_secs_f64();
        (WIDTH - ago * (WIDTH - LABEL), t.format("%H:%M").to_string())
    });
    html! {
        @for (x, label) in ticks {
            @if x > LABEL + 20.0 && x < WIDTH - 20.0 {
                line x1=(px(x)) y1="0" x2=(px(x)) y2=(y) {}
                text x=(px(x)) y=(y + 17.0) text-anchor="middle" { (label) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kern::devctl::Notice;
    use compat::net::if_::IfName;
    use libcarp::{Reason, Transition};

    const HOUR: u64 = 3_600_000_000_000;

    fn of(if_index: u16) -> Vhost {
        Vhost { if_index, ifname: IfName([0; 16]), vhid: 1, parent: None }
    }

    fn vhosted(if_index: u16, state: State, since: Time) -> Vhosted {
        Vhosted {
            of: of(if_index),
            state,
            since,
            reason: Reason::Started,
            entered: [0; 3],
            advbase: 1,
            advskew: 0,
            demoted_advskew: 0,
            name: IfName([0; 16]),
            addresses: Vec::new(),
            living: Vec::new(),
            peers: Vec::new(),
        }
    }

    fn to(if_index: u16, new: State, at: Time) -> Change {
        let t = Transition { old: State::Init, new, reason: Reason::Started };
        Change::Transition(Notice { of: of(if_index), t, at, addresses: Vec::new() })
    }

    fn spans(t: &Timeline, lane: usize) -> Vec<(Time, State)> {
        t.0[lane].spans.iter().copied().collect()
    }

    #[test]
    fn a_day_is_remembered_and_what_was_missed_is_seen_at_the_next_look() {
        let mut t = Timeline::default();
        let init = vhosted(1, State::Init, Time(1));
        t.note(&[Change::Created(init.clone())], &[init], Time(2));
        assert_eq!(spans(&t, 0), [(Time(1), State::Init)]);
        let master = vhosted(1, State::Master, Time(HOUR));
        t.note(&[to(1, State::Backup, Time(5)), Change::Missed(3)], &[master], Time(HOUR));
        let three = [(Time(1), State::Init), (Time(5), State::Backup), (Time(HOUR), State::Master)];
        assert_eq!(spans(&t, 0), three);
        // A day later only what began within it, and what was so when it began.
        let late = Time(26 * HOUR);
        t.note(&[to(1, State::Backup, late)], &[vhosted(1, State::Backup, late)], late);
        assert_eq!(spans(&t, 0), [(Time(HOUR), State::Master), (late, State::Backup)]);
        // One that is gone is shown as long, and another one of its index is another one.
        t.note(&[Change::Destroyed(vhosted(1, State::Init, late))], &[], late);
        let again = vhosted(1, State::Init, Time(27 * HOUR));
        t.note(&[Change::Created(again.clone())], std::slice::from_ref(&again), Time(27 * HOUR));
        assert_eq!((t.0.len(), t.0[0].gone), (2, Some(late)));
        t.note(&[Change::Demoted(1)], &[again], Time(51 * HOUR));
        assert_eq!((t.0.len(), t.0[0].gone), (1, None));
    }

    /// How often it is in the picture.
    fn count(t: &mut Timeline, now: Time, what: &str) -> usize {
        t.svg(&Wall::at(now), now).into_string().matches(what).count()
    }

    #[test]
    fn what_is_over_for_a_day_is_in_no_picture_though_nothing_has_happened_since() {
        let mut t = Timeline::default();
        let (up, late) = (vhosted(1, State::Master, Time(2 * HOUR)), Time(20 * HOUR));
        t.note(&[to(1, State::Backup, Time(HOUR))], &[up.clone(), vhosted(2, State::Init, Time(HOUR))], late);
        t.note(&[Change::Destroyed(vhosted(2, State::Init, late))], &[up], late);
        let bars = |t: &mut Timeline, now| {
            ["class=\"BACKUP\"", "class=\"MASTER\"", "class=\"INIT\""].map(|c| count(t, now, c))
        };
        assert_eq!(bars(&mut t, late), [1, 1, 1]);
        assert_eq!(bars(&mut t, Time(27 * HOUR)), [0, 1, 1]);
        assert_eq!(bars(&mut t, Time(200 * HOUR)), [0, 1, 0]);
        // The day on which it began is told.
        let began = Wall::at(Time(200 * HOUR)).when(Time(2 * HOUR)).format("%Y-%m-%d %H:").to_string();
        assert_eq!(count(&mut t, Time(200 * HOUR), &format!("MASTER, {began}")), 1);
    }

    #[test]
    fn what_is_gone_takes_no_place_in_the_picture_from_what_is_there() {
        let (mut t, now) = (Timeline::default(), Time(HOUR));
        for n in 1..=20 {
            let v = vhosted(n, State::Init, now);
            t.note(&[Change::Created(v.clone())], std::slice::from_ref(&v), now);
            t.note(&[Change::Destroyed(v)], &[], now);
        }
        let living: Vec<Vhosted> = (21..=147).map(|n| vhosted(n, State::Backup, now)).collect();
        t.note(&[], &living, now);
        let (backups, inits) = ("class=\"BACKUP\"", "class=\"INIT\"");
        assert_eq!((count(&mut t, now, backups), count(&mut t, now, inits)), (127, 1));
        assert!(t.svg(&Wall::at(now), now).into_string().contains("19 more are not shown."));
    }

    #[test]
    fn however_much_happens_the_memory_and_the_picture_are_bounded() {
        let mut t = Timeline::default();
        let now = Time(2 * HOUR);
        for n in 0..10_000 {
            let state = if n % 2 == 0 { State::Backup } else { State::Master };
            t.note(&[to(1, state, Time(HOUR + n * 1000))], &[vhosted(1, state, now)], now);
        }
        assert_eq!(t.0[0].spans.len(), SPANS_MAX);
        for n in 2..500 {
            let v = vhosted(n, State::Init, now);
            t.note(
                &[Change::Created(v.clone()), Change::Destroyed(v)],
                &[vhosted(1, State::Master, now)],
                now,
            );
        }
        assert_eq!(t.0.len(), GONE_MAX + 1);
        let svg = t.svg(&Wall::at(now), now).into_string();
        assert!(svg.len() < 200_000, "{}", svg.len());
        assert!(svg.contains("class=\"MASTER\""));
    }
}
