//! What a file of this repository may be called, how long it may be and what it may not contain.
//!
//! Not here: which crate may know which (`edges`), formatting and clippy's own rules (`lint`).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::rust_text::{code_only, test_modules, without_tests};

/// Lines that a source file may have; beyond, it is to be split by noun.
const LINES_MAX: usize = 400;
/// Lines from which on a source file is listed as growing too long.
const LINES_WARN: usize = 300;

/// Names that say nothing about what lives in a module.
const EMPTY_NAMES: &[&str] = &["core", "common", "util", "utils", "helper", "helpers", "manager", "managers"];

/// Left-overs that no source file may hold, tests included.
const LEFT_OVERS: &[&str] = &["todo!", "dbg!", "unimplemented!"];

/// Beginnings of paths that exist on one machine only. Split, so that this file does not match itself.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Use", "rs/")];

/// Folders that hold nothing of ours.
const FOREIGN_FOLDERS: &[&str] = &["node_modules", "target"];

/// What the rules found.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Findings {
    pub(crate) errors: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// Looks through every file under `root`.
pub(crate) fn check(root: &Path) -> Result<Findings> {
    let mut sources = Vec::new();
    for path in files(root)? {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push((path.strip_prefix(root).unwrap_or(&path).to_path_buf(), text));
        }
    }
    let tests = TestFiles::of(&sources);
    let mut findings = Findings::default();
    for (path, text) in &sources {
        check_file(path, text, &tests, &mut findings);
    }
    Ok(findings)
}

/// Files and folders that hold tests only, without their endings.
#[derive(Default)]
struct TestFiles(Vec<PathBuf>);

impl TestFiles {
    /// Finds the modules that are declared under `#[cfg(test)]` and live in files of their own.
    fn of(sources: &[(PathBuf, String)]) -> Self {
        let rust = sources.iter().filter(|(path, _)| is_rust(path));
        let modules = rust.flat_map(|(path, text)| {
            let stem = path.with_extension("");
            let is_root =
                path.file_stem().is_some_and(|stem| ["mod", "lib", "main"].iter().any(|s| stem == *s));
            let folder = if is_root { stem.parent().unwrap_or(&stem).to_path_buf() } else { stem };
            let code = code_only(text);
            test_modules(&code).into_iter().map(|name| folder.join(name)).collect::<Vec<_>>()
        });
        Self(modules.collect())
    }

    fn contain(&self, path: &Path) -> bool {
        let stem = path.with_extension("");
        is_under(path, "tests") || self.0.iter().any(|module| stem.starts_with(module))
    }
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// All files under `root`, sorted, without hidden folders but for `.ci` and `.cargo`.
pub(crate) fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo";
            if entry.file_type()?.is_file() {
                found.push(entry.path());
            } else if entry.file_type()?.is_dir() && !hidden && !FOREIGN_FOLDERS.contains(&name.as_ref()) {
                folders.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Applies every rule to one file, named by its path from the repository's root.
fn check_file(path: &Path, text: &str, tests: &TestFiles, findings: &mut Findings) {
    machine_paths(path, text, findings);
    if !is_rust(path) {
        return;
    }
    names(path, findings);
    let code = code_only(text);
    for left_over in LEFT_OVERS {
        report_lines(path, &code, left_over, findings);
    }
    if is_under(path, "src") {
        length(path, text, findings);
        if !tests.contain(path) {
            report_lines(path, &without_tests(&code), ".unwrap()", findings);
        }
    }
}

fn names(path: &Path, findings: &mut Findings) {
    let stem = path.with_extension("");
    for part in stem.components().filter_map(|part| part.as_os_str().to_str()) {
        if EMPTY_NAMES.contains(&part) {
            findings.errors.push(format!("{}: `{part}` names no noun", path.display()));
        }
    }
}

fn length(path: &Path, text: &str, findings: &mut Findings) {
    let lines = text.lines().count();
    if lines > LINES_MAX {
        findings.errors.push(format!("{}: {lines} lines, at most {LINES_MAX}", path.display()));
    } else if lines > LINES_WARN {
        findings.warnings.push(format!("{}: {lines} lines, split it soon", path.display()));
    }
}

fn machine_paths(path: &Path, text: &str, findings: &mut Findings) {
    for (number, line) in text.lines().enumerate() {
        if MACHINE_PATHS.iter().any(|start| begins_path(line, start)) {
            let place = format!("{}:{}", path.display(), number + 1);
            findings.errors.push(format!("{place}: a path of one machine"));
        }
    }
}

/// Whether `start` begins a path in `line`, rather than going on with a longer one or with an address.
fn begins_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || "._-~}/:".contains(before))
    })
}

fn report_lines(path: &Path, code: &str, found: &str, findings: &mut Findings) {
    for (number, line) in code.lines().enumerate() {
        if line.contains(found) {
            findings.errors.push(format!("{}:{}: `{found}`", path.display(), number + 1));
        }
    }
}

fn is_under(path: &Path, folder: &str) -> bool {
    path.parent().is_some_and(|parent| parent.components().any(|part| part.as_os_str() == folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(path: &str, text: &str) -> Vec<String> {
        let mut findings = Findings::default();
        check_file(Path::new(path), text, &TestFiles::default(), &mut findings);
        findings.errors
    }

    #[test]
    fn unwrap_is_found_in_code_but_not_in_tests() {
        assert_eq!(errors("a/src/b.rs", "fn c() {\n d.unwrap();\n}"), ["a/src/b.rs:2: `.unwrap()`"]);
        let tested = "fn c() {}\n#[cfg(test)]\nmod tests {\n fn d() { e.unwrap(); }\n}";
        assert!(errors("a/src/b.rs", tested).is_empty());
        assert!(errors("a/tests/b.rs", "fn c() { d.unwrap(); }").is_empty());
    }

    #[test]
    fn files_are_tests_where_their_module_is_declared_so() {
        let source = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
        let tests = TestFiles::of(&[
            source("a/src/b.rs", "#[cfg(test)]\nmod tests;\nmod plain;"),
            source("a/src/store/mod.rs", "#[cfg(any(test, feature = \"x\"))]\npub mod cases;"),
        ]);
        for test in ["a/src/b/tests.rs", "a/src/store/cases.rs", "a/src/store/cases/one.rs", "a/tests/c.rs"] {
            assert!(tests.contain(Path::new(test)), "{test}");
        }
        for code in ["a/src/b.rs", "a/src/b/plain.rs", "a/src/tests.rs", "a/src/store/mod.rs"] {
            assert!(!tests.contain(Path::new(code)), "{code}");
        }
    }

    #[test]
    fn left_overs_are_found_everywhere_but_in_comments() {
        assert_eq!(errors("a/tests/b.rs", "fn c() { todo!() }").len(), 1);
        assert!(errors("a/src/b.rs", "// dbg!(x)\n").is_empty());
    }

    #[test]
    fn long_files_fail_and_longish_ones_are_listed() {
        let mut findings = Findings::default();
        check_file(Path::new("a/src/b.rs"), &"\n".repeat(LINES_MAX), &TestFiles::default(), &mut findings);
        assert_eq!((findings.errors.len(), findings.warnings.len()), (0, 1));
        check_file(
            Path::new("a/src/b.rs"),
            &"\n".repeat(LINES_MAX + 1),
            &TestFiles::default(),
            &mut findings,
        );
        assert_eq!((findings.errors.len(), findings.warnings.len()), (1, 1));
    }

    #[test]
    fn empty_names_fail_as_file_and_as_folder() {
        assert_eq!(errors("a/src/util.rs", "").len(), 1);
        assert_eq!(errors("a/src/common/b.rs", "").len(), 1);
        assert!(errors("a/src/utility.rs", "").is_empty());
    }

    #[test]
    fn paths_of_one_machine_are_found_in_any_text() {
        let home = concat!("see /ho", "me/ana/x");
        assert_eq!(errors("README.md", home).len(), 1);
        assert!(errors("README.md", concat!("https://example.org/ho", "me/x")).is_empty());
        assert!(errors("README.md", concat!("net/wo", "rk/x")).is_empty());
    }
}
