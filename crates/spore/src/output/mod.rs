//! How results look: tables, colours, progress.

pub mod lab;
pub mod progress;
pub mod style;
pub mod table;

/// A duration for people: `0.4 s`, `12 s`, `3 min`, `2.5 h`.
pub fn duration(millis: u64) -> String {
    let seconds = millis as f64 / 1000.0;
    match millis {
        0..10_000 => format!("{seconds:.1} s"),
        10_000..120_000 => format!("{seconds:.0} s"),
        120_000..7_200_000 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// `key=value` pairs in one line.
pub fn labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let pairs: Vec<_> = labels.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn durations() {
        let text: Vec<_> =
            [0, 449, 9_999, 10_000, 119_000, 120_000, 7_200_000].into_iter().map(super::duration).collect();
        assert_eq!(text, ["0.0 s", "0.4 s", "10.0 s", "10 s", "119 s", "2 min", "2.0 h"]);
    }
}
