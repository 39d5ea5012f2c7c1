//! Tables for people: columns as wide as their widest cell.

use super::style::{Palette, Tone};

/// A table in the making.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

/// A text and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell of this tone. What would disturb the terminal is taken out: names come from the network.
    pub fn new(text: impl AsRef<str>, tone: Tone) -> Self {
        Self { text: text.as_ref().chars().map(|c| if c.is_control() { '?' } else { c }).collect(), tone }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl Table {
    /// An empty table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|text| Cell::new(text, Tone::Heading)).collect()] }
    }

    /// Add a line.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The lines, headings first, without spaces at their ends.
    pub fn lines(&self, palette: Palette) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.text.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        let line = |row: &Vec<Cell>| {
            let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate().take(last + 1) {
                line.push_str(&palette.paint(cell.tone, &cell.text));
                if column < last {
                    line.extend(std::iter::repeat_n(' ', width + 2 - cell.text.chars().count()));
                }
            }
            line
        };
        self.rows.iter().map(line).collect()
    }

    /// The lines in one text.
    pub fn text(&self, palette: Palette) -> String {
        self.lines(palette).into_iter().map(|line| line + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["name", "n", "last"]);
        table.row(vec!["ä".into(), Cell::new("long", Tone::Good), "".into()]);
        table.row(vec!["x\x1b[2J".into(), "1".into(), "z".into()]);
        table
    }

    #[test]
    fn columns_line_up() {
        assert_eq!(table().text(Palette::PLAIN), "name   n     last\nä      long\nx?[2J  1     z\n");
    }

    #[test]
    fn colours_take_no_room() {
        let lines = table().lines(Palette::COLOURS);
        assert_eq!(lines[1], "ä      \u{1b}[32mlong\u{1b}[0m");
    }
}
