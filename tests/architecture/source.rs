//! Source files as the rules check them: code without comments, string contents and tests.

use std::fs;
use std::path::Path;

pub struct Source {
    /// The path under `src`.
    pub path: String,
    /// The code, line by line. A `use` of several lines is joined in its first line.
    pub lines: Vec<String>,
    pub length: usize,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let code = without_tests(&code_of(text));
        Self { path: path.to_owned(), lines: with_whole_uses(&code), length: text.lines().count() }
    }

    /// The ring or module of the file: `domain` for `domain/id.rs`, `db` for `db.rs` and `db/connect.rs`.
    pub fn ring(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap_or_default()
    }

    pub fn is_one_of(&self, paths: &[&str]) -> bool {
        paths.contains(&self.path.as_str())
    }
}

/// All Rust files in a directory, sorted by path.
pub fn read(root: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                found.push(Source::new(&name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Whether a line contains a whole word.
pub fn has_word(line: &str, word: &str) -> bool {
    words(line).any(|(found, _, _)| found == word)
}

/// Whether a module is named: in a path, or anywhere in a `use`.
pub fn names_module(line: &str, module: &str) -> bool {
    let is_use = line.trim_start().trim_start_matches("pub ").starts_with("use ");
    words(line).any(|(found, before, after)| {
        let in_path = before.ends_with("::") || after.starts_with("::");
        found == module && (is_use || in_path) && !before.ends_with("std::")
    })
}

/// The words of a line, each with the text before and after it.
fn words(line: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + line[at..].find(is_part)?;
        let end = line[start..].find(|c| !is_part(c)).map_or(line.len(), |length| start + length);
        at = end;
        Some((&line[start..end], &line[..start], &line[end..]))
    })
}

/// The text without comments and with empty literals. All lines keep their numbers.
fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut at) = (String::new(), 0);
    while at < chars.len() {
        let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
        match no_code(&chars[at..], in_word) {
            Some(length) => {
                let skipped = &chars[at..at + length];
                code.push_str(if skipped[0] == '/' { "" } else { "\"\"" });
                code.extend(skipped.iter().filter(|c| **c == '\n'));
                at += length;
            }
            None => {
                code.push(chars[at]);
                at += 1;
            }
        }
    }
    code
}

/// The length of a comment or literal that begins here; `None` if there is none.
fn no_code(rest: &[char], in_word: bool) -> Option<usize> {
    let until = |from: usize, end: &[char]| {
        rest[from..].windows(end.len()).position(|at| at == end).map_or(rest.len(), |at| from + at + end.len())
    };
    match rest {
        ['/', '/', ..] => Some(rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())),
        ['/', '*', ..] => Some(until(2, &['*', '/'])),
        ['"', ..] => Some(quoted(rest)),
        ['r', ..] if !in_word => {
            let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
            let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            (rest.get(1 + hashes) == Some(&'"')).then(|| until(2 + hashes, &end))
        }
        ['\'', '\\', ..] => Some(3 + rest[3..].iter().position(|c| *c == '\'')? + 1),
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}

/// The length of a string in quotation marks, including escapes.
fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// The code without the parts that are only compiled for tests.
fn without_tests(code: &str) -> String {
    let Some(start) = code.find("#[cfg(test)]") else { return code.to_owned() };
    let item = &code[start..];
    let end = match item.find(['{', ';']) {
        Some(at) if item[at..].starts_with('{') => at + balanced(&item[at..]),
        Some(at) => at + 1,
        None => item.len(),
    };
    let lines: String = item[..end].chars().filter(|c| *c == '\n').collect();
    format!("{}{lines}{}", &code[..start], without_tests(&item[end..]))
}

/// The length of the brackets that open at the start, including their content.
pub fn balanced(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + c.len_utf8();
        }
    }
    code.len()
}

fn with_whole_uses(code: &str) -> Vec<String> {
    let mut lines: Vec<String> = code.lines().map(str::to_owned).collect();
    let mut open: Option<usize> = None;
    for at in 0..lines.len() {
        let ends = lines[at].contains(';');
        if let Some(first) = open {
            let line = std::mem::take(&mut lines[at]);
            lines[first].push_str(&format!(" {}", line.trim()));
        } else if lines[at].trim_start().trim_start_matches("pub ").starts_with("use ") {
            open = Some(at);
        }
        open = open.filter(|_| !ends);
    }
    lines
}

#[test]
fn comments_texts_and_characters_are_no_code() {
    let code = |text| code_of(text).trim().to_owned();
    assert_eq!(code("a // b \"c\"\nd"), "a \nd");
    assert_eq!(code("a /* b\n c */ d"), "a \n d");
    assert_eq!(code(r#"a("b \" // c", d)"#), r#"a("", d)"#);
    assert_eq!(code("r#\"a \" b\"# c for\"d\""), "\"\" c for\"\"");
    assert_eq!(code("'\"' 'a' '\\'' &'a str"), "\"\" \"\" \"\" &'a str");
}

#[test]
fn a_use_of_several_lines_is_one() {
    let source = Source::new("a.rs", "use crate::{\n    b,\n    c,\n};\nfn d() {}");
    assert_eq!(source.lines, ["use crate::{ b, c, };", "", "", "", "fn d() {}"]);
}

#[test]
fn a_module_is_named_in_a_path_or_a_use() {
    assert!(names_module("let a = crate::store::find();", "store"));
    assert!(names_module("use crate::{domain, store};", "store"));
    assert!(!names_module("let store = restore::now(my_store::x);", "store"));
    assert!(!names_module("length: std::ops::RangeInclusive<usize>", "ops"));
}
