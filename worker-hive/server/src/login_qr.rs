//! Draws a QR code with characters. Pure.

use qrcode::{Color, EcLevel, QrCode};
use std::fmt::Write;

/// Light modules around the code, without which no camera finds it.
const MARGIN: usize = 2;
/// Black on white, whatever the terminal's own colours are: cameras expect it.
const COLOURS: &str = "\u{1b}[38;5;16;48;5;231m";
const RESET: &str = "\u{1b}[0m";

/// A drawing, and how many lines it has.
pub(crate) struct Drawing {
    pub(crate) text: String,
    pub(crate) lines: usize,
}

/// Draws `content`, two rows of the code to a line; `None` when it is too long for any code.
pub(crate) fn draw(content: &str) -> Option<Drawing> {
    let code = QrCode::with_error_correction_level(content, EcLevel::L).ok()?;
    let width = code.width();
    let dark = |column: usize, row: usize| {
        let inside = |at: usize| at.checked_sub(MARGIN).filter(|at| *at < width);
        let (Some(column), Some(row)) = (inside(column), inside(row)) else { return false };
        code[(column, row)] == Color::Dark
    };
    let size = width + 2 * MARGIN;
    let (mut text, mut lines) = (String::new(), 0);
    for row in (0..size).step_by(2) {
        text.push_str(COLOURS);
        for column in 0..size {
            text.push(match (dark(column, row), dark(column, row + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        let _ = writeln!(text, "{RESET}");
        lines += 1;
    }
    Some(Drawing { text, lines })
}

/// Goes back over so many lines and clears them.
pub(crate) fn erase(lines: usize) -> String {
    format!("\u{1b}[{lines}F\u{1b}[J")
}

#[cfg(test)]
mod tests {
    use super::{MARGIN, draw};

    #[test]
    fn a_camera_reads_what_is_drawn() {
        let link = "tg://login?token=QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY";
        let drawing = draw(link).unwrap();
        let rows: Vec<Vec<bool>> = drawing
            .text
            .lines()
            .flat_map(|line| {
                let cells: Vec<char> = line.chars().filter(|c| "█▀▄ ".contains(*c)).collect();
                ['▀', '▄'].map(|half| cells.iter().map(|cell| *cell == '█' || *cell == half).collect())
            })
            .collect();
        assert_eq!(rows.len(), 2 * drawing.lines);
        assert!(rows[..MARGIN].iter().flatten().all(|dark| !dark));
        let scale = 4;
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(rows[0].len() * scale, rows.len() * scale, |x, y| {
                if rows[y / scale][x / scale] { 0 } else { 255 }
            });
        let grids = image.detect_grids();
        assert_eq!(grids[0].decode().unwrap().1, link);
    }

    #[test]
    fn what_is_too_long_is_not_drawn() {
        assert!(draw(&"x".repeat(5000)).is_none());
    }
}
