//! Colours, and when not to use them.

use crate::dotenv::Env;
use anstyle::{AnsiColor, Style};

/// What a text means, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// Healthy.
    Good,
    /// To be watched.
    Doubtful,
    /// Broken.
    Bad,
    /// A heading.
    Heading,
    /// Beside the point.
    Faint,
}

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    colours: bool,
}

impl Palette {
    /// No colours.
    #[cfg(test)]
    pub const PLAIN: Self = Self { colours: false };
    /// Colours.
    #[cfg(test)]
    pub const COLOURS: Self = Self { colours: true };

    /// Colours on terminals only, and never against `--no-color`, `NO_COLOR` (no-color.org) or `TERM=dumb`.
    pub fn choose(no_color: bool, env: &Env, terminal: bool) -> Self {
        let dumb = env.get("TERM").is_some_and(|term| term.value == "dumb");
        Self { colours: terminal && !no_color && !dumb && env.get("NO_COLOR").is_none() }
    }

    /// The text in its colour.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let style = match tone {
            _ if !self.colours => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Doubtful => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default(),
            Tone::Heading => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
        };
        format!("{style}{text}{style:#}")
    }
}

/// The tone of a member's status or a node's state.
pub fn tone_of(status: &str) -> Tone {
    match status {
        "ACTIVE" | "running" | "confirmed" => Tone::Good,
        "INACTIVE" | "booting" | "trial" | "pending" => Tone::Doubtful,
        "DEAD" | "hanging" | "crashed" | "bricked" | "broken" | "reverted" => Tone::Bad,
        "off" => Tone::Faint,
        _ => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_only_where_wanted() {
        let none = Env::of(&[]);
        assert_eq!(Palette::choose(false, &none, true), Palette::COLOURS);
        assert_eq!(Palette::choose(false, &none, false), Palette::PLAIN);
        assert_eq!(Palette::choose(true, &none, true), Palette::PLAIN);
        assert_eq!(Palette::choose(false, &Env::of(&[("NO_COLOR", "1")]), true), Palette::PLAIN);
        assert_eq!(Palette::choose(false, &Env::of(&[("TERM", "dumb")]), true), Palette::PLAIN);
    }

    #[test]
    fn painting() {
        assert_eq!(Palette::PLAIN.paint(Tone::Bad, "x"), "x");
        assert_eq!(Palette::COLOURS.paint(tone_of("ACTIVE"), "x"), "\u{1b}[32mx\u{1b}[0m");
    }
}
