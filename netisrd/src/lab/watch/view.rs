//! What somebody who watches sees: all of it is a function of what is known and
//! of the room that there is.

use super::lanes::{Columns, letter, sign, style};
use super::rows;
use super::show::{Mode, Show, Verdict};
use crate::lab::record::State;
use crate::lab::timeline::picture::Kind;
use crate::lab::timeline::words;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget};

pub(super) const DIM: Style = Style::new().fg(Color::Indexed(245));
pub(super) const FAULT: Style = Style::new().fg(Color::Indexed(178));
pub(super) const BAD: Style = Style::new().fg(Color::Indexed(166)).add_modifier(Modifier::BOLD);
const GOOD: Style = Style::new().fg(Color::Indexed(29)).add_modifier(Modifier::BOLD);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// The least room in which something can be seen.
pub(super) const LEAST: (u16, u16) = (50, 16);
/// From this width on the panels stand side by side.
const WIDE: u16 = 110;
/// Above the rows: title, time, faults and the axis.
const HEAD: u16 = 4;
/// Lines of the panel of events, its name included, where there is room.
const EVENTS: u16 = 9;

const KEYS: &str = "q quit  space pause  n next  + - speed  arrows move  z Z zoom  ? help";

/// A picture of it.
pub(super) struct View<'a>(pub(super) &'a Show<'a>);

/// Where everything is.
struct Places {
    labels: Rect,
    columns: Rect,
    events: Rect,
    verdicts: Rect,
}

/// The room for rows: how wide and how high it is, and how many rows there are.
pub(super) struct Room {
    pub(super) columns: u16,
    pub(super) rows: usize,
    pub(super) of: usize,
}

/// The room for rows in `area`.
pub(super) fn room(show: &Show<'_>, area: Rect) -> Room {
    let columns = places(show, area).columns;
    let rows = usize::from(columns.height);
    Room { columns: columns.width, rows, of: rows::of(show, rows).len() }
}

fn places(show: &Show<'_>, area: Rect) -> Places {
    let body =
        Rect { y: area.y + HEAD.min(area.height), height: area.height.saturating_sub(HEAD + 1), ..area };
    let all = rows::of(show, usize::MAX);
    let told = u16::try_from(told(show).len()).unwrap_or(u16::MAX).saturating_add(1);
    let side = area.width >= WIDE;
    let wanted = if side { told.max(EVENTS) } else { told.saturating_add(EVENTS) };
    let rows = u16::try_from(all.len()).unwrap_or(u16::MAX);
    let panels = wanted.min(body.height.saturating_sub(rows).max(area.height / 3));
    let (above, below) = split(body, body.height.saturating_sub(panels));
    let (events, verdicts) = if side {
        let half = below.width / 2;
        (Rect { width: half - 1, ..below }, Rect { x: below.x + half, width: below.width - half, ..below })
    } else {
        let (verdicts, events) = split(below, told.min(below.height.div_ceil(2)));
        (events, verdicts)
    };
    let label = rows::widest(&all, area.width / 3) + 1;
    let labels = Rect { width: label, ..above };
    let columns = Rect { x: above.x + label, width: above.width.saturating_sub(label), ..above };
    Places { labels, columns, events, verdicts }
}

/// The upper `height` lines, and the others.
fn split(area: Rect, height: u16) -> (Rect, Rect) {
    (Rect { height, ..area }, Rect { y: area.y + height, height: area.height - height, ..area })
}

impl Widget for View<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let show = self.0;
        if area.width < LEAST.0 || area.height < LEAST.1 {
            let (width, height) = LEAST;
            let text = [
                format!("too small: {} x {}", area.width, area.height),
                format!("it takes {width} x {height}"),
                "q quit".into(),
            ];
            for (text, row) in text.iter().zip(area.rows()) {
                buf.set_stringn(row.x, row.y, text, row.width.into(), Style::new());
            }
            return;
        }
        let places = places(show, area);
        head(show, area, buf);
        lanes(show, &places, buf);
        events(show, places.events, buf);
        verdicts(show, places.verdicts, buf);
        let last = Rect { y: area.bottom() - 1, height: 1, ..area };
        line(buf, last, vec![Span::styled(KEYS, DIM)]);
        if show.help {
            help(area, buf);
        }
    }
}

/// Title, time, and what goes wrong now.
fn head(show: &Show<'_>, area: Rect, buf: &mut Buffer) {
    let row = |n| Rect { y: area.y + n, height: 1, ..area };
    let seed = format!("seed {}", show.picture.seed);
    line(
        buf,
        row(0),
        vec![Span::styled(show.scenario.title.as_str(), BOLD), " ".into(), Span::styled(seed, DIM)],
    );
    // To the nanosecond where it stands still.
    let now = if show.mode == Mode::Running { show.now - show.now % 1_000_000 } else { show.now };
    let mode = match show.mode {
        Mode::Running => Span::raw("running"),
        Mode::Paused => Span::styled("PAUSED", FAULT),
        Mode::Seeking => Span::styled("to the next event", FAULT),
        Mode::Over(true) => Span::styled("PASSED", GOOD),
        Mode::Over(false) => Span::styled("FAILED", BAD),
    };
    let time = format!("{:>12} of {}", words::moment(now), words::moment(show.end));
    line(buf, row(1), vec![Span::styled(time, BOLD), format!("   speed {}   ", show.speed).into(), mode]);
    let end = show.picture.end;
    let faults = show.picture.faults.iter().filter(|f| f.to == end).map(|f| f.text.as_str());
    let faults: Vec<_> = faults.collect();
    let text = match faults[..] {
        [] => Span::styled("no faults", DIM),
        _ => Span::styled(format!("FAULTS {}", faults.join(" · ")), FAULT),
    };
    line(buf, row(2), vec![text]);
}

fn lanes(show: &Show<'_>, places: &Places, buf: &mut Buffer) {
    let Places { labels, columns, .. } = *places;
    let rows = rows::of(show, columns.height.into());
    let drawn = Columns::new(show, columns);
    let axis = labels.y.saturating_sub(1);
    drawn.axis(axis, buf);
    let height = usize::from(labels.height);
    let top = show.window.top.min(rows.len().saturating_sub(height));
    if rows.len() > height {
        let text = format!("{}-{} of {}", top + 1, top + height, rows.len());
        line(buf, Rect { y: axis, height: 1, ..labels }, vec![Span::styled(text, DIM)]);
    }
    for (row, label) in rows.iter().skip(top).zip(labels.rows()) {
        let style = if matches!(row, rows::Row::Heading(..)) { BOLD } else { Style::new() };
        let room = Rect { width: label.width - 1, ..label };
        line(buf, room, vec![Span::styled(row.label(), style)]);
        drawn.row(row, label.y, buf);
    }
}

/// A panel's name; the room below it.
fn panel(name: &str, area: Rect, buf: &mut Buffer) -> Rect {
    let (name_row, rest) = split(area, area.height.min(1));
    let rule = "─".repeat(usize::from(area.width).saturating_sub(name.chars().count() + 4));
    line(
        buf,
        name_row,
        vec![Span::styled("── ", DIM), Span::styled(name, BOLD), Span::styled(format!(" {rule}"), DIM)],
    );
    rest
}

/// The last that happened, the newest below.
fn events(show: &Show<'_>, area: Rect, buf: &mut Buffer) {
    let rest = panel("events", area, buf);
    let all = &show.story.lines;
    let last = all.get(all.len().saturating_sub(rest.height.into())..).unwrap_or_default();
    for (told, row) in last.iter().zip(rest.rows()) {
        let at = Span::styled(format!("{:>14}  ", words::moment(told.at)), DIM);
        let style = if told.bad { BAD } else { Style::new() };
        line(buf, row, vec![at, Span::styled(told.text.as_str(), style)]);
    }
}

/// What is expected, and what was wrong besides.
fn told(show: &Show<'_>) -> Vec<Verdict> {
    let violated = show.picture.verdicts.iter().filter(|v| v.violated);
    let violated = violated.map(|v| Verdict { text: v.text.clone(), seen: Some(Err(String::new())) });
    violated.chain(show.verdicts.iter().cloned()).collect()
}

/// Where there is no room for all, those that do not hold come first.
fn verdicts(show: &Show<'_>, area: Rect, buf: &mut Buffer) {
    let mut all = told(show);
    let count = |f: fn(&&Verdict) -> bool| all.iter().filter(f).count();
    let (ok, no) = (count(|v| matches!(v.seen, Some(Ok(_)))), count(|v| matches!(v.seen, Some(Err(_)))));
    let name = format!("expectations: {ok} ok, {no} not, {} open", all.len() - ok - no);
    let rest = panel(&name, area, buf);
    if all.len() > rest.height.into() {
        all.sort_by_key(|v| match v.seen {
            Some(Err(_)) => 0,
            None => 1,
            Some(Ok(_)) => 2,
        });
    }
    for (verdict, row) in all.iter().zip(rest.rows()) {
        let (sign, seen) = match &verdict.seen {
            Some(Ok(seen)) => (Span::styled("ok  ", GOOD), seen.as_str()),
            Some(Err(seen)) => (Span::styled("NO  ", BAD), seen.as_str()),
            None => (Span::styled("..  ", DIM), ""),
        };
        let colon = if seen.is_empty() { "" } else { ": " };
        let style = if verdict.seen.is_none() { DIM } else { Style::new() };
        line(buf, row, vec![sign, Span::styled(format!("{}{colon}{seen}", verdict.text), style)]);
    }
}

/// One line, cut where there is no more room.
fn line(buf: &mut Buffer, area: Rect, spans: Vec<Span<'_>>) {
    let line = Line::from(spans);
    buf.set_line(area.x, area.y, &line, area.width);
    if line.width() > area.width.into()
        && let Some(cell) = buf.cell_mut((area.right().saturating_sub(1), area.y))
    {
        cell.set_char('…');
    }
}

fn help(area: Rect, buf: &mut Buffer) {
    let mut lines: Vec<Line<'_>> = [
        "q       leave; what is left of the run is not shown",
        "space   pause, and go on",
        "n       on to the next event",
        "+ -     faster, slower",
        "← →     another time, while it stands still",
        "↑ ↓     other rows",
        "z Z     less time, more time",
        "",
    ]
    .map(Line::from)
    .into();
    let state = |s: State| {
        vec![Span::styled(letter(s).to_string(), style(s, true)), format!(" {}  ", s.name()).into()]
    };
    let states = [State::Absent, State::Init, State::Backup, State::Master];
    lines.push(states.into_iter().flat_map(state).collect());
    let signs = |kinds: &[(Kind, &str)]| -> Line<'static> {
        let one = |(kind, name): &(Kind, &str)| {
            let (c, style) = sign(*kind);
            [Span::styled(c.to_string(), style), format!(" {name}  ").into()]
        };
        kinds.iter().flat_map(one).collect()
    };
    let (some, others) = Kind::ALL.split_at(4);
    lines.extend([signs(some), signs(others)]);
    lines.push("* changes in a row  ╵ advertisement  ~ fault  x lost".into());
    let (width, height) = (58, lines.len() as u16 + 2);
    let (width, height) = (area.width.min(width), area.height.min(height));
    let (x, y) = (area.x + (area.width - width) / 2, area.y + (area.height - height) / 2);
    let frame = Rect { x, y, width, height };
    Clear.render(frame, buf);
    let block = Block::bordered().title(" help ");
    let inner = block.inner(frame);
    block.render(frame, buf);
    for (text, row) in lines.iter().zip(inner.rows()) {
        buf.set_line(row.x + 1, row.y, text, row.width.saturating_sub(1));
    }
}
