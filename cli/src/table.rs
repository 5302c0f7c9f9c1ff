//! Tables that fit the terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::output::printable;

/// A column: its head, and whether it may be cut short.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) head: &'static str,
    pub(crate) shrinks: bool,
}

/// The lines of a table, the heads first; no wider than `limit` as long as the columns that shrink allow it.
pub(crate) fn lines<const N: usize>(columns: [Column; N], rows: &[[String; N]], limit: Option<usize>) -> Vec<String> {
    let heads = columns.map(|column| column.head.to_owned());
    let clean = |row: &[String; N]| row.each_ref().map(|cell| shown(cell));
    let rows: Vec<[String; N]> = std::iter::once(heads).chain(rows.iter().map(clean)).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    if let Some(limit) = limit {
        fit(&columns, &mut widths, limit);
    }
    rows.iter().map(|row| line(row, &widths)).collect()
}

fn shown(cell: &str) -> String {
    if cell.is_empty() { "-".into() } else { printable(cell).into_owned() }
}

/// Takes from the widest column that shrinks, again and again.
fn fit<const N: usize>(columns: &[Column; N], widths: &mut [usize; N], limit: usize) {
    while widths.iter().sum::<usize>() + GAP.len() * N.saturating_sub(1) > limit {
        let shrinking = columns.iter().zip(widths.iter_mut()).filter(|(column, _)| column.shrinks);
        match shrinking.map(|(_, width)| width).filter(|width| **width > NARROWEST).max() {
            Some(widest) => *widest -= 1,
            None => return,
        }
    }
}

fn line<const N: usize>(row: &[String; N], widths: &[usize; N]) -> String {
    let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| padded(cell, *width)).collect();
    cells.join(GAP).trim_end().to_owned()
}

/// The cell at exactly this width.
fn padded(cell: &str, width: usize) -> String {
    let mut text = String::new();
    let mut used = 0;
    if cell.width() > width {
        for c in cell.chars() {
            let columns = c.width().unwrap_or(0);
            if used + columns + 1 > width {
                break;
            }
            used += columns;
            text.push(c);
        }
        text.push('…');
        used += 1;
    } else {
        text.push_str(cell);
        used = cell.width();
    }
    text.extend(std::iter::repeat_n(' ', width.saturating_sub(used)));
    text
}

const GAP: &str = "  ";
const NARROWEST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { head: "#", shrinks: false },
        Column { head: "ID", shrinks: true },
        Column { head: "ADDRESS", shrinks: true },
    ];

    fn rows() -> Vec<[String; 3]> {
        let row = |n: &str, id: &str, address: &str| [n.to_owned(), id.to_owned(), address.to_owned()];
        vec![row("1", "worker-with-a-long-name", "http://10.0.0.1:8080"), row("2", "漢字漢字漢字漢字漢字", "")]
    }

    #[test]
    fn without_a_limit_nothing_is_cut() {
        assert_eq!(
            lines(COLUMNS, &rows(), None),
            [
                "#  ID                       ADDRESS",
                "1  worker-with-a-long-name  http://10.0.0.1:8080",
                "2  漢字漢字漢字漢字漢字     -",
            ]
        );
    }

    #[test]
    fn a_table_fits_its_limit_down_to_the_narrowest_columns() {
        for limit in 21..60 {
            let lines = lines(COLUMNS, &rows(), Some(limit));
            assert!(lines.iter().all(|line| line.width() <= limit), "{limit}: {lines:#?}");
        }
        let narrowest = lines(COLUMNS, &rows(), Some(1));
        assert_eq!(narrowest, ["#  ID        ADDRESS", "1  worker-…  http://…", "2  漢字漢…   -"]);
    }

    #[test]
    fn an_empty_table_has_its_heads() {
        assert_eq!(lines(COLUMNS, &[], Some(80)), ["#  ID  ADDRESS"]);
    }
}
