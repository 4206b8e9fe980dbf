//! When a list without a total has ended.

/// What one page says of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another page may follow.
    More,
    /// This was the last page.
    End,
    /// The tenant repeats itself: it does not page as documented.
    Repeats,
}

/// Follows the pages of one list.
#[derive(Debug)]
pub(super) struct Pages {
    requested: usize,
    /// Pages up to this length are known to be short because the list ended, not because of a cap.
    honest: usize,
    first: Option<usize>,
}

impl Pages {
    pub(super) fn new(requested: u32, honest: usize) -> Self {
        Self { requested: usize::try_from(requested).unwrap_or(usize::MAX), honest, first: None }
    }

    /// Follows a list on whose first page had so many rows, 0 if none was read.
    pub(super) fn resume(requested: u32, honest: usize, first: usize) -> Self {
        Self { first: (first > 0).then_some(first), ..Self::new(requested, honest) }
    }

    /// Rows of the first page, 0 before it was read.
    pub(super) fn first(&self) -> usize {
        self.first.unwrap_or(0)
    }

    /// The length up to which a short page is known to be the end.
    pub(super) fn honest(&self) -> usize {
        self.honest
    }

    /// Takes a page of `rows` rows, of which `new` were not seen before.
    ///
    /// A tenant may ignore or cap the page size, so a first page that is shorter than asked ends the
    /// list only if its length is no round cap (zia-facts §8, py#230); a later page ends it when it
    /// is shorter than the first.
    pub(super) fn take(&mut self, rows: usize, new: usize) -> Next {
        if rows == 0 {
            self.honest = self.honest.max(self.first.unwrap_or(0));
            return Next::End;
        }
        self.honest = self.honest.max(rows - 1);
        if new == 0 {
            return Next::Repeats;
        }
        let Some(first) = self.first else {
            self.first = Some(rows);
            let capped = rows.is_multiple_of(50) && rows > self.honest;
            return if rows >= self.requested || capped { Next::More } else { Next::End };
        };
        if rows < first { Next::End } else { Next::More }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(requested: u32, pages: &[(usize, usize)]) -> Next {
        let mut follow = Pages::new(requested, 0);
        pages.iter().fold(Next::More, |_, &(rows, new)| follow.take(rows, new))
    }

    #[test]
    fn a_short_page_ends_the_list() {
        assert_eq!(walk(10_000, &[(83, 83)]), Next::End);
        assert_eq!(walk(100, &[(100, 100), (99, 99)]), Next::End);
        assert_eq!(walk(100, &[(100, 100), (0, 0)]), Next::End);
    }

    #[test]
    fn a_page_of_a_round_cap_is_not_taken_for_the_end() {
        assert_eq!(walk(10_000, &[(100, 100)]), Next::More);
        assert_eq!(walk(10_000, &[(250, 250)]), Next::More);
        assert_eq!(walk(10_000, &[(1000, 1000)]), Next::More);
        assert_eq!(walk(10_000, &[(1000, 1000), (1000, 1000)]), Next::More);
        assert_eq!(walk(10_000, &[(100, 100), (100, 100), (50, 50)]), Next::End);
    }

    #[test]
    fn a_round_page_that_once_was_the_end_is_believed_the_next_time() {
        let mut first = Pages::new(10_000, 0);
        assert_eq!((first.take(1000, 1000), first.take(0, 0)), (Next::More, Next::End));
        assert_eq!(Pages::new(10_000, first.honest()).take(1000, 1000), Next::End);
        assert_eq!(Pages::new(10_000, first.honest()).take(1100, 1100), Next::More);
    }

    #[test]
    fn a_tenant_that_ignores_the_page_number_is_noticed() {
        assert_eq!(walk(100, &[(100, 100), (100, 0)]), Next::Repeats);
    }
}
