//! What the library counts, as a tree that can be printed, searched and exported.

mod render;

/// One branch: a name, its numbers, and the branches below it.
///
/// ```
/// use sp_core::stats::Stats;
///
/// let pipe = Stats::new("pipe 1").value("messages_sent", 3);
/// let tree = Stats::new("socket").value("pipes", 1).child(pipe);
/// assert_eq!(tree.get("pipe 1/messages_sent"), Some(3));
/// assert_eq!(tree.to_string(), "socket\n  pipes: 1\n  pipe 1\n    messages_sent: 3\n");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// What the numbers are about.
    pub name: String,
    /// The numbers, in the order of their display.
    pub values: Vec<(&'static str, u64)>,
    /// The parts, in the order of their display.
    pub children: Vec<Self>,
}

impl Stats {
    /// A branch without numbers.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), values: Vec::new(), children: Vec::new() }
    }

    /// The same with one more number.
    pub fn value(mut self, name: &'static str, value: u64) -> Self {
        self.values.push((name, value));
        self
    }

    /// The same with one more part.
    pub fn child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// The number at `path`: names of parts from below this branch, then the number's own, parted by `/`.
    ///
    /// A part whose own name holds a `/` is found all the same. Of parts with one name the first that has the
    /// number counts.
    pub fn get(&self, path: &str) -> Option<u64> {
        if let Some((_, value)) = self.values.iter().find(|(name, _)| *name == path) {
            return Some(*value);
        }
        self.children.iter().find_map(|child| {
            let rest = path.strip_prefix(child.name.as_str())?.strip_prefix('/')?;
            child.get(rest)
        })
    }
}
