//! Rules about the source itself: each failure says what to do.

use std::collections::BTreeSet;
use std::path::Path;

use sources::{read, root, sources};

#[path = "support/sources.rs"]
mod sources;

/// The part of a file that ships: what stands before its test module.
fn shipped(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap_or(text)
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.file_stem().is_some_and(|stem| stem == "tests")
}

#[test]
fn a_file_is_read_in_one_sitting() {
    for path in sources().iter().filter(|path| !is_test(path)) {
        let lines = shipped(&read(path)).lines().count();
        assert!(lines <= 500, "{}: {lines} lines; split it by responsibility", path.display());
    }
}

#[test]
fn engines_know_no_time_threads_locks_or_io() {
    let forbidden = [
        "Mutex",
        "RwLock",
        "Condvar",
        "Atomic",
        "mpsc",
        "std::thread",
        "std::net",
        "std::io",
        "std::fs",
        "std::env",
        "HashMap",
        "HashSet",
        "clock::now",
        "Instant::now",
        "sp_transport",
        "crossbeam",
        "sp_core::registry",
        "sp_core::sync",
    ];
    let mut seen = 0;
    for path in sources() {
        if !path.starts_with("sp-protocols/src/engine")
            || path.ends_with("testing.rs")
            || is_test(&path)
        {
            continue;
        }
        seen += 1;
        for (number, line) in shipped(&read(&path)).lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            for word in forbidden {
                assert!(
                    !code.contains(word),
                    "{}:{}: engines do not use {word}; ask for it through Effects",
                    path.display(),
                    number + 1
                );
            }
        }
    }
    assert!(seen >= 8, "the engines were not found");
}

#[test]
fn unsafe_code_lives_in_the_sys_module_only() {
    for path in sources() {
        let library = ["src", "sp-core/src", "sp-transport/src", "sp-protocols/src"];
        if !library.iter().any(|folder| path.starts_with(folder))
            || path == Path::new("sp-transport/src/sys.rs")
        {
            continue;
        }
        for (number, line) in read(&path).lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            let words = ["unsafe {", "unsafe fn", "unsafe impl", "allow(unsafe_code"];
            assert!(
                !words.iter().any(|word| code.contains(word)),
                "{}:{}: unsafe code belongs into sp-transport/src/sys.rs, or is not needed",
                path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn the_map_names_files_and_tests_that_exist() {
    let map = read("ARCHITECTURE.md");
    let known: BTreeSet<String> = sources()
        .iter()
        .filter_map(|path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned))
        .collect();
    for word in map.split('`').skip(1).step_by(2) {
        if let Some(name) =
            word.strip_suffix(".rs").map(|_| word.rsplit('/').next().unwrap_or(word))
        {
            let is_pattern = name.contains('*');
            assert!(
                is_pattern || known.contains(name),
                "ARCHITECTURE.md names {word}, which does not exist"
            );
        } else if let Some(folder) = word.strip_suffix('/') {
            let found = ["", "sp-core/src", "sp-transport/src", "sp-protocols/src"]
                .iter()
                .any(|place| root().join(place).join(folder).is_dir());
            assert!(found, "ARCHITECTURE.md names {word}, which does not exist");
        }
    }
}

#[test]
fn every_example_is_in_the_readme() {
    let readme = read("README.md");
    for path in sources().iter().filter(|path| path.starts_with("examples")) {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a plain name");
        assert!(
            readme.contains(&format!("cargo run --example {name}")),
            "README.md does not say how to run the example {name}"
        );
    }
}

#[test]
fn every_option_of_endpoints_is_in_the_readme() {
    let readme = read("README.md");
    let mut seen = 0;
    for file in ["options.rs", "udp/options.rs", "tls/config.rs"] {
        let text = read(root().join("sp-transport/src").join(file));
        for name in text.split("pub fn ").skip(1).filter_map(|rest| rest.split_once("(mut self")) {
            let name = name.0;
            if name.contains(['(', '\n']) {
                continue;
            }
            seen += 1;
            let is_there = ["`", "("].iter().any(|end| readme.contains(&format!("`{name}{end}")));
            assert!(is_there, "README.md does not say what {name} of {file} is by default");
        }
    }
    assert!(seen >= 25, "the options were not found");
}
