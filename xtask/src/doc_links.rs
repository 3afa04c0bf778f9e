//! Links of the written documents: each leads to a file of the repository, and a link whose text is a name in
//! backticks, as in ``[`a_grant_ends`](tests/src/revoke.rs)``, to a file that has that name.
//!
//! So a claim that names its test cannot outlive the test. Not here: addresses of the web, which are not followed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::source_rules;

/// One `[text](target)`.
#[derive(Debug, PartialEq)]
struct Link<'a> {
    text: &'a str,
    target: &'a str,
}

/// Every link that leads nowhere, in every Markdown file under `root`.
pub(crate) fn violations(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for path in source_rules::files(root)? {
        if path.extension().is_some_and(|extension| extension == "md") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let folder = path.parent().unwrap_or(root);
            let name = path.strip_prefix(root).unwrap_or(&path).display();
            let broken = links(&text).into_iter().filter(|link| !leads_somewhere(folder, &text, link));
            found
                .extend(broken.map(|link| format!("{name}: [{}]({}) leads nowhere", link.text, link.target)));
        }
    }
    Ok(found)
}

/// The links of a text, in order; code blocks are not told apart.
fn links(text: &str) -> Vec<Link<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("](") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let (Some(open), Some(close)) = (before.rfind('['), after.find(')')) {
            found.push(Link { text: &before[open + 1..], target: &after[..close] });
        }
        rest = after;
    }
    found
}

fn leads_somewhere(folder: &Path, document: &str, link: &Link<'_>) -> bool {
    if link.target.contains("://") || link.target.starts_with("mailto:") {
        return true;
    }
    let (file, anchor) = link.target.split_once('#').unwrap_or((link.target, ""));
    if file.is_empty() {
        return headings(document).any(|heading| heading == anchor);
    }
    let target = folder.join(file);
    let is_rust = target.extension().is_some_and(|extension| extension == "rs");
    let name = link.text.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
    match name.filter(|name| is_identifier(name) && is_rust) {
        Some(name) => fs::read_to_string(target).is_ok_and(|source| has_function(&source, name)),
        None => target.exists(),
    }
}

/// The anchors that Markdown readers give to headings.
fn headings(document: &str) -> impl Iterator<Item = String> {
    let titles =
        document.lines().filter_map(|line| Some(line.strip_prefix('#')?.trim_start_matches('#').trim()));
    titles.map(|title| {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    })
}

fn is_identifier(text: &str) -> bool {
    text.contains('_')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn has_function(source: &str, name: &str) -> bool {
    source.contains(&format!("fn {name}(")) || source.contains(&format!("fn {name}<"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_with_their_text() {
        let expected = [Link { text: "a", target: "b.md" }, Link { text: "`c`", target: "d.rs" }];
        assert_eq!(links("see [a](b.md) and [x] and [`c`](d.rs)."), expected);
    }

    #[test]
    fn a_claim_cannot_outlive_its_test() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let leads = |text, target| leads_somewhere(here, "# One, two\n", &Link { text, target });
        assert!(leads("`a_claim_cannot_outlive_its_test`", "src/doc_links.rs"));
        assert!(!leads("`a_claim_that_was_never_tested`", "src/doc_links.rs"));
        assert!(leads("sources", "src"));
        assert!(!leads("sources", "no-such-folder"));
        assert!(leads("two", "#one-two") && !leads("three", "#three"));
        assert!(leads("web", "https://example.org/"));
    }
}
