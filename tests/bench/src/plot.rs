//! Draws what was measured as SVG: both axes are logarithmic, but for the year, of which both are linear.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::Result;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 44.0;
const COLOURS: [&str; 6] = ["#0b6e99", "#c0392b", "#2e8b57", "#8e5ea2", "#d68910", "#555555"];

/// A line with its name.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// A chart.
struct Chart<'a> {
    title: &'a str,
    /// What the axes are.
    x: &'a str,
    y: &'a str,
    scales: [Scale; 2],
    /// A place on the x axis that is marked, and what it is.
    mark: Option<(f64, &'a str)>,
}

/// Where a value is placed on an axis, from 0 to 1, and which values are written there.
enum Scale {
    /// Powers of ten.
    Decades(i32, i32),
    /// From zero on, so many steps of this length.
    Steps(f64, u32),
}

impl Scale {
    /// Decades for all values.
    fn decades(values: impl Iterator<Item = f64>) -> Scale {
        let (low, high) = decades(values);
        Scale::Decades(low, high)
    }

    fn place(&self, value: f64) -> f64 {
        match *self {
            Scale::Decades(low, high) => {
                let value = value.max(10_f64.powi(low)).log10();
                (value - f64::from(low)) / f64::from(high - low)
            }
            Scale::Steps(step, count) => value / (step * f64::from(count)),
        }
    }

    fn ticks(&self) -> Vec<f64> {
        match *self {
            Scale::Decades(low, high) => (low..=high).map(|power| 10_f64.powi(power)).collect(),
            Scale::Steps(step, count) => (0..=count).map(|at| step * f64::from(at)).collect(),
        }
    }
}

/// Draws all that there is in the results of runs.
pub(crate) fn run(results: &[std::path::PathBuf], into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    for results in results {
        let document: Value = serde_json::from_slice(&fs::read(results)?)?;
        match document["works"].is_object() {
            true => works(&document, into)?,
            false => year(&document, into)?,
        }
    }
    Ok(())
}

/// What is stored over the year, beside what the study expects at its end.
fn year(document: &Value, into: &Path) -> Result<()> {
    let line = |(work, value): (&String, &Value)| {
        let study = value["study_stored"].as_f64()?;
        let points = value["months"]
            .as_array()?
            .iter()
            .filter_map(|month| Some((month["day"].as_f64()?, month["stored"].as_f64()? / study)));
        Some(Line { name: work.clone(), points: points.collect() })
    };
    let lines: Vec<Line> = document.as_object().into_iter().flatten().filter_map(line).collect();
    let highest = lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y);
    #[expect(clippy::cast_possible_truncation, reason = "a small ratio")]
    #[expect(clippy::cast_sign_loss, reason = "what is stored is not negative")]
    let steps = (highest.fold(1.0, f64::max) / 0.5).ceil() as u32;
    let chart = Chart {
        title: "stored, by what the study expects after a year",
        x: "days",
        y: "times the study",
        scales: [Scale::Steps(60.0, 8), Scale::Steps(0.5, steps)],
        mark: Some((365.0, "the policy's year")),
    };
    save(into, "year-stored", &chart, &lines)
}

/// What the works side by side have measured.
fn works(document: &Value, into: &Path) -> Result<()> {
    let works = &document["works"];
    if let Some(tools) = works["latency samples"]["latency (ms)"].as_object() {
        let lines: Vec<Line> =
            tools.iter().map(|(tool, summary)| distribution(tool, summary)).collect();
        let title = "sparse commits: share that is not yet durable after";
        let words = [title, "ms", "% of commits not yet durable"];
        logarithmic(into, "latency", words, &lines)?;
    }
    let charts = [
        (
            "sizes",
            "MB",
            ["snapshot: time (s)", "restore: time (s)", "cp and fsync (s)"].as_slice(),
            "time",
            "seconds",
        ),
        (
            "sizes",
            "MB",
            &["snapshot: peak memory (MB)", "restore: peak memory (MB)"],
            "memory",
            "MB",
        ),
        (
            "numbers",
            "databases",
            &["idle: peak memory (MB)", "writing: peak memory (MB)"],
            "memory",
            "MB",
        ),
        ("numbers", "databases", &["idle: CPU (%)", "writing: CPU (%)"], "cpu", "% of one CPU"),
        ("history", "commits", &["restore: time (s)"], "time", "seconds"),
    ];
    for (work, unit, metrics, what, axis) in charts {
        let metrics_there = metrics.iter().filter_map(|metric| {
            let columns = works[work][*metric].as_object()?;
            let mut points: Vec<(f64, f64)> = columns
                .iter()
                .filter_map(|(column, summary)| {
                    let x = column.split(' ').next()?.parse().ok()?;
                    Some((x, summary["median"].as_f64()?))
                })
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Some(Line { name: (*metric).to_owned(), points })
        });
        let lines: Vec<Line> = metrics_there.collect();
        if !lines.is_empty() {
            let name = format!("{work}-{what}");
            let title = format!("{what} against {unit}");
            logarithmic(into, &name, [&title, unit, axis], &lines)?;
        }
    }
    Ok(())
}

/// Both axes are logarithmic.
fn logarithmic(into: &Path, name: &str, [title, x, y]: [&str; 3], lines: &[Line]) -> Result<()> {
    let all = || lines.iter().flat_map(|line| &line.points);
    let scales =
        [Scale::decades(all().map(|point| point.0)), Scale::decades(all().map(|point| point.1))];
    save(into, name, &Chart { title, x, y, scales, mark: None }, lines)
}

/// What share is not yet durable after each time: the higher quantiles are where tools differ.
fn distribution(tool: &str, summary: &Value) -> Line {
    let samples = summary["samples"].as_array();
    let mut values: Vec<f64> = samples.into_iter().flatten().filter_map(Value::as_f64).collect();
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    let left = (0..values.len()).map(|rank| (count - rank as f64) / count * 100.0);
    let points = values.iter().map(|value| value.max(0.1)).zip(left).collect();
    Line { name: tool.to_owned(), points }
}

fn save(into: &Path, name: &str, chart: &Chart<'_>, lines: &[Line]) -> Result<()> {
    let path = into.join(format!("{name}.svg"));
    fs::write(&path, draw(chart, lines)?)?;
    println!("{}", path.display());
    Ok(())
}

/// A power of ten below, and one above, all values.
fn decades(values: impl Iterator<Item = f64>) -> (i32, i32) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|value| *value > 0.0) {
        (low, high) = (low.min(value.log10()), high.max(value.log10()));
    }
    if low > high {
        return (0, 1);
    }
    #[expect(clippy::cast_possible_truncation, reason = "logarithms of measured values are small")]
    let (low, high) = (low.floor() as i32, high.ceil() as i32);
    (low, high.max(low + 1))
}

fn draw(chart: &Chart<'_>, lines: &[Line]) -> Result<String> {
    let Chart { title, x, y, scales: [x_scale, y_scale], mark } = chart;
    let across = |value: f64| LEFT + x_scale.place(value) * (WIDTH - LEFT - RIGHT);
    let down = |value: f64| HEIGHT - BOTTOM - y_scale.place(value) * (HEIGHT - TOP - BOTTOM);
    let mut svg = String::new();
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"13\">{title}</text>"
    )?;
    for value in x_scale.ticks() {
        let at = across(value);
        let (top, bottom) = (TOP, HEIGHT - BOTTOM);
        writeln!(svg, "<path d=\"M{at:.1} {top}V{bottom}\" stroke=\"#ddd\"/>")?;
        let below = bottom + 15.0;
        writeln!(svg, "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{value}</text>")?;
    }
    for value in y_scale.ticks() {
        let at = down(value);
        let right = WIDTH - RIGHT;
        writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>")?;
        let (before, low) = (LEFT - 6.0, at + 4.0);
        writeln!(svg, "<text x=\"{before}\" y=\"{low:.1}\" text-anchor=\"end\">{value}</text>")?;
    }
    if let Some((value, what)) = mark {
        let (at, top, bottom) = (across(*value), TOP, HEIGHT - BOTTOM);
        let (beside, below) = (at - 4.0, TOP + 12.0);
        writeln!(
            svg,
            "<path d=\"M{at:.1} {top}V{bottom}\" stroke=\"#555\" stroke-dasharray=\"4 3\"/>\n\
             <text x=\"{beside:.1}\" y=\"{below}\" text-anchor=\"end\">{what}</text>"
        )?;
    }
    let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
    let foot = HEIGHT - 10.0;
    writeln!(svg, "<text x=\"{middle}\" y=\"{foot}\" text-anchor=\"middle\">{x}</text>")?;
    let side = HEIGHT / 2.0;
    writeln!(
        svg,
        "<text transform=\"translate(14 {side}) rotate(-90)\" text-anchor=\"middle\">{y}</text>"
    )?;
    for (index, line) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let places = line.points.iter().map(|&(x, y)| format!("{:.1},{:.1}", across(x), down(y)));
        let places = places.collect::<Vec<_>>().join(" ");
        writeln!(
            svg,
            "<polyline points=\"{places}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>"
        )?;
        let (left, top) = (WIDTH - RIGHT + 10.0, TOP + 12.0 + 16.0 * index as f64);
        let name = &line.name;
        writeln!(svg, "<text x=\"{left}\" y=\"{top}\" fill=\"{colour}\">{name}</text>")?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}
