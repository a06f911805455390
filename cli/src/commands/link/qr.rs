//! QR codes: SVG for print, half blocks for the terminal.

use qrcode::{Color, EcLevel, QrCode};
use throughline_core::{Error, Result};

use crate::output::paint;

/// Light modules around the code, as ISO/IEC 18004 asks.
const QUIET: usize = 4;

pub struct Code {
    /// Modules of a side.
    side: usize,
    modules: Vec<Color>,
}

impl Code {
    /// Correction level M: 15% of the code may be worn off.
    pub fn of(link: &str) -> Result<Self> {
        let code = QrCode::with_error_correction_level(link, EcLevel::M).map_err(|e| {
            Error::config(format!("no QR code can hold this link: {e}")).hint("shorten --text")
        })?;
        Ok(Self { side: code.width(), modules: code.into_colors() })
    }

    /// Whether a module is dark; what lies outside is the quiet zone.
    fn dark(&self, x: usize, y: usize) -> bool {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < self.side);
        let (Some(x), Some(y)) = (inside(x), inside(y)) else { return false };
        self.modules.get(y * self.side + x) == Some(&Color::Dark)
    }

    fn full_side(&self) -> usize {
        self.side + 2 * QUIET
    }

    /// Scales without loss; one path, a rectangle for each run of dark modules.
    pub fn as_svg(&self, title: &str) -> String {
        let side = self.full_side();
        let mut path = String::new();
        for y in 0..side {
            let mut x = 0;
            while x < side {
                let run = (x..side).take_while(|x| self.dark(*x, y)).count();
                if run > 0 {
                    path += &format!("M{x} {y}h{run}v1h-{run}z");
                }
                x += run.max(1);
            }
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
             <title>{}</title><path fill=\"#fff\" d=\"M0 0h{side}v{side}h-{side}z\"/>\
             <path fill=\"#000\" d=\"{path}\"/></svg>\n",
            escaped(title)
        )
    }

    /// Two modules a character. Both colours are set, so that it is not inverted on a light terminal.
    pub fn for_terminal(&self) -> String {
        let style = anstyle::Style::new()
            .fg_color(Some(anstyle::AnsiColor::BrightWhite.into()))
            .bg_color(Some(anstyle::AnsiColor::Black.into()));
        let mut text = String::new();
        for y in (0..self.full_side()).step_by(2) {
            let line: String = (0..self.full_side())
                .map(|x| match (self.dark(x, y), self.dark(x, y + 1)) {
                    (false, false) => '█',
                    (false, true) => '▀',
                    (true, false) => '▄',
                    (true, true) => ' ',
                })
                .collect();
            text += &paint(style, line);
            text.push('\n');
        }
        text
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The dark modules that the path of an SVG paints.
    fn painted(svg: &str) -> Vec<(usize, usize)> {
        let path = svg.split("fill=\"#000\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        path.split('M')
            .skip(1)
            .flat_map(|run| {
                let (at, rest) = run.split_once('h').unwrap();
                let (x, y) = at.split_once(' ').unwrap();
                let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
                let length: usize = rest.split('v').next().unwrap().parse().unwrap();
                (x..x + length).map(move |x| (x, y))
            })
            .collect()
    }

    #[test]
    fn svg_and_terminal_show_the_same_modules() {
        let code = Code::of("https://wa.me/79990001122?text=%5BID%3AHHR3D1196WD%5D").unwrap();
        let svg = code.as_svg("R&D <x>");
        assert!(svg.contains("<title>R&amp;D &lt;x&gt;</title>"));
        let mut from_text = Vec::new();
        for (row, line) in code.for_terminal().lines().enumerate() {
            let blocks = line.chars().filter(|c| "█▀▄ ".contains(*c));
            for (x, c) in blocks.enumerate() {
                if " ▄".contains(c) {
                    from_text.push((x, 2 * row));
                }
                if " ▀".contains(c) {
                    from_text.push((x, 2 * row + 1));
                }
            }
        }
        from_text.retain(|(_, y)| *y < code.full_side());
        let mut from_svg = painted(&svg);
        from_svg.sort_unstable();
        from_text.sort_unstable();
        assert_eq!(from_svg, from_text);
        // The finder pattern's corner, and nothing in the quiet zone.
        assert!(from_svg.contains(&(QUIET, QUIET)));
        assert!(
            from_svg.iter().all(
                |(x, y)| (QUIET..QUIET + code.side).contains(x) && (QUIET..QUIET + code.side).contains(y)
            )
        );
    }

    #[test]
    fn too_much_for_any_code() {
        assert!(Code::of(&"x".repeat(3000)).is_err());
    }
}
