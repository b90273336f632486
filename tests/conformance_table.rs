//! CONFORMANCE.md: which test shows which item of `tests/conformance/items.txt`, and how it went.
//!
//! A test cites its items in its doc comment: `/// sp-wire 8.2 items 24 and 25`. Results come from a run and from
//! nowhere else: `SP_TEST_LOG` names the output of `cargo test`.
//!
//! ```text
//! SP_INTEROP=required cargo test --no-fail-fast > target/test.log 2>&1
//! SP_TEST_LOG=target/test.log SP_CONFORMANCE=write cargo test --test conformance_table
//! ```
//!
//! The first fails tests for which another library's tools are missing, rather than skip them; the second writes the
//! table. Without `SP_CONFORMANCE=write` it is compared, and has to say that everything passes;
//! with a log, every test in it has to have run and passed there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sources::{read, root, sources};

#[path = "support/sources.rs"]
mod sources;

#[test]
fn the_table_is_true() {
    let sections = sections(&read("tests/conformance/items.txt"));
    let cited = citations();
    let mut faults = faults(&sections, &cited);
    let log = std::env::var_os("SP_TEST_LOG").map(|path| {
        let path = root().join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    });
    let outcomes = log.as_deref().map(outcomes);
    let result = |test: &Citation| match &outcomes {
        None => "passes",
        Some(outcomes) => test.result(outcomes),
    };
    for test in cited.iter().filter(|test| result(test) != "passes") {
        faults.push(format!("{}: {} {}", test.file.display(), test.name, result(test)));
    }
    let table = table(&sections, &cited, result);
    if std::env::var("SP_CONFORMANCE").is_ok_and(|wish| wish == "write") {
        assert!(outcomes.is_some(), "results come from a run: name its output in SP_TEST_LOG");
        fs::write(root().join(TABLE), table).expect("the table can be written");
    } else if fs::read_to_string(root().join(TABLE)).ok().as_deref() != Some(table.as_str()) {
        faults.push(format!(
            "{TABLE} is out of date; tests/conformance_table.rs says how to write it"
        ));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// A group of items.
struct Section {
    /// `8.2`.
    number: String,
    title: String,
    /// Why no test shows the items that nothing else is said of.
    untested: Option<String>,
    items: Vec<Item>,
}

struct Item {
    number: u32,
    text: String,
    /// Why no test shows it.
    untested: Option<String>,
    /// What its tests leave out.
    partly: Option<String>,
}

/// Reads the list of items, whose first lines say how it is written.
fn sections(list: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (head, rest) = line.trim_start().split_once(' ').expect("two words");
        let rest = rest.to_owned();
        if head.starts_with("8.") {
            let (number, items) = (head.to_owned(), Vec::new());
            sections.push(Section { number, title: rest, untested: None, items });
            continue;
        }
        let section = sections.last_mut().expect("a section comes first");
        match (head, section.items.last_mut()) {
            ("untested:", None) => section.untested = Some(rest),
            ("untested:", Some(item)) => item.untested = Some(rest),
            ("partly:", Some(item)) => item.partly = Some(rest),
            _ => {
                let number = head.parse().unwrap_or_else(|_| panic!("no item: {line:?}"));
                section.items.push(Item { number, text: rest, untested: None, partly: None });
            }
        }
    }
    let numbers = sections.iter().flat_map(|section| &section.items).map(|item| item.number);
    assert!(numbers.eq(1..=ITEMS), "the items are numbered from 1 to {ITEMS}");
    sections
}

/// A test that says which items it shows.
struct Citation {
    file: PathBuf,
    /// The test program it is part of.
    program: String,
    name: String,
    sections: BTreeSet<String>,
    items: Vec<u32>,
}

impl Citation {
    /// How it went; where a test was made of it several times, all of them.
    fn result(&self, outcomes: &BTreeMap<(String, String), bool>) -> &'static str {
        match outcomes.get(&(self.program.clone(), self.name.clone())) {
            Some(true) => "passes",
            Some(false) => "FAILS",
            None => "DID NOT RUN",
        }
    }
}

/// Every test that cites items, in the order of the sources.
fn citations() -> Vec<Citation> {
    let mut found = Vec::new();
    for file in sources() {
        // What the benchmarks show is shown beside other libraries, which few have installed.
        let Some(program) = program_of(&file) else { continue };
        let (mut sections, mut items) = (BTreeSet::new(), Vec::new());
        for line in read(&file).lines().map(str::trim_start) {
            if let Some(comment) = line.strip_prefix("///") {
                cited_in(comment, &mut sections, &mut items);
            } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| !items.is_empty()) {
                let name = rest.split('(').next().expect("a split has a first part").to_owned();
                let (sections, items) = (std::mem::take(&mut sections), std::mem::take(&mut items));
                found.push(Citation {
                    file: file.clone(),
                    program: program.clone(),
                    name,
                    sections,
                    items,
                });
            } else {
                let at = file.display();
                assert!(items.is_empty() || line.starts_with("#["), "{at}: no test: {line:?}");
            }
        }
    }
    found
}

// As in: sp-wire 8.1 items 5 to 7, 9 and 10 and 8.2 item 24, and anything else.
fn cited_in(comment: &str, sections: &mut BTreeSet<String>, items: &mut Vec<u32>) {
    let Some((_, citation)) = comment.split_once("sp-wire ") else { return };
    let (mut in_list, mut in_range) = (false, false);
    let mut words = citation.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if word.starts_with("8.")
            && words.next_if(|next| matches!(*next, "item" | "items")).is_some()
        {
            sections.insert(word.to_owned());
            (in_list, in_range) = (true, false);
        } else if in_list {
            match word.trim_end_matches([',', '.', ':', ';']).parse() {
                Ok(number) => {
                    let first = items.last().filter(|_| in_range).map_or(number, |last| last + 1);
                    items.extend(first..=number);
                    (in_list, in_range) = (!word.ends_with(['.', ':', ';']), false);
                }
                Err(_) => (in_list, in_range) = (matches!(word, "and" | "to"), word == "to"),
            }
        }
    }
}

/// The test program that a file is part of, by its name in cargo's output.
fn program_of(file: &Path) -> Option<String> {
    let mut parts: Vec<&str> = file.iter().filter_map(|part| part.to_str()).collect();
    let package = match parts.first()? {
        krate if krate.starts_with("sp-") => parts.remove(0).replace('-', "_"),
        &"benches" => return None,
        _ => "sp".to_owned(),
    };
    match parts.as_slice() {
        ["src", ..] => Some(package),
        ["tests", name, ..] => Some(name.trim_end_matches(".rs").to_owned()),
        _ => None,
    }
}

/// How every test went, by its program and the last part of its name.
fn outcomes(log: &str) -> BTreeMap<(String, String), bool> {
    let mut outcomes = BTreeMap::new();
    let mut program = String::new();
    for line in log.lines().map(str::trim) {
        if line.starts_with("Running ") {
            let file = line.trim_end_matches(')').rsplit('/').next().unwrap_or_default();
            program = file.rsplit_once('-').map_or(file, |(name, _)| name).to_owned();
        } else if line.starts_with("Doc-tests ") {
            program.clear();
        } else if let Some((test, outcome)) =
            line.strip_prefix("test ").and_then(|test| test.rsplit_once(" ... "))
        {
            let name = test.rsplit("::").next().unwrap_or(test).to_owned();
            *outcomes.entry((program.clone(), name)).or_insert(true) &= outcome == "ok";
        }
    }
    outcomes
}

/// What is wrong with the list and with what tests cite.
fn faults(sections: &[Section], cited: &[Citation]) -> Vec<String> {
    let mut faults = Vec::new();
    let section_of: BTreeMap<u32, &str> = sections
        .iter()
        .flat_map(|section| section.items.iter().map(|item| (item.number, &*section.number)))
        .collect();
    for test in cited {
        for item in &test.items {
            let known = section_of.get(item).is_some_and(|at| test.sections.contains(*at));
            if !known {
                let at = test.file.display();
                faults.push(format!("{at}: {} cites item {item}, which is not there", test.name));
            }
        }
    }
    let tested: BTreeSet<u32> = cited.iter().flat_map(|test| &test.items).copied().collect();
    for section in sections {
        let is_tested = |item: &Item| tested.contains(&item.number);
        for item in &section.items {
            let number = item.number;
            let has_reason = item.untested.is_some() || section.untested.is_some();
            match (is_tested(item), has_reason) {
                (false, false) => faults.push(format!("item {number}: no test, and no reason why")),
                (true, _) if item.untested.is_some() => {
                    faults.push(format!("item {number} is tested; its reason why not can go"));
                }
                (false, true) if item.partly.is_some() => {
                    faults.push(format!("item {number} is not tested, not even partly"));
                }
                _ => {}
            }
        }
        if section.untested.is_some() && section.items.iter().all(is_tested) {
            faults.push(format!("{} is tested; its reason why not can go", section.number));
        }
    }
    faults
}

/// The table as it should be.
fn table<'a>(
    sections: &[Section],
    cited: &'a [Citation],
    result: impl Fn(&'a Citation) -> &'static str,
) -> String {
    let mut tests: BTreeMap<u32, Vec<&Citation>> = BTreeMap::new();
    for test in cited {
        for item in &test.items {
            tests.entry(*item).or_default().push(test);
        }
    }
    let none = Vec::new();
    let shown_by = |item: &Item| tests.get(&item.number).unwrap_or(&none);
    let mut out = HEAD.to_owned();
    let mut line = |text: String| writeln!(out, "{text}").expect("a string takes everything");
    for section in sections {
        let tested = section.items.iter().filter(|item| !shown_by(item).is_empty()).count();
        line(format!(
            "| {} | {} | {tested} of {} |",
            section.number,
            section.title,
            section.items.len()
        ));
    }
    for section in sections {
        line(format!("\n## {} {}\n", section.number, section.title));
        line("| item | | tests | result |\n| --- | --- | --- | --- |".to_owned());
        for item in &section.items {
            let shown_by = shown_by(item);
            let links =
                shown_by.iter().map(|test| format!("[{}]({})", test.name, test.file.display()));
            let mut tests = links.collect::<Vec<_>>().join("<br>");
            let results: BTreeSet<&str> = shown_by.iter().map(|test| result(test)).collect();
            let result = results.into_iter().collect::<Vec<_>>().join(", ");
            match (&item.partly, item.untested.as_ref().or(section.untested.as_ref())) {
                (Some(partly), _) => tests = format!("{tests}<br>only partly: {partly}"),
                (None, Some(why)) if shown_by.is_empty() => tests = format!("none: {why}"),
                _ => {}
            }
            line(format!("| {} | {} | {tests} | {result} |", item.number, item.text));
        }
    }
    out
}

#[test]
fn a_citation_is_read_as_it_is_written() {
    for (comment, wanted) in [
        ("sp-wire 8.2 item 28", &[28][..]),
        ("sp-wire 8.2 items 28, 32 and 35", &[28, 32, 35]),
        ("sp-wire 8.1 items 5 to 8, 13, 14 and 18: the dialling side", &[5, 6, 7, 8, 13, 14, 18]),
        ("sp-wire 8.1 item 4, and 4.4: closing is closing the stream", &[4]),
        ("sp-wire 8.10 item 130. Ours: 2 more", &[130]),
        ("sp-wire 8.8 item 94 and 8.4 items 51 and 52", &[94, 51, 52]),
        ("sp-wire 8.8 item 94; 8.4 items 51 to 53, for both sides", &[94, 51, 52, 53]),
        ("sp-wire section 6: nothing of the list", &[]),
    ] {
        let mut items = Vec::new();
        cited_in(comment, &mut BTreeSet::new(), &mut items);
        assert_eq!(items, wanted, "{comment}");
    }
}

#[test]
fn a_result_is_what_the_run_says() {
    let log = "
     Running unittests src/lib.rs (/x/target/debug/deps/sp_core-c293af8c187f5a2b)
test a::good ... ok
     Running tests/matrix.rs (/x/target/debug/deps/matrix-bec36c5a4f28d9b8)
test tcp::both ... ok
test ipc::both ... FAILED
test left_out ... ignored
   Doc-tests sp_core
test sp-core/src/lib.rs - good (line 1) ... ok
";
    let test = |program: &str, name: &str| Citation {
        file: PathBuf::new(),
        program: program.to_owned(),
        name: name.to_owned(),
        sections: BTreeSet::new(),
        items: Vec::new(),
    };
    let outcomes = outcomes(log);
    assert_eq!(test("sp_core", "good").result(&outcomes), "passes");
    assert_eq!(test("matrix", "both").result(&outcomes), "FAILS");
    assert_eq!(test("matrix", "left_out").result(&outcomes), "FAILS");
    assert_eq!(test("matrix", "good").result(&outcomes), "DID NOT RUN");
}

#[test]
fn what_is_wrong_with_the_list_is_found() {
    let list: String = (3..=ITEMS).map(|n| format!("{n} is shown\n")).collect();
    let found = |head: &str, items: &[u32]| {
        let sections = sections(&format!("8.1 All\n{head}{list}"));
        let items = items.iter().copied().chain(3..=ITEMS).collect();
        let (file, program, name) = (PathBuf::from("a.rs"), String::new(), "a".to_owned());
        faults(
            &sections,
            &[Citation { file, program, name, sections: ["8.1".to_owned()].into(), items }],
        )
    };
    assert!(found("1 one\n2 two\n", &[1, 2]).is_empty());
    assert!(found("1 one\n  untested: why\n2 two\n", &[2]).is_empty());
    assert!(found("  untested: why\n1 one\n2 two\n  partly: some\n", &[2]).is_empty());
    for (head, items) in [
        ("1 one\n2 two\n", &[2][..]),
        ("1 one\n  untested: why\n2 two\n", &[1, 2]),
        ("1 one\n  untested: why\n  partly: some\n2 two\n", &[2]),
        ("  untested: why\n1 one\n2 two\n", &[1, 2]),
        ("1 one\n2 two\n", &[1, 2, 999]),
    ] {
        assert_eq!(found(head, items).len(), 1, "{head:?} with {items:?}");
    }
}

const TABLE: &str = "CONFORMANCE.md";
const ITEMS: u32 = 180;

const HEAD: &str = "\
# Conformance

What a library of the Scalability Protocols has to do, which tests show that this one does, and how they went. Written
from a run of the tests by `tests/conformance_table.rs`, which says how; it is a test itself and fails when the table
is not true. The items stand in `tests/conformance/items.txt`.

| section | | items with a test |
| --- | --- | --- |
";
