//! Bars with whiskers as SVG, readable on light and on dark ground.

use std::fmt::Write as _;

pub struct Chart {
    pub title: String,
    /// What the bars' lengths are.
    pub unit: String,
    pub bars: Vec<Bar>,
}

pub struct Bar {
    pub label: String,
    pub low: f64,
    pub value: f64,
    pub high: f64,
    /// To the right of all bars.
    pub note: String,
    /// The one that the others are compared with, or that the chart is about.
    pub is_marked: bool,
}

const WIDTH: f64 = 800.0;
const LABELS: f64 = 220.0;
const NOTES: f64 = 190.0;
const TOP: f64 = 64.0;
const ROW: f64 = 34.0;
const BAR: f64 = 18.0;

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-size:15px;font-weight:600}\
.soft{fill:#59636e}.bar{fill:#8fb3d9}.mark{fill:#1f6feb}.axis{stroke:#d1d9e0}\
.whisker{stroke:#1f2328;stroke-width:1.5}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.soft{fill:#9198a1}.bar{fill:#3d5878}\
.mark{fill:#4493f8}.axis{stroke:#3d444d}.whisker{stroke:#e6edf3}}";

impl Chart {
    pub fn svg(&self) -> String {
        let height = TOP + ROW * self.bars.len() as f64 + 12.0;
        let greatest = self.bars.iter().map(|bar| bar.high).fold(0.0, f64::max);
        let step = step(greatest);
        let end = (greatest / step).ceil() * step;
        let x = |value: f64| LABELS + value / end * (WIDTH - LABELS - NOTES);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\
             <title>{title}</title><style>{STYLE}</style>\n\
             <text class=\"title\" x=\"12\" y=\"22\">{title}</text>\n",
            title = escape(&self.title)
        );
        text(&mut svg, 12.0, 46.0, "start", "soft", &self.unit);
        for number in 0..=(end / step).round() as u32 {
            let (at, bottom) = (x(f64::from(number) * step), height - 8.0);
            let _ = writeln!(
                svg,
                "<line class=\"axis\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\"/>",
                TOP - 10.0
            );
            text(&mut svg, at, TOP - 18.0, "middle", "soft", &short(f64::from(number) * step));
        }
        for (number, bar) in self.bars.iter().enumerate() {
            let middle = TOP + ROW * (number as f64 + 0.5);
            let class = if bar.is_marked { "mark" } else { "bar" };
            text(&mut svg, LABELS - 10.0, middle + 4.5, "end", "", &bar.label);
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{LABELS}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
                middle - BAR / 2.0,
                x(bar.value) - LABELS
            );
            let (low, high) = (x(bar.low), x(bar.high));
            let _ = writeln!(
                svg,
                "<path class=\"whisker\" d=\"M{low:.1} {middle:.1}H{high:.1}M{low:.1} {top:.1}v8M{high:.1} {top:.1}v8\"/>",
                top = middle - 4.0
            );
            text(&mut svg, WIDTH - NOTES + 22.0, middle + 4.5, "start", "soft", &bar.note);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
    let text = escape(text);
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// 1, 2 or 5 times a power of ten, so that there are four to eight of them.
fn step(greatest: f64) -> f64 {
    let power = 10f64.powf((greatest.max(1e-9) / 4.0).log10().floor());
    [5.0, 2.0, 1.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| greatest / step >= 3.0)
        .unwrap_or(power)
}

pub fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => {
            format!("{:.3}", value / 1e6).trim_end_matches('0').trim_end_matches('.').to_owned() + " M"
        }
        value if value >= 1e3 => format!("{:.0} k", value / 1e3),
        value => format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}
