//! The picture of the growth, as SVG: one panel a program for processor time, one for memory. Readable on light and dark pages. Only drawing.

use std::fmt::Write as _;

use crate::table::{Curve, mebibytes};

const PROGRAMS: [&str; 3] = ["k-init", "os-init", "grafana-init"];
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 52.0;
const TOP: f64 = 34.0;
const GAP: f64 = 26.0;

const STYLE: &str = "svg{background:#fff}text{font:11px system-ui,Helvetica,Arial,sans-serif;fill:#57606a}.t{font-size:13px;font-weight:600;fill:#1f2328}\
.g{stroke:#d8dee4}.a{stroke:#8c959f}.b{stroke:#cf222e;stroke-dasharray:5 4;fill:none}.l{stroke-dasharray:2 3;stroke:#8c959f;fill:none}.v{stroke:#0969da}\
.p{stroke:#8250df}.r{stroke:#1a7f37}.s{fill:none;stroke-width:1.4;stroke-opacity:.7}@media(prefers-color-scheme:dark){svg{background:#0d1117}\
text{fill:#9198a1}.t{fill:#f0f6fc}.g{stroke:#262c36}.a,.l{stroke:#656c76}.b{stroke:#ff7b72}.v{stroke:#58a6ff}.p{stroke:#bc8cff}.r{stroke:#56d364}}";

/// A range of values on a logarithmic axis.
struct Axis {
    low: f64,
    high: f64,
    length: f64,
}

impl Axis {
    fn place(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        (value / self.low).log10() / (self.high / self.low).log10() * self.length
    }
}

/// The picture of all curves.
pub(crate) fn growth(curves: &[Curve]) -> String {
    let mut body = String::new();
    for (column, program) in (0_u8..).zip(PROGRAMS) {
        let of: Vec<&Curve> = curves.iter().filter(|curve| curve.program == program).collect();
        let x = LEFT + f64::from(column) * (WIDTH + GAP + 20.0);
        let time = |curve: &Curve| points(curve, |at| at.cpu.as_secs_f64() * 1000.0);
        let ticks =
            [(1.0, "1 ms"), (10.0, "10 ms"), (100.0, "0.1 s"), (1000.0, "1 s"), (10_000.0, "10 s"), (60_000.0, "60 s")];
        panel(&mut body, (x, TOP), &format!("{program}: processor time"), &of, &time, &ticks);
        let memory = |curve: &Curve| points(curve, |at| mebibytes(at.memory));
        let ticks = [(1.0, "1 MiB"), (4.0, "4"), (16.0, "16"), (48.0, "48"), (64.0, "64"), (256.0, "256")];
        let below = TOP + HEIGHT + 62.0;
        panel(&mut body, (x, below), &format!("{program}: peak memory"), &of, &memory, &ticks);
        let bound = Axis { low: 1.0, high: 256.0, length: HEIGHT };
        let y = |value| below + HEIGHT - bound.place(value);
        let step = objects_axis().place(5000.0);
        let _ = writeln!(
            body,
            "<path class=\"b\" d=\"M{x:.1} {:.1}H{:.1}V{:.1}H{:.1}\"><title>bound</title></path>",
            y(48.0),
            x + step,
            y(64.0),
            x + WIDTH
        );
    }
    let (width, height) = (LEFT + 3.0 * (WIDTH + GAP + 20.0), TOP + 2.0 * HEIGHT + 130.0);
    let legend = [
        ("v", "validate"),
        ("p", "plan, server empty"),
        ("r", "first and second run"),
        ("l", "linear"),
        ("b", "bound"),
    ];
    for (column, (class, name)) in (0_u8..).zip(legend) {
        let (x, y) = (LEFT + f64::from(column) * 150.0, height - 14.0);
        let _ = writeln!(
            body,
            "<path class=\"{class} s\" d=\"M{x:.0} {:.0}h24\"/><text x=\"{:.0}\" y=\"{y:.0}\">{name}</text>",
            y - 4.0,
            x + 30.0
        );
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" role=\"img\" \
         aria-label=\"Processor time and peak memory by number of objects\">\n<style>{STYLE}</style>\n{body}</svg>\n"
    )
}

fn objects_axis() -> Axis {
    Axis { low: 10.0, high: 20_000.0, length: WIDTH }
}

/// Runs that were over before their memory was looked at have no point.
fn points(curve: &Curve, value: impl Fn(&crate::table::Point) -> f64) -> Vec<(f64, f64)> {
    let number = |objects: usize| f64::from(u32::try_from(objects).expect("numbers of objects are small"));
    curve.points.iter().map(|at| (number(at.objects), value(at))).filter(|(_, value)| *value > 0.0).collect()
}

fn panel(
    body: &mut String,
    (left, top): (f64, f64),
    title: &str,
    curves: &[&Curve],
    values: &dyn Fn(&Curve) -> Vec<(f64, f64)>,
    ticks: &[(f64, &str)],
) {
    let (first, last) = (ticks[0].0, ticks[ticks.len() - 1].0);
    let (across, up) = (objects_axis(), Axis { low: first, high: last, length: HEIGHT });
    let (bottom, right) = (top + HEIGHT, left + WIDTH);
    let _ = writeln!(body, "<text class=\"t\" x=\"{left:.0}\" y=\"{:.0}\">{title}</text>", top - 10.0);
    for (value, label) in ticks {
        let y = bottom - up.place(*value);
        let _ = writeln!(
            body,
            "<path class=\"g\" d=\"M{left:.0} {y:.1}H{right:.0}\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            left - 6.0,
            y + 4.0
        );
    }
    for (objects, label) in [(10.0, "10"), (100.0, "100"), (1000.0, "1,000"), (5000.0, "5,000"), (20_000.0, "20,000")] {
        let x = left + across.place(objects);
        let _ = writeln!(
            body,
            "<path class=\"g\" d=\"M{x:.1} {top:.0}V{bottom:.0}\"/><text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{label}</text>",
            bottom + 15.0
        );
    }
    let _ = writeln!(body, "<path class=\"a\" fill=\"none\" d=\"M{left:.0} {top:.0}V{bottom:.0}H{right:.0}\"/>");
    let path = |points: &[(f64, f64)]| {
        let places = points
            .iter()
            .map(|(objects, value)| format!("{:.1} {:.1}", left + across.place(*objects), bottom - up.place(*value)));
        places.collect::<Vec<_>>().join("L")
    };
    if title.ends_with("time") {
        let _ = writeln!(
            body,
            "<path class=\"l\" d=\"M{}\"><title>linear</title></path>",
            path(&[(10.0, 1.0), (20_000.0, 2000.0)])
        );
    }
    for curve in curves {
        let class = match curve.command {
            "validate" => "v",
            "plan" => "p",
            _ => "r",
        };
        let points = values(curve);
        if points.len() > 1 {
            let _ = writeln!(
                body,
                "<path class=\"s {class}\" d=\"M{}\"><title>{} {}</title></path>",
                path(&points),
                curve.command,
                curve.kind
            );
        }
    }
}
