//! Where a list that comes in pages ends. How a page is asked for and where its rows stand is the service's.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::engine::change::Failure;

/// Pages of one list that are read at most: a proxy that answers each with the same full one would go on for ever.
const MOST: usize = 30;
/// All pages of a list together; parsed, they take several times as much.
const BYTES: usize = 12 << 20;

/// The pages of one list, counted while they are read.
#[derive(Debug)]
pub struct Pages {
    size: usize,
    read: usize,
    bytes: usize,
    last: Option<u64>,
}

impl Pages {
    /// Of a list with so many rows on a full page.
    #[must_use]
    pub fn of(size: usize) -> Self {
        Self { size, read: 0, bytes: 0, last: None }
    }

    /// Whether another page comes after this answer with so many rows. A list without an end is an error.
    pub fn another(&mut self, path: &str, body: &str, rows: usize) -> Result<bool, Failure> {
        self.read += 1;
        self.bytes += body.len();
        if self.bytes > BYTES {
            let most = BYTES >> 20;
            return Err(Failure::fatal(format!("GET {path}: the list has more than the {most} MiB that are read")));
        }
        if rows < self.size {
            return Ok(false);
        }
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let digest = Some(hasher.finish());
        if self.read == MOST || self.last == digest {
            return Err(Failure::fatal(format!(
                "GET {path}: the list has no end, page after page is full: does a proxy leave out the query?"
            )));
        }
        self.last = digest;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_with_a_page_that_is_not_full() {
        let mut pages = Pages::of(2);
        assert!(pages.another("/l", "[1,2]", 2).expect("it is the first"));
        assert!(pages.another("/l", "[3,4]", 2).expect("it is another"));
        assert!(!pages.another("/l", "[5]", 1).expect("it is not full"));
    }

    #[test]
    fn a_list_without_an_end_is_an_error() {
        let ends = |body: &dyn Fn(usize) -> String| {
            let mut pages = Pages::of(1);
            let failed =
                (1..100).find_map(|page| pages.another("/l", &body(page), 1).err().map(|failure| (page, failure)));
            let (page, failure) = failed.expect("it ends");
            (page, failure.message.split(": ").nth(1).unwrap_or_default().to_owned())
        };
        let endless = "the list has no end, page after page is full";
        assert_eq!(ends(&|_| "[1]".to_owned()), (2, endless.to_owned()));
        assert_eq!(ends(&|page| format!("[{page}]")), (MOST, endless.to_owned()));
        let large = "the list has more than the 12 MiB that are read";
        assert_eq!(ends(&|page| format!("{page}{}", "x".repeat(5 << 20))), (3, large.to_owned()));
    }
}
