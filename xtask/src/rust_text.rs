//! Rust source without its comments, literals and tests, for rules that look for code.
//!
//! A scanner, not a parser: it knows where comments, strings and characters begin and end, and which
//! braces belong together. Not here: the rules themselves (`source_rules`).

/// `source` with comments and the insides of literals turned to spaces; line breaks stay.
pub(crate) fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = skipped_end(bytes, at);
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// Where the comment or literal that starts at `at` ends; `at` itself where none starts there.
fn skipped_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        at + line_length(rest)
    } else if rest.starts_with(b"/*") {
        block_comment_end(bytes, at)
    } else if rest[0] == b'"' {
        string_end(bytes, at)
    } else if rest[0] == b'r' && !follows_word(bytes, at) {
        raw_string_end(bytes, at)
    } else if rest[0] == b'\'' {
        character_end(bytes, at)
    } else {
        at
    }
}

fn line_length(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// An identifier such as `for"` or `br"`: only `b` before `r` is still a raw string.
fn follows_word(bytes: &[u8], at: usize) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match bytes[..at] {
        [.., before, b'b'] => is_word(&before),
        [.., before] => before != b'b' && is_word(&before),
        [] => false,
    }
}

fn raw_string_end(bytes: &[u8], start: usize) -> usize {
    let hashes = bytes[start + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = start + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return start;
    }
    let closing = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let inside = &bytes[open + 1..];
    inside
        .windows(closing.len())
        .position(|window| window == closing)
        .map_or(bytes.len(), |length| open + 1 + length + closing.len())
}

/// A character literal, told from a lifetime by its closing quote.
fn character_end(bytes: &[u8], start: usize) -> usize {
    match bytes[start + 1..] {
        [b'\\', escaped, ..] => {
            let from = start + 2 + usize::from(escaped == b'\'' || escaped == b'\\');
            bytes[from..].iter().position(|byte| *byte == b'\'').map_or(start, |gap| from + gap + 1)
        }
        [first, ..] => {
            let width = match first {
                0..=0x7f => 1,
                0x80..=0xdf => 2,
                0xe0..=0xef => 3,
                _ => 4,
            };
            let close = start + 1 + width;
            if bytes.get(close) == Some(&b'\'') { close + 1 } else { start }
        }
        [] => start,
    }
}

/// Attributes that keep an item to tests, closing brackets left out.
const TEST_MARKS: &[&str] = &["#[cfg(test)", "#[cfg(any(test,", "#[cfg(all(test,"];

/// `code` (from [`code_only`]) with every item that is kept to tests turned to spaces.
pub(crate) fn without_tests(code: &str) -> String {
    let mut kept = code.to_owned();
    for (start, end) in test_items(code) {
        let blank: String = code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        // As many bytes as before: the code of this repository is ASCII but for literals and comments.
        kept.replace_range(start..end, &format!("{blank:width$}", width = end - start));
    }
    kept
}

/// The modules in files of their own that `code` keeps to tests: `#[cfg(test)] mod tests;`.
pub(crate) fn test_modules(code: &str) -> Vec<&str> {
    let items = test_items(code).into_iter().map(|(start, end)| &code[start..end]);
    let declared = items.filter_map(|item| item.strip_suffix(';')?.rsplit_once("mod "));
    declared.map(|(_, name)| name.trim()).collect()
}

/// Where the items that are kept to tests begin, attribute included, and end.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut items = Vec::new();
    let mut from = 0;
    while let Some(start) = TEST_MARKS.iter().filter_map(|mark| Some(from + code[from..].find(mark)?)).min() {
        let attribute = code[start..].find(']').map_or(code.len(), |gap| start + gap + 1);
        from = item_end(code.as_bytes(), attribute);
        items.push((start, from));
    }
    items
}

/// The end of the item after an attribute: its `;`, or the brace that closes its first one.
fn item_end(code: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.iter().enumerate().skip(start) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return at + 1,
            b'}' => depth -= 1,
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_vanish_and_lines_stay() {
        let source = "a(\"x.unwrap()\"); // y.unwrap()\n/* z /* n */ */ b(r#\"q\" todo!()\"#);\nc";
        let code = code_only(source);
        assert_eq!(code.lines().count(), 3);
        assert!(!code.contains("unwrap") && !code.contains("todo"));
        assert!(code.contains("a(") && code.contains("b(") && code.contains('c'));
    }

    #[test]
    fn characters_are_told_from_lifetimes() {
        let code = code_only("f::<'a>('\"'); g('\\''); h('é'); i('\\u{1F600}'); j.unwrap()");
        assert!(code.contains("<'a>") && code.contains("j.unwrap()"));
        assert!(!code.contains('"') && !code.contains('é'));
    }

    #[test]
    fn a_word_that_ends_in_r_starts_no_raw_string() {
        assert!(code_only("for\"a\"; x.unwrap()").contains("x.unwrap()"));
        assert!(!code_only("br\"a.unwrap()\"").contains("unwrap"));
    }

    #[test]
    fn an_open_literal_ends_with_the_file() {
        for source in ["\"a", "r#\"a", "/* a", "'", "'\\", "\"\\"] {
            code_only(source);
        }
    }

    #[test]
    fn test_items_vanish_and_what_follows_stays() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { c.unwrap() } }\nfn d() {}";
        let kept = without_tests(code);
        assert!(kept.contains("fn a") && kept.contains("fn d"));
        assert!(!kept.contains("unwrap"));
        assert!(without_tests("#[cfg(test)]\nmod tests;\nfn e() {}").contains("fn e"));
        assert!(
            !without_tests("#[cfg(any(test, feature = \" \"))]\nimpl A { x.unwrap() }").contains("unwrap")
        );
    }

    #[test]
    fn modules_that_are_kept_to_tests_are_named() {
        let code = "#[cfg(test)]\nmod a;\nmod b;\n#[cfg(any(test, feature = \" \"))]\npub mod c;\n#[cfg(test)]\nmod d {}";
        assert_eq!(test_modules(code), ["a", "c"]);
    }
}
