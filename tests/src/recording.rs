//! A recording of a terminal as an animated SVG, from the screens that it showed.

use std::fmt::Write;

/// The size of the terminal.
const COLUMNS: usize = 80;
const ROWS: usize = 24;
/// The size of a character, and the margin, in pixels.
const WIDTH: f32 = 8.4;
const HEIGHT: usize = 19;
const MARGIN: usize = 14;
/// Each screen is shown for so many seconds.
const SHOWN: usize = 5;

/// The SVG that shows these screens one after another, of each the last rows that fit. A viewer that does not animate shows the last
/// screen.
pub fn svg(title: &str, screens: &[String]) -> String {
    let width = (COLUMNS as f32 * WIDTH) as usize + 2 * MARGIN;
    let height = ROWS * HEIGHT + 2 * MARGIN;
    let (count, whole) = (screens.len(), screens.len() * SHOWN);
    let part = 100.0 / count as f32;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>{}</title>\n<style>\n\
         text {{ font: 14px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #d7dbe0; white-space: pre; }}\n\
         .add {{ fill: #8ccf7e; }} .now {{ fill: #e5c76b; }} .typed {{ fill: #ffffff; }}\n\
         g {{ visibility: hidden; }} g:last-of-type {{ visibility: visible; }}\n\
         @media (prefers-reduced-motion: no-preference) {{\n\
         g, g:last-of-type {{ visibility: hidden; animation: shown {whole}s step-end infinite; }}\n\
         @keyframes shown {{ 0% {{ visibility: visible; }} {part}% {{ visibility: hidden; }} }}\n}}\n",
        escaped(title)
    );
    for index in 0..count {
        let delay = index * SHOWN;
        let _ = writeln!(svg, "#s{index} {{ animation-delay: {delay}s !important; }}");
    }
    let _ = writeln!(
        svg,
        "</style>\n<rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#1d2127\"/>"
    );
    for (index, screen) in screens.iter().enumerate() {
        let _ = writeln!(svg, "<g id=\"s{index}\">");
        let lines: Vec<_> = screen.lines().collect();
        let rows = &lines[lines.len().saturating_sub(ROWS)..];
        for (row, line) in rows.iter().enumerate() {
            let y = MARGIN + row * HEIGHT + 14;
            let class = class(line);
            let line = escaped(line);
            let _ = writeln!(
                svg,
                "<text x=\"{MARGIN}\" y=\"{y}\"{class} xml:space=\"preserve\">{line}</text>"
            );
        }
        svg.push_str("</g>\n");
    }
    svg + "</svg>\n"
}

/// The style of a line.
fn class(line: &str) -> &'static str {
    let starts = |part: &str| line.starts_with(part);
    match () {
        () if starts("$ ") => " class=\"typed\"",
        () if starts("  + ") => " class=\"add\"",
        () if starts("phase ") => " class=\"now\"",
        () => "",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
