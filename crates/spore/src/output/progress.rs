//! How far an upload is: a bar on terminals, a line every ten percent elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::io::IsTerminal;

/// Progress of one upload, on stderr.
pub enum Progress {
    /// Tell nothing.
    Silent,
    /// A bar.
    Bar(ProgressBar),
    /// Lines.
    Lines {
        /// What is sent.
        label: String,
        /// Bytes in all.
        total: usize,
        /// Tenths told so far.
        told: Cell<usize>,
    },
}

impl Progress {
    /// Start to tell about so many bytes.
    pub fn new(label: &str, total: usize, quiet: bool) -> Self {
        if quiet {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines { label: label.to_owned(), total, told: Cell::new(0) };
        }
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        let template = "{prefix}  {bar:30} {percent:>3} %  {bytes} of {total_bytes}  {eta}";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(label.to_owned());
        Self::Bar(bar)
    }

    /// So many bytes are gone.
    pub fn set(&self, sent: usize) {
        match self {
            Self::Silent => {}
            Self::Bar(bar) => bar.set_position(sent as u64),
            Self::Lines { label, total, told } => {
                let tenths = tenths(sent, *total);
                if tenths != told.replace(tenths) {
                    // A closed stderr must not stop the upload.
                    let _ = std::io::Write::write_fmt(
                        &mut std::io::stderr(),
                        format_args!("{label}: {}0 %\n", tenths),
                    );
                }
            }
        }
    }

    /// No more to tell.
    pub fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn tenths(sent: usize, total: usize) -> usize {
    sent.saturating_mul(10).checked_div(total).unwrap_or(10)
}

#[cfg(test)]
mod tests {
    #[test]
    fn tenths() {
        assert_eq!([0, 9, 10, 99, 100].map(|sent| super::tenths(sent, 100)), [0, 0, 1, 9, 10]);
        assert_eq!(super::tenths(0, 0), 10);
    }
}
