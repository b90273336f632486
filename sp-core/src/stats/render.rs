//! The tree as text, as JSON and as Prometheus text.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::Stats;

impl Stats {
    /// The tree as one line of JSON: `{"name":…,"values":{…},"children":[…]}`.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.json(&mut out);
        out
    }

    /// The tree in the Prometheus text format: `sp_<value>{path="socket/pipe"} 3`.
    pub fn to_prometheus(&self) -> String {
        let mut metrics = BTreeMap::new();
        self.metrics(&self.name, &mut metrics);
        let mut out = String::new();
        for (name, lines) in metrics {
            let _ = writeln!(out, "# TYPE sp_{name} untyped");
            for (path, value) in lines {
                let _ = write!(out, "sp_{name}{{path=\"");
                let _ = escape(&mut out, &path);
                let _ = writeln!(out, "\"}} {value}");
            }
        }
        out
    }

    fn json(&self, out: &mut String) -> fmt::Result {
        out.write_str("{\"name\":\"")?;
        escape_json(out, &self.name)?;
        out.write_str("\",\"values\":{")?;
        for (i, (name, value)) in self.values.iter().enumerate() {
            out.write_str(if i > 0 { ",\"" } else { "\"" })?;
            escape_json(out, name)?;
            write!(out, "\":{value}")?;
        }
        out.write_str("},\"children\":[")?;
        for (i, child) in self.children.iter().enumerate() {
            out.write_str(if i > 0 { "," } else { "" })?;
            child.json(out)?;
        }
        out.write_str("]}")
    }

    /// Sorts the numbers by name: the format wants the lines of one metric together.
    fn metrics(&self, path: &str, into: &mut BTreeMap<&'static str, Vec<(String, u64)>>) {
        for &(name, value) in &self.values {
            into.entry(name).or_default().push((path.to_owned(), value));
        }
        for child in &self.children {
            child.metrics(&format!("{path}/{}", child.name), into);
        }
    }

    fn print(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        writeln!(f, "{:depth$}{}", "", self.name)?;
        let depth = depth + INDENT;
        for (name, value) in &self.values {
            writeln!(f, "{:depth$}{name}: {value}", "")?;
        }
        self.children.iter().try_for_each(|child| child.print(f, depth))
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, 0)
    }
}

/// Escapes a Prometheus label.
fn escape(out: &mut String, text: &str) -> fmt::Result {
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(out, "\\{c}")?,
            '\n' => out.write_str("\\n")?,
            _ => out.write_char(c)?,
        }
    }
    Ok(())
}

fn escape_json(out: &mut String, text: &str) -> fmt::Result {
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(out, "\\{c}")?,
            c if c < ' ' => write!(out, "\\u{:04x}", u32::from(c))?,
            _ => out.write_char(c)?,
        }
    }
    Ok(())
}

const INDENT: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Stats {
        let pipe = |name: &str, sent| Stats::new(name).value("sent", sent);
        Stats::new("socket \"a\"")
            .value("sent", 3)
            .child(pipe("tcp://[::1]:80", 1))
            .child(pipe("line\nbreak", 2))
    }

    #[test]
    fn json_is_escaped_and_nested() {
        assert_eq!(
            tree().to_json(),
            r#"{"name":"socket \"a\"","values":{"sent":3},"children":[{"name":"tcp://[::1]:80","values":{"sent":1},"children":[]},{"name":"line\u000abreak","values":{"sent":2},"children":[]}]}"#
        );
    }

    #[test]
    fn prometheus_groups_the_lines_of_a_metric() {
        assert_eq!(
            tree().to_prometheus(),
            "# TYPE sp_sent untyped\n\
             sp_sent{path=\"socket \\\"a\\\"\"} 3\n\
             sp_sent{path=\"socket \\\"a\\\"/tcp://[::1]:80\"} 1\n\
             sp_sent{path=\"socket \\\"a\\\"/line\\nbreak\"} 2\n"
        );
    }

    #[test]
    fn a_value_is_found_below_a_name_with_slashes() {
        assert_eq!(tree().get("tcp://[::1]:80/sent"), Some(1));
        assert_eq!(tree().get("sent"), Some(3));
        assert_eq!(tree().get("tcp:/sent"), None);
        assert_eq!(tree().get(""), None);
    }
}
