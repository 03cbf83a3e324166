//! Which rows there are, and what stands left of them.

use super::show::Show;
use super::story::{Pings, fate};
use crate::lab::record::Event;
use crate::lab::timeline::picture::{Lane, Machine};
use ratatui::text::Span;

/// One row beside the time axis.
pub(super) enum Row<'a> {
    /// What the rows below have in common; a LAN by its name.
    Heading(&'a str, Option<&'a str>),
    Machine(&'a Machine),
    /// The states of an interface, and below them when it advertises.
    Lane(&'a Lane),
    Adverts(&'a Lane),
    /// A client's pings, and below them how many were lost.
    Pings(String, &'a [Event]),
    Lost(&'a [Event]),
}

/// All rows; if there are more than `height`, those without that only say more
/// of the row above.
pub(super) fn of<'a>(show: &'a Show<'_>, height: usize) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    if !show.picture.machines.is_empty() {
        rows.push(Row::Heading("machines", None));
        rows.extend(show.picture.machines.iter().map(Row::Machine));
    }
    let lanes = |name, lan: Option<&'a str>, rows: &mut Vec<Row<'a>>| {
        let here = show.picture.lanes.iter().filter(|l| l.lan.as_deref() == lan);
        let mut here = here.flat_map(|lane| [Row::Lane(lane), Row::Adverts(lane)]).peekable();
        if lan.is_some() || here.peek().is_some() {
            rows.push(Row::Heading(name, lan));
        }
        rows.extend(here);
    };
    for lan in show.scenario.lan.keys() {
        lanes(lan, Some(lan), &mut rows);
    }
    lanes("on no LAN", None, &mut rows);
    if !show.story.pings.is_empty() {
        rows.push(Row::Heading("pings", None));
        for (client, pings) in &show.story.pings {
            let to = show.scenario.client.get(client).map(|spec| format!(" → {}", spec.ping));
            rows.push(Row::Pings(format!("{client}{}", to.unwrap_or_default()), pings));
            rows.push(Row::Lost(pings));
        }
    }
    if rows.len() > height {
        rows.retain(|row| !matches!(row, Row::Adverts(_) | Row::Lost(_)));
    }
    rows
}

impl Row<'_> {
    /// What stands left of it.
    pub(super) fn label(&self) -> String {
        match self {
            Row::Heading(name, _) => (*name).to_owned(),
            Row::Machine(machine) => machine.name.clone(),
            Row::Lane(lane) => lane.name(),
            Row::Adverts(_) => String::new(),
            Row::Pings(name, _) => name.clone(),
            Row::Lost(pings) => {
                let Pings { sent, lost } = fate(pings, 0, u64::MAX);
                format!("{lost} of {sent} lost")
            }
        }
    }
}

/// The room that the widest label takes, up to `most` columns.
pub(super) fn widest(rows: &[Row<'_>], most: u16) -> u16 {
    let width = rows.iter().map(|row| Span::raw(row.label()).width()).max().unwrap_or_default();
    u16::try_from(width).unwrap_or(most).min(most)
}
