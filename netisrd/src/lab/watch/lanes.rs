//! What stands in the columns of a row, each of which is a bit of time.

use super::rows::Row;
use super::show::{Show, Shown};
use super::story::{Pings, fate};
use super::view::{BAD, DIM, FAULT};
use crate::lab::record::{Event, State};
use crate::lab::timeline::picture::{Fault, Kind, Lane, Machine, Power, Span};
use crate::lab::timeline::words;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

/// More changes than one in a column.
const MANY: char = '*';

/// The columns of a row.
pub(super) struct Columns<'a> {
    show: &'a Show<'a>,
    shown: Shown,
    area: Rect,
}

impl<'a> Columns<'a> {
    pub(super) fn new(show: &'a Show<'a>, area: Rect) -> Columns<'a> {
        Columns { show, shown: show.shown(area.width), area }
    }

    /// Each column of which something is known: where it is, and from when
    /// until when.
    fn each(&self) -> impl Iterator<Item = (u16, u64, u64)> + use<> {
        let (Shown { from, column, .. }, now, left) = (self.shown, self.show.now, self.area.x);
        (0..self.area.width).map_while(move |c| {
            let begin = from.saturating_add(column.saturating_mul(c.into()));
            (begin <= now).then(|| (left + c, begin, begin.saturating_add(column).min(now.saturating_add(1))))
        })
    }

    /// The moments that have a label.
    pub(super) fn axis(&self, y: u16, buf: &mut Buffer) {
        let Shown { from, column, columns } = self.shown;
        let until = from + column * columns;
        let mut free = 0;
        for (t, label) in words::axis(from, until.min(self.show.end), (columns / 10).max(1)) {
            let x = u16::try_from((t - from) / column).unwrap_or(u16::MAX);
            let label = format!("|{label}");
            let width = label.len() as u16;
            if x >= free && x.saturating_add(width) <= self.area.width {
                buf.set_string(self.area.x + x, y, label, DIM);
                free = x + width + 1;
            }
        }
    }

    pub(super) fn row(&self, row: &Row<'_>, y: u16, buf: &mut Buffer) {
        match row {
            Row::Heading(_, lan) => self.faults(lan.as_deref(), y, buf),
            Row::Machine(machine) => self.machine(machine, y, buf),
            Row::Lane(lane) => self.lane(lane, y, buf),
            Row::Adverts(lane) => self.adverts(lane, y, buf),
            Row::Pings(_, pings) => self.pings(pings, y, buf),
            Row::Lost(_) => {}
        }
    }

    fn lane(&self, lane: &Lane, y: u16, buf: &mut Buffer) {
        for (x, from, until) in self.each() {
            let Some((state, begins, changes)) = at(&lane.spans, from, until) else { continue };
            let (letter, style) = match changes {
                0 | 1 => (letter(state), style(state, begins || x == self.area.x)),
                _ => (MANY, Style::new().fg(Color::Indexed(231)).bg(Color::Indexed(60))),
            };
            put(buf, x, y, letter, style);
        }
    }

    fn adverts(&self, lane: &Lane, y: u16, buf: &mut Buffer) {
        let Some(lan) = &lane.lan else { return };
        for (x, from, until) in self.each() {
            match self.show.story.adverts(lan, &lane.machine, lane.vhid, from, until) {
                0 => {}
                1 => put(buf, x, y, '╵', DIM),
                _ => put(buf, x, y, '╨', DIM),
            }
        }
    }

    fn machine(&self, machine: &Machine, y: u16, buf: &mut Buffer) {
        let mut marks = machine.marks.iter().peekable();
        let mine = |f: &&Fault| f.lan.is_none() && f.machine.as_ref() == Some(&machine.name);
        let faults: Vec<_> = self.show.picture.faults.iter().filter(mine).collect();
        for (x, from, until) in self.each() {
            let mut greatest: Option<Kind> = None;
            while let Some(mark) = marks.next_if(|m| m.at < until) {
                greatest = greatest.max((mark.at >= from).then_some(mark.kind));
            }
            let faulty = faults.iter().any(|f| f.from < until && f.to > from);
            let (sign, style) = match (greatest, at(&machine.power, from, until)) {
                (Some(kind), _) => sign(kind),
                (None, Some((Power::On, ..))) if faulty => ('~', DIM),
                (None, Some((Power::On, ..))) => ('─', DIM),
                (None, Some((Power::Paused, ..))) => ('=', FAULT),
                (None, _) => (' ', DIM),
            };
            put(buf, x, y, sign, if faulty { style.patch(band()) } else { style });
        }
    }

    /// What goes wrong on a LAN, where nothing else stands.
    fn faults(&self, lan: Option<&str>, y: u16, buf: &mut Buffer) {
        let Some(lan) = lan else { return };
        for fault in self.show.picture.faults.iter().filter(|f| f.lan.as_deref() == Some(lan)) {
            let columns: Vec<u16> = self
                .each()
                .filter(|(_, from, until)| fault.from < *until && fault.to > *from)
                .map(|(x, ..)| x)
                .collect();
            columns.iter().for_each(|x| put(buf, *x, y, '░', FAULT));
            let Some(first) = columns.first() else { continue };
            let text =
                fault.text.strip_prefix(lan).map_or(fault.text.as_str(), |t| t.trim_start_matches(": "));
            buf.set_stringn(*first, y, text, usize::from(self.area.right() - first), band());
        }
    }

    fn pings(&self, pings: &[Event], y: u16, buf: &mut Buffer) {
        for (x, from, until) in self.each() {
            match fate(pings, from, until) {
                Pings { sent: 0, .. } => {}
                Pings { lost: 0, .. } => put(buf, x, y, '-', Style::new().fg(Color::Indexed(32))),
                _ => put(buf, x, y, 'x', BAD),
            }
        }
    }
}

/// What is so at the end of that time, whether it began within it, and how many
/// changes there were.
fn at<T: Copy>(spans: &[Span<T>], from: u64, until: u64) -> Option<(T, bool, usize)> {
    let first = spans.partition_point(|s| s.to <= from);
    let these = spans.get(first..spans.partition_point(|s| s.from < until))?;
    let last = these.last()?;
    Some((last.is, last.from >= from, these.len() - 1))
}

fn put(buf: &mut Buffer, x: u16, y: u16, sign: char, style: Style) {
    if let Some(cell) = buf.cell_mut((x, y)) {
        cell.set_char(sign).set_style(style);
    }
}

fn band() -> Style {
    Style::new().fg(Color::Indexed(16)).bg(Color::Indexed(178))
}

/// A state's letter: what whoever sees no colours goes by.
pub(super) fn letter(state: State) -> char {
    match state {
        State::Absent => '·',
        State::Init => 'I',
        State::Backup => 'B',
        State::Master => 'M',
    }
}

/// A state's colours, which are about the timeline's. The first of a row of
/// letters is easier to read than the others.
pub(super) fn style(state: State, first: bool) -> Style {
    let (paper, ink, pale) = match state {
        State::Absent => return DIM,
        State::Init => (248, 16, 243),
        State::Backup => (117, 16, 74),
        State::Master => (29, 231, 72),
    };
    let style = Style::new().bg(Color::Indexed(paper));
    match first {
        true => style.fg(Color::Indexed(ink)).add_modifier(Modifier::BOLD),
        false => style.fg(Color::Indexed(pale)),
    }
}

/// The sign of what is done to a machine.
pub(super) fn sign(kind: Kind) -> (char, Style) {
    let good = Style::new().fg(Color::Indexed(29));
    match kind {
        Kind::Boot => ('▲', good),
        Kind::Resume => ('▶', good),
        Kind::Crash => ('✗', BAD),
        Kind::Halt => ('■', Style::new()),
        Kind::Pause => ('=', FAULT),
        Kind::Command => ('◆', Style::new()),
        Kind::Error => ('◇', BAD),
    }
}
