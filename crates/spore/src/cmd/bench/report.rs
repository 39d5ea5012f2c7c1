//! Figures, as a table or as JSON.

use crate::output::table::Table;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

/// One number with its unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    name: Cow<'static, str>,
    value: f64,
    unit: &'static str,
}

impl Figure {
    /// A figure called `name`.
    pub fn new(name: impl Into<Cow<'static, str>>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit }
    }

    /// As people read it: three digits that count, and no more than that after the point.
    fn text(&self) -> String {
        let Self { name, value, unit } = self;
        let digits = match value.abs() {
            size if size.fract() == 0.0 => 0,
            size if size < 1.0 => 3,
            size if size < 10.0 => 2,
            size if size < 100.0 => 1,
            _ => 0,
        };
        format!("{name} {value:.digits$} {unit}").trim_end().to_owned()
    }
}

/// Figures that belong together.
#[derive(Debug, Clone, Serialize)]
struct Measurement {
    name: String,
    figures: Vec<Figure>,
}

/// All that was measured, and where.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    version: &'static str,
    build: &'static str,
    system: String,
    cores: usize,
    seconds: f64,
    measurements: Vec<Measurement>,
}

impl Report {
    /// Nothing yet; each measurement lasts `span`.
    pub fn new(span: Duration) -> Self {
        let system = rustix::system::uname();
        let word = |word: &std::ffi::CStr| word.to_string_lossy().into_owned();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            system: [system.sysname(), system.release(), system.machine()].map(word).join(" "),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            seconds: span.as_secs_f64(),
            measurements: Vec::new(),
        }
    }

    /// Add a measurement.
    pub fn add(&mut self, name: impl Into<String>, figures: Vec<Figure>) {
        self.measurements.push(Measurement { name: name.into(), figures });
    }

    /// As a table.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&["measured", "result"]);
        for Measurement { name, figures } in &self.measurements {
            let figures: Vec<_> = figures.iter().map(Figure::text).collect();
            table.row(vec![name.into(), figures.join(", ").into()]);
        }
        let machine = format!("{} cores, {}", self.cores, self.system);
        table.row(vec!["machine".into(), machine.into()]);
        let build = format!("spore {}, {} build, {} s each", self.version, self.build, self.seconds);
        table.row(vec!["program".into(), build.into()]);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::style::Palette;

    #[test]
    fn figures_show_the_digits_that_count() {
        let text = |value| Figure::new("p50", value, "ms").text();
        assert_eq!(
            [0.0, 0.1234, 1.234, 12.34, 1234.5].map(text).join("|"),
            "p50 0 ms|p50 0.123 ms|p50 1.23 ms|p50 12.3 ms|p50 1234 ms"
        );
        assert_eq!(Figure::new("failed", 3.0, "").text(), "failed 3");
    }

    #[test]
    fn a_line_per_measurement() {
        let mut report = Report::new(Duration::from_secs(1));
        report.add("x", vec![Figure::new("a", 1.0, "s"), Figure::new("b", 200.0, "bytes")]);
        let text = report.table().text(Palette::PLAIN);
        assert!(text.contains("\nx         a 1 s, b 200 bytes\n"), "{text}");
    }
}
