//! Settings from the environment and from `.env`, the real environment first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where settings come from.
#[derive(Debug, Clone, Default)]
pub struct Env {
    /// The real environment.
    real: BTreeMap<String, String>,
    /// The nearest `.env` file.
    file: BTreeMap<String, String>,
    /// Which file that is.
    path: Option<PathBuf>,
}

/// A setting and where it was found, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its value, never empty.
    pub value: String,
    /// Such as `API_NODE in /home/me/.env`.
    pub origin: String,
}

impl Env {
    /// The process's environment and the nearest `.env` from `folder` upwards.
    pub fn load(folder: &Path) -> Self {
        let real = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let path = folder.ancestors().map(|folder| folder.join(".env")).find(|path| path.is_file());
        let text = path.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        Self { real, file: parse(&text), path }
    }

    /// The value of `key`. An empty value counts as not set, so that `API_NODE= spore …` switches the file's off.
    pub fn get(&self, key: &str) -> Option<Setting> {
        if let Some(value) = self.real.get(key) {
            return (!value.is_empty()).then(|| Setting { value: value.clone(), origin: key.to_owned() });
        }
        let value = self.file.get(key).filter(|value| !value.is_empty())?;
        let path = self.path.as_deref().unwrap_or(Path::new(".env"));
        Some(Setting { value: value.clone(), origin: format!("{key} in {}", path.display()) })
    }

    /// An environment of these variables only.
    #[cfg(test)]
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let real = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { real, ..Self::default() }
    }
}

/// Read `KEY=value` lines: `export` before them, quotes around values, comments and blanks are understood.
/// Lines that are none of these are left out; a shell would complain about them, and it is not our file.
fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let (key, value) = line.split_once('=')?;
    let key = key.trim_end();
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return None;
    }
    let value = value.trim_start();
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(value.get(1..)?, quote)?,
        // A comment begins at a `#` after white space, as in a shell.
        _ => value
            .split(" #")
            .next()
            .unwrap_or_default()
            .split("\t#")
            .next()
            .unwrap_or_default()
            .trim_end()
            .to_owned(),
    };
    Some((key.to_owned(), value))
}

/// The text up to the closing quote; in double quotes a backslash protects the next character.
fn quoted(text: &str, quote: char) -> Option<String> {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => return Some(value),
            '\\' if quote == '"' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Option<(String, String)> {
        parse_line(line)
    }

    fn pair(key: &str, value: &str) -> Option<(String, String)> {
        Some((key.to_owned(), value.to_owned()))
    }

    #[test]
    fn lines_of_a_shell_are_understood() {
        assert_eq!(one("export API_NODE=192.168.1.100"), pair("API_NODE", "192.168.1.100"));
        assert_eq!(one("  A = b c  # note"), pair("A", "b c"));
        assert_eq!(one("A='it''"), pair("A", "it"));
        assert_eq!(one("A='# $x \\n'"), pair("A", "# $x \\n"));
        assert_eq!(one(r#"A="say \"hi\"" # note"#), pair("A", "say \"hi\""));
        assert_eq!(one("A=p#q"), pair("A", "p#q"));
        assert_eq!(one("A="), pair("A", ""));
    }

    #[test]
    fn other_lines_are_left_out() {
        for line in ["", "# A=b", "A", "=b", "echo x=y", "A=\"open"] {
            assert_eq!(one(line), None, "{line}");
        }
    }

    #[test]
    fn the_nearest_file_counts_and_the_environment_wins() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(root.path().join(".env"), "FAR=1\n").unwrap();
        std::fs::write(root.path().join("a/.env"), "SPORE_TEST_ONLY=from-file\nPATH=never\n").unwrap();
        let env = Env::load(&deep);
        let setting = env.get("SPORE_TEST_ONLY").unwrap();
        assert_eq!(setting.value, "from-file");
        assert!(setting.origin.ends_with("a/.env"), "{}", setting.origin);
        assert_eq!(env.get("FAR"), None);
        assert_ne!(env.get("PATH").unwrap().value, "never");
    }

    #[test]
    fn an_empty_variable_switches_the_file_off() {
        let mut env = Env::of(&[("API_NODE", "")]);
        env.file.insert("API_NODE".into(), "192.168.1.100".into());
        assert_eq!(env.get("API_NODE"), None);
    }
}
