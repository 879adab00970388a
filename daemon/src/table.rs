//! Aligned columns for the terminal.

use crate::paint::{Paint, Style};

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A cell: its text, and how it is painted. Width is counted before painting.
pub struct Cell {
    text: String,
    style: Style,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell { text: text.into(), style: Style::Plain }
    }
}

impl Cell {
    /// A cell that is painted.
    pub fn styled(text: impl Into<String>, style: Style) -> Cell {
        Cell { text: text.into(), style }
    }
}

/// A table that is printed in one go.
pub struct Table {
    indent: usize,
    aligns: Vec<Align>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with a heading row.
    pub fn new(indent: usize, columns: &[(&str, Align)]) -> Table {
        let heading = columns.iter().map(|(name, _)| Cell::styled(*name, Style::Dim)).collect();
        Table { indent, aligns: columns.iter().map(|(_, align)| *align).collect(), rows: vec![heading] }
    }

    /// Adds a row; it has as many cells as the table has columns.
    pub fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.aligns.len(), "a row must fill every column");
        self.rows.push(cells);
    }

    /// The lines, each ended with a newline, without blanks at their ends.
    pub fn render(&self, paint: Paint) -> String {
        let widths: Vec<usize> = (0..self.aligns.len())
            .map(|c| self.rows.iter().map(|row| row[c].text.chars().count()).max().unwrap_or(0))
            .collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(self.indent);
            let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
            for (c, cell) in row.iter().enumerate().take(last + 1) {
                let pad = " ".repeat(widths[c] - cell.text.chars().count());
                let text = paint.apply(cell.style, &cell.text);
                match self.aligns[c] {
                    Align::Left if c == last => line.push_str(&text),
                    Align::Left => line.push_str(&format!("{text}{pad}")),
                    Align::Right => line.push_str(&format!("{pad}{text}")),
                }
                if c < last {
                    line.push_str("  ");
                }
            }
            out.push_str(&line);
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_also_when_painted() {
        let mut table =
            Table::new(2, &[("SLOT", Align::Right), ("DRIVE", Align::Left), ("NOTE", Align::Left)]);
        table.row(vec!["0".into(), Cell::styled("d0", Style::Good), "fine".into()]);
        table.row(vec!["10".into(), "longer-name".into(), "".into()]);
        assert_eq!(
            table.render(Paint::Off),
            "  SLOT  DRIVE        NOTE\n     0  d0           fine\n    10  longer-name\n"
        );
        assert!(table.render(Paint::On).contains("\u{1b}[32md0\u{1b}[0m           fine"));
    }
}
