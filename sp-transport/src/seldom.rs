//! Room for what most connections never have.

/// A value that is there for a while, as a rule never. The room for it is made with the first and kept for the next, so
/// that of thousands of connections only those that need it have some, and those make it once.
#[derive(Debug)]
pub(crate) struct Seldom<T>(Option<Box<Option<T>>>);

impl<T> Seldom<T> {
    /// Nothing, and no room yet.
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    pub(crate) fn put(&mut self, value: T) {
        match &mut self.0 {
            Some(room) => **room = Some(value),
            None => self.0 = Some(Box::new(Some(value))),
        }
    }

    pub(crate) fn take(&mut self) -> Option<T> {
        self.0.as_mut()?.take()
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()?.as_mut()
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_deref()?.as_ref()
    }

    pub(crate) fn is_some(&self) -> bool {
        self.get().is_some()
    }
}
