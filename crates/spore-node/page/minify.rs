//! A careful minifier for `index.html`, used by the build script and tested with the crate.
//!
//! It removes only what cannot matter: indentation, comment lines, and white space between tokens of the one `<style>`
//! and the one `<script>`. It renames nothing. Template literals are refused, because white space in them counts.

/// Minified text of `page`, or why it cannot be minified safely.
pub fn minify(page: &str) -> Result<String, &'static str> {
    if page.contains('`') {
        return Err("template literals are not supported");
    }
    let lines: Vec<&str> = page
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .filter(|line| !(line.starts_with("<!--") && line.ends_with("-->")))
        .collect();
    let text = lines.join("\n");
    let (head, rest) = text.split_once("<style>").ok_or("no <style>")?;
    let (style, rest) = rest.split_once("</style>").ok_or("no </style>")?;
    let (body, rest) = rest.split_once("<script>").ok_or("no <script>")?;
    let (script, tail) = rest.split_once("</script>").ok_or("no </script>")?;
    Ok([
        head,
        "<style>",
        &style.replace('\n', ""),
        "</style>",
        body,
        "<script>",
        &squeeze(script),
        "</script>",
        tail,
    ]
    .concat())
}

/// `script` without needless white space. Strings and regular expressions stay as they are; a line break goes only
/// where automatic semicolon insertion could not have used it.
fn squeeze(script: &str) -> String {
    let mut out = String::with_capacity(script.len());
    let mut rest = script.chars().peekable();
    while let Some(c) = rest.next() {
        let last = out.chars().next_back().unwrap_or(';');
        if c == '\'' || c == '"' || (c == '/' && "(,=:[!&|?{};>\n".contains(last)) {
            out.push(c);
            literal(&mut out, &mut rest, c);
        } else if c.is_whitespace() {
            let mut broken = c == '\n';
            while let Some(space) = rest.next_if(|next| next.is_whitespace()) {
                broken |= space == '\n';
            }
            let next = rest.peek().copied().unwrap_or(';');
            if broken && !";{,([:?&|=>".contains(last) && !"})].,;:?&|".contains(next) {
                out.push('\n');
            } else if (is_word(last) && is_word(next)) || (last == next && "+-/".contains(last)) {
                out.push(' ');
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Copies the rest of a string or regular expression, up to its unescaped `end`. A slash inside `[…]` does not end one.
fn literal(out: &mut String, rest: &mut impl Iterator<Item = char>, end: char) {
    let (mut escaped, mut class) = (false, false);
    for c in rest {
        out.push(c);
        if !escaped {
            match c {
                '[' if end == '/' => class = true,
                ']' => class = false,
                _ if c == end && !class => return,
                _ => {}
            }
        }
        escaped = c == '\\' && !escaped;
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}
