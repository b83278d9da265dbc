//! Servers that are equal, of which one is used until it fails. How they are asked, and what a failure is, is told elsewhere.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Equal servers in the order in which they were named; threads share it.
#[derive(Debug)]
pub struct Rotation<T> {
    all: Vec<T>,
    /// Grows without end, so that a server that was left and come back to is another place.
    place: AtomicUsize,
}

impl<T> Rotation<T> {
    /// Begins with the first.
    #[must_use]
    pub fn new(all: Vec<T>) -> Self {
        Self { all, place: AtomicUsize::new(0) }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The place of the one in use, for [`Rotation::leave`].
    #[must_use]
    pub fn place(&self) -> usize {
        self.place.load(Ordering::Relaxed)
    }

    /// The server at a place; none where none was named.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<&T> {
        self.all.get(place % self.all.len().max(1))
    }

    /// Goes on with the next one, unless another thread, for which it failed as well, has done so.
    pub fn leave(&self, place: usize) {
        // Whoever was faster has done it.
        let _ = self.place.compare_exchange(place, place.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl<T: Clone> Clone for Rotation<T> {
    fn clone(&self) -> Self {
        Self { all: self.all.clone(), place: AtomicUsize::new(self.place()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_fails_for_many_is_left_once() {
        let servers = Rotation::new(vec!["a", "b"]);
        let place = servers.place();
        for _ in 0..3 {
            servers.leave(place);
        }
        assert_eq!(servers.at(servers.place()), Some(&"b"));
        servers.leave(servers.place());
        assert_eq!(servers.at(servers.place()), Some(&"a"));
        assert_eq!(Rotation::<&str>::new(Vec::new()).at(7), None);
    }
}
