//! The plot of the README: four panels over the size of the tenant, both axes logarithmic.

use std::fmt::Write as _;

use super::Figures;

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 220.0;
const MARGIN: f64 = 52.0;
const COLOURS: [&str; 2] = ["#2563eb", "#d97706"];

/// A panel: its title, and named lines of points.
struct Panel {
    title: &'static str,
    lines: Vec<(&'static str, Vec<(f64, f64)>)>,
}

/// All figures as one picture.
pub(super) fn svg(all: &[Figures]) -> String {
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    let line = |value: &dyn Fn(&Figures) -> f64| -> Vec<(f64, f64)> {
        all.iter().map(|figures| (figures.users as f64, value(figures).max(0.001))).collect()
    };
    let millis = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    let panels = [
        Panel { title: "seconds to index, without limits of calls", lines: vec![("", line(&|f| f.seconds))] },
        Panel {
            title: "memory, MiB",
            lines: vec![("indexing", line(&|f| f.indexing)), ("serving", line(&|f| f.serving))],
        },
        Panel { title: "bytes per user on disk", lines: vec![("", line(&|f| f.bytes_per_user))] },
        Panel {
            title: "find_user, median, ms",
            lines: vec![
                ("by e-mail", line(&|f| millis(f.by_email.median()))),
                ("by a part of a name", line(&|f| millis(f.by_part.median()))),
            ],
        },
    ];
    let mut body = String::new();
    for (at, panel) in (0_u8..).zip(&panels) {
        let (x, y) = (f64::from(at % 2) * WIDTH, f64::from(at / 2) * HEIGHT);
        let _ = write!(body, r#"<g transform="translate({x},{y})">{}</g>"#, panel.drawn());
    }
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>{body}</svg>"#,
        2.0 * WIDTH,
        2.0 * HEIGHT
    )
}

impl Panel {
    fn drawn(&self) -> String {
        let points: Vec<_> = self.lines.iter().flat_map(|(_, points)| points.iter().copied()).collect();
        let (x_low, x_high) = range(points.iter().map(|p| p.0));
        let (y_low, y_high) = range(points.iter().map(|p| p.1));
        let x = |v: f64| MARGIN + (v.log10() - x_low) / (x_high - x_low) * (WIDTH - 1.4 * MARGIN);
        let y = |v: f64| HEIGHT - 34.0 - (v.log10() - y_low) / (y_high - y_low) * (HEIGHT - 70.0);
        let mut drawn = format!(r#"<text x="{MARGIN}" y="18" font-weight="bold">{}</text>"#, self.title);
        for decade in decades(y_low, y_high) {
            let at = y(decade);
            let _ = write!(
                drawn,
                r##"<line x1="{MARGIN}" x2="{}" y1="{at:.1}" y2="{at:.1}" stroke="#ddd"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"##,
                WIDTH - 0.4 * MARGIN,
                MARGIN - 6.0,
                at + 4.0,
                shown(decade)
            );
        }
        for (n, (name, points)) in self.lines.iter().enumerate() {
            let colour = COLOURS[n % COLOURS.len()];
            let path: Vec<_> = points.iter().map(|p| format!("{:.1},{:.1}", x(p.0), y(p.1))).collect();
            let _ = write!(
                drawn,
                r#"<polyline fill="none" stroke="{colour}" stroke-width="2" points="{}"/>"#,
                path.join(" ")
            );
            // Of two lines the first is the lower one.
            let label = if self.lines.len() > 1 && n == 0 { 16.0 } else { -7.0 };
            for point in points {
                let (at, above) = (x(point.0), y(point.1));
                let _ = write!(drawn, r#"<circle cx="{at:.1}" cy="{above:.1}" r="3" fill="{colour}"/>"#);
                let _ = write!(
                    drawn,
                    r#"<text x="{at:.1}" y="{:.1}" text-anchor="middle" fill="{colour}">{}</text>"#,
                    above + label,
                    shown(point.1)
                );
                if n == 0 {
                    let _ = write!(
                        drawn,
                        r#"<text x="{at:.1}" y="{}" text-anchor="middle">{}</text>"#,
                        HEIGHT - 14.0,
                        people(point.0)
                    );
                }
            }
            if !name.is_empty() {
                #[allow(clippy::cast_precision_loss)] // one or two
                let below = 32.0 + 13.0 * n as f64;
                let _ =
                    write!(drawn, r#"<text x="{}" y="{below}" fill="{colour}">{name}</text>"#, MARGIN + 8.0);
            }
        }
        drawn
    }
}

/// The logarithms of the whole decades around all values.
fn range(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let low = values.clone().fold(f64::INFINITY, f64::min).log10().floor();
    let high = values.fold(f64::NEG_INFINITY, f64::max).log10().ceil();
    (low, if high > low { high } else { low + 1.0 })
}

fn decades(low: f64, high: f64) -> impl Iterator<Item = f64> {
    let decades = std::iter::successors(Some(low), |at| Some(at + 1.0));
    decades.take_while(move |at| *at <= high).map(|at| 10_f64.powf(at))
}

fn shown(value: f64) -> String {
    if value >= 10.0 {
        format!("{value:.0}")
    } else if value >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn people(users: f64) -> String {
    if users >= 1e6 { format!("{:.1} M users", users / 1e6) } else { format!("{:.0} k", users / 1e3) }
}
