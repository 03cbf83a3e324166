//! Tables that read the same on a terminal and in Markdown.

/// A table under construction.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    /// With these column heads.
    pub(crate) fn new(heads: &[&str]) -> Table {
        Table(vec![heads.iter().map(|h| (*h).to_owned()).collect()])
    }

    /// One row more, as wide as the heads.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(self.0[0].len(), N);
        self.0.push(cells.into());
    }

    /// The text, each line ended.
    pub(crate) fn show(&self) -> String {
        let columns = self.0[0].len();
        let width = |c: usize| self.0.iter().map(|r| r[c].chars().count()).max().unwrap_or(0).max(3);
        let widths: Vec<_> = (0..columns).map(width).collect();
        let line = |cells: &[String]| {
            let padded = cells.iter().zip(&widths).map(|(cell, w)| format!(" {cell:<w$} |"));
            format!("|{}\n", padded.collect::<String>())
        };
        let rule: Vec<_> = widths.iter().map(|w| "-".repeat(*w)).collect();
        let (head, rows) = (line(&self.0[0]), self.0.iter().skip(1));
        format!("{head}{}{}", line(&rule), rows.map(|r| line(r)).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut t = Table::new(&["what", "n"]);
        t.row(["µ".to_owned(), "12345".to_owned()]);
        assert_eq!(t.show(), "| what | n     |\n| ---- | ----- |\n| µ    | 12345 |\n");
    }
}
