//! The pictures of the README, drawn as SVG from what the programs really said and what a server really holds. Only drawing: the case
//! `readme_pictures` makes the material and compares.

use serde_json::Value;

const COLUMNS: usize = 124;
const GLYPH: f64 = 7.23;
const LINE: f64 = 17.0;
const MARGIN: f64 = 14.0;

/// What a terminal shows of a text with its colors (SGR 0, 1, 2 and 31 to 36), long lines wrapped.
pub fn terminal(text: &str) -> String {
    let rows: Vec<Vec<Cell>> = text.lines().flat_map(|line| wrapped(cells(line.trim_end_matches('\r')))).collect();
    let mut body = String::new();
    for (number, row) in (1_u16..).zip(&rows) {
        body += &format!(
            "<text xml:space=\"preserve\" x=\"{MARGIN}\" y=\"{:.1}\">",
            MARGIN + LINE * f64::from(number) - 4.0
        );
        for run in row.chunk_by(|left, right| left.style == right.style) {
            // Spaces in a row are shown as one by what knows no `white-space`.
            let text = escaped(&run.iter().map(|cell| cell.glyph).collect::<String>()).replace(' ', "\u{a0}");
            match run[0].style {
                "" => body += &text,
                style => body += &format!("<tspan class=\"{style}\">{text}</tspan>"),
            }
        }
        body += "</text>\n";
    }
    let columns = u16::try_from(COLUMNS).expect("a small number");
    let lines = u16::try_from(rows.len()).expect("a picture has a few dozen lines");
    let (width, height) = (f64::from(columns) * GLYPH + 2.0 * MARGIN, f64::from(lines) * LINE + 2.0 * MARGIN);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\">\n\
         <style>text{{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#d4d4d4}}\
         .b{{font-weight:bold;fill:#fff}}.d{{fill:#8a8a8a}}.red{{fill:#f1706f}}.green{{fill:#7ec77b}}\
         .yellow{{fill:#e5c25b}}.blue{{fill:#6fb3f1}}.magenta{{fill:#c58af9}}.cyan{{fill:#5fc9c9}}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#1e1f22\"/>\n{body}</svg>\n"
    )
}

/// Where the panels of a dashboard lie, with what each is and asks.
pub fn dashboard(model: &Value) -> String {
    const UNIT: (f64, f64) = (38.0, 24.0);
    const TOP: f64 = 40.0;
    let number = |value: &Value| value.as_f64().expect("a panel has its place");
    let text = |value: &Value| escaped(value.as_str().unwrap_or_default());
    let (mut body, mut bottom) = (String::new(), 0.0_f64);
    for panel in model["panels"].as_array().expect("a dashboard has panels") {
        let place = &panel["gridPos"];
        let (x, y) = (number(&place["x"]) * UNIT.0, TOP + number(&place["y"]) * UNIT.1);
        let (width, height) = (number(&place["w"]) * UNIT.0, number(&place["h"]) * UNIT.1);
        bottom = bottom.max(y + height);
        body += &format!(
            "<rect x=\"{:.0}\" y=\"{:.0}\" width=\"{:.0}\" height=\"{:.0}\" rx=\"3\" class=\"p\"/>\n\
             <text x=\"{:.0}\" y=\"{:.0}\" class=\"t\">{}</text>\n\
             <text x=\"{:.0}\" y=\"{:.0}\" class=\"s\">{} from {}</text>\n",
            x + 4.0,
            y + 4.0,
            width - 8.0,
            height - 8.0,
            x + 14.0,
            y + 24.0,
            text(&panel["title"]),
            x + 14.0,
            y + 41.0,
            text(&panel["type"]),
            text(&panel["datasource"]["type"]),
        );
        let expressions =
            panel["targets"].as_array().into_iter().flatten().filter_map(|target| target["expr"].as_str());
        // As many of the questions as there is room for.
        let room = (height - 60.0).max(0.0);
        for (row, expression) in (0_u16..).zip(expressions).take_while(|(row, _)| f64::from(row + 1) * 16.0 <= room) {
            body += &format!(
                "<svg x=\"{:.0}\" y=\"{:.0}\" width=\"{:.0}\" height=\"16\"><text y=\"12\" class=\"q\">{}</text></svg>\n",
                x + 14.0,
                y + 50.0 + 16.0 * f64::from(row),
                width - 28.0,
                escaped(expression)
            );
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\">\n\
         <style>text{{font-family:system-ui,Helvetica,Arial,sans-serif}}.h{{font-size:17px;fill:#fff}}.t{{font-size:13px;fill:#eee}}\
         .s{{font-size:11px;fill:#9aa0a6}}.q{{font:10px ui-monospace,Menlo,Consolas,monospace;fill:#6fb3f1}}\
         .p{{fill:#181b1f;stroke:#34373d}}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#111217\"/>\n\
         <text x=\"8\" y=\"26\" class=\"h\">{title}</text>\n{body}</svg>\n",
        width = 24.0 * UNIT.0,
        height = bottom + 4.0,
        title = text(&model["title"]),
    )
}

struct Cell {
    glyph: char,
    style: &'static str,
}

fn cells(line: &str) -> Vec<Cell> {
    let mut found = Vec::new();
    let mut style = "";
    let mut rest = line;
    while let Some(glyph) = rest.chars().next() {
        // The progress line goes back to the first column and erases what stood there.
        if let Some(after) = rest.strip_prefix("\r\x1b[K").or_else(|| rest.strip_prefix("\x1b[K")) {
            found.clear();
            rest = after;
            continue;
        }
        let code = rest.strip_prefix("\x1b[").and_then(|after| after.split_once('m'));
        let Some((code, after)) = code else {
            found.push(Cell { glyph, style });
            rest = &rest[glyph.len_utf8()..];
            continue;
        };
        style = match code {
            "1" => "b",
            "2" | "90" => "d",
            "31" => "red",
            "32" => "green",
            "33" => "yellow",
            "34" => "blue",
            "35" => "magenta",
            "36" => "cyan",
            "0" | "" => "",
            other => panic!("the color {other} has no place in a picture yet"),
        };
        rest = after;
    }
    found
}

fn wrapped(mut line: Vec<Cell>) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    while line.len() > COLUMNS {
        let rest = line.split_off(COLUMNS);
        rows.push(std::mem::replace(&mut line, rest));
    }
    rows.push(line);
    rows
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
