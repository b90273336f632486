//! Whether the oracles notice engines that are broken on purpose.
//!
//! Each file in `mutations/` breaks one rule: it says what is broken, in which pattern it shows, which oracle has to
//! notice, and gives texts that occur once in a file and what stands there instead. They are applied one by one to a
//! copy of the sources, so that nothing in the engines knows of them. An oracle that notices nothing, another one
//! that notices first, and a text that is not there any more are failures alike.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::oracle::Oracle;
use crate::patterns;

/// Checks the mutations of these names, or all; `say` hears how it goes.
///
/// # Errors
///
/// Which mutations were not noticed as they should be, or why nothing could be said.
pub fn check(names: &[String], say: impl Fn(&str)) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mutations = load(names)?;
    let field = Field::prepare(&root)?;
    for pattern in &patterns::ALL {
        if let Some(oracle) = field.run(pattern.name)? {
            return Err(format!("{oracle} fails in {} without any mutation", pattern.name));
        }
    }
    say("nothing is noticed in engines that are whole");
    let mut missed = Vec::new();
    for mutation in &mutations {
        let noticed = field.try_out(mutation)?;
        let noticed = noticed.map_or_else(|| "nobody".to_owned(), |oracle| oracle.to_string());
        let Mutation { name, rule, caught_by, .. } = mutation;
        say(&format!("{name}: noticed by {noticed}. {rule}"));
        if noticed != caught_by.to_string() {
            missed.push(format!("{name} was to be noticed by {caught_by}, and was by {noticed}"));
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(missed.join("\n")) }
}

/// One rule broken.
#[derive(Debug, PartialEq, Eq)]
struct Mutation {
    name: String,
    /// What is broken, for people.
    rule: String,
    pattern: String,
    caught_by: Oracle,
    changes: Vec<Change>,
}

/// A text that occurs once, and another for its place.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    file: String,
    search: String,
    replace: String,
}

impl Mutation {
    fn parse(name: &str, text: &str) -> Result<Self, String> {
        let bad = |what: &str| format!("{name}: {what}");
        let mut lines = text.lines();
        let rule = lines.next().ok_or_else(|| bad("is empty"))?.to_owned();
        let (mut pattern, mut caught_by, mut file) = (None, None, None);
        let mut changes = Vec::new();
        while let Some(line) = lines.next() {
            if line == "<<<<" {
                let until = |end: &str, lines: &mut std::str::Lines<'_>| -> String {
                    lines.take_while(|line| *line != end).map(|line| format!("{line}\n")).collect()
                };
                let search = until("====", &mut lines);
                let replace = until(">>>>", &mut lines);
                let file = file.clone().ok_or_else(|| bad("a change comes before its file"))?;
                changes.push(Change { file, search, replace });
                continue;
            }
            match line.split_once(": ") {
                Some(("pattern", value)) => pattern = Some(value.to_owned()),
                Some(("caught by", value)) => caught_by = Oracle::named(value),
                Some(("file", value)) => file = Some(value.to_owned()),
                _ => return Err(bad(&format!("what does this say: {line}"))),
            }
        }
        if changes.is_empty() {
            return Err(bad("changes nothing"));
        }
        let pattern = pattern.filter(|pattern| patterns::named(pattern).is_some());
        Ok(Self {
            name: name.to_owned(),
            rule,
            pattern: pattern.ok_or_else(|| bad("names no pattern"))?,
            caught_by: caught_by.ok_or_else(|| bad("names no oracle"))?,
            changes,
        })
    }
}

/// The mutations of these names, or all, in the order of their names.
fn load(names: &[String]) -> Result<Vec<Mutation>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutations");
    let mut mutations = Vec::new();
    for path in entries(&folder)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if names.is_empty() || names.contains(&name) {
            mutations.push(Mutation::parse(&name, &read(&path)?)?);
        }
    }
    if mutations.len() < names.len().max(1) {
        return Err(format!("not all of {names:?} are in {}", folder.display()));
    }
    Ok(mutations)
}

/// Where mutations are tried out: a copy of the sources, and a folder for what is built from it.
struct Field {
    tree: PathBuf,
    built: PathBuf,
}

impl Field {
    /// Brings the copy up to date. Files that are the same stay untouched, so that little has to be built.
    fn prepare(root: &Path) -> Result<Self, String> {
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let field = Self { tree: target.join("mutants/tree"), built: target.join("mutants/built") };
        copy(root, &field.tree)?;
        field.build()?;
        Ok(field)
    }

    /// Builds the simulator of the copy: quickly, and without the engines' own assertions, which would speak first.
    fn build(&self) -> Result<(), String> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let settings = [
            ("CARGO_TARGET_DIR", self.built.as_os_str()),
            ("CARGO_PROFILE_RELEASE_LTO", "off".as_ref()),
            ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1".as_ref()),
            ("CARGO_PROFILE_RELEASE_DEBUG", "0".as_ref()),
            ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16".as_ref()),
            ("CARGO_PROFILE_RELEASE_INCREMENTAL", "true".as_ref()),
        ];
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "--locked", "--release", "-p", "sp-sim"]);
        let built = output(command.envs(settings).current_dir(&self.tree))?;
        if built.status.success() {
            return Ok(());
        }
        Err(format!("it does not build:\n{}", String::from_utf8_lossy(&built.stderr)))
    }

    /// Runs what was built and says which oracle noticed something.
    fn run(&self, pattern: &str) -> Result<Option<Oracle>, String> {
        let mut command = Command::new(self.built.join("release/sp-sim"));
        let ran = output(command.args(["--seed", "1", "--seeds", SEEDS, "--pattern", pattern]))?;
        if ran.status.success() {
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&ran.stdout);
        let named = said.lines().find_map(|line| line.strip_prefix("FAILED ")?.split_once(':'));
        match named.and_then(|(name, _)| Oracle::named(name)) {
            Some(oracle) => Ok(Some(oracle)),
            None => Err(format!("a run ended without naming an oracle:\n{said}")),
        }
    }

    /// Applies a mutation, runs its pattern, and takes it back.
    fn try_out(&self, mutation: &Mutation) -> Result<Option<Oracle>, String> {
        let mut whole = Vec::new();
        for Change { file, search, replace } in &mutation.changes {
            let path = self.tree.join(file);
            let text = read(&path)?;
            let times = text.matches(search.as_str()).count();
            if times != 1 {
                let name = &mutation.name;
                return Err(format!("{name}: its text occurs {times} times in {file}:\n{search}"));
            }
            write(&path, &text.replacen(search.as_str(), replace, 1))?;
            whole.push((path, text));
        }
        let noticed = self.build().and_then(|()| self.run(&mutation.pattern));
        for (path, text) in whole.into_iter().rev() {
            write(&path, &text)?;
        }
        noticed.map_err(|why| format!("{}: {why}", mutation.name))
    }
}

/// Makes `to` the same as `from`, without what is hidden or built.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|why| format!("{}: {why}", to.display()))?;
    let wanted: Vec<PathBuf> = entries(from)?;
    for old in entries(to)? {
        if !wanted.iter().any(|path| path.file_name() == old.file_name()) {
            let removed =
                if old.is_dir() { fs::remove_dir_all(&old) } else { fs::remove_file(&old) };
            removed.map_err(|why| format!("{}: {why}", old.display()))?;
        }
    }
    for path in wanted {
        let copied = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &copied)?;
            continue;
        }
        let bytes = fs::read(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        if fs::read(&copied).ok().as_ref() != Some(&bytes) {
            fs::write(&copied, bytes).map_err(|why| format!("{}: {why}", copied.display()))?;
        }
    }
    Ok(())
}

/// What a folder holds, in the order of the names, without what is hidden or built.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |why| format!("{}: {why}", folder.display());
    let found = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with('.') && name != "target"
    };
    let mut paths: Vec<PathBuf> =
        found.map_err(failed)?.into_iter().map(|entry| entry.path()).filter(named).collect();
    paths.sort();
    Ok(paths)
}

fn output(command: &mut Command) -> Result<Output, String> {
    command.output().map_err(|why| format!("{command:?}: {why}"))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|why| format!("{}: {why}", path.display()))
}

/// Each mutation is noticed within a tenth of these.
const SEEDS: &str = "1000";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_mutation_says_what_it_breaks_and_who_notices() {
        let text =
            "A rule.\npattern: reqrep\ncaught by: Reply\nfile: a.rs\n<<<<\nold\n====\nnew\n>>>>\n";
        let mutation = Mutation::parse("one", text).unwrap();
        assert_eq!((mutation.rule.as_str(), mutation.caught_by), ("A rule.", Oracle::Reply));
        let (search, replace) = ("old\n".to_owned(), "new\n".to_owned());
        assert_eq!(mutation.changes, [Change { file: "a.rs".to_owned(), search, replace }]);
        for broken in ["Reply", "reqrep", "file: a.rs\n"] {
            assert!(
                Mutation::parse("one", &text.replace(broken, "x")).is_err(),
                "without {broken}"
            );
        }
    }

    #[test]
    fn every_mutation_applies_to_the_engines_as_they_are() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mutations = load(&[]).unwrap();
        for change in mutations.iter().flat_map(|mutation| &mutation.changes) {
            let text = read(&root.join(&change.file)).unwrap();
            assert_eq!(text.matches(&change.search).count(), 1, "{change:?}");
        }
        let patterns: BTreeSet<&str> =
            mutations.iter().map(|mutation| mutation.pattern.as_str()).collect();
        assert_eq!(patterns.len(), patterns::ALL.len(), "a pattern without a mutation");
    }
}
