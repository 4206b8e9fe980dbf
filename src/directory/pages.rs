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
///
/// A tenant may ignore or cap the page size (zia-facts §8, py#230), so a first page that is shorter
/// than asked proves no end: that takes a longer page, given before, or a look at the next page.
#[derive(Debug)]
pub(super) struct Pages {
    requested: usize,
    /// Pages up to this length are known to be short because the list ended, not because of a cap.
    honest: usize,
    /// Rows that are known to exist: a first page of fewer is looked behind, whatever was honest before.
    known: usize,
    first: Option<usize>,
}

impl Pages {
    pub(super) fn new(requested: u32, honest: usize) -> Self {
        let requested = usize::try_from(requested).unwrap_or(usize::MAX);
        Self { requested, honest, known: 0, first: None }
    }

    /// Of a list in which so many rows are known to be.
    pub(super) fn knowing(self, known: usize) -> Self {
        Self { known, ..self }
    }

    /// Follows a list on whose first page had so many rows, 0 if none was read.
    pub(super) fn resume(requested: u32, honest: usize, first: usize) -> Self {
        Self { first: (first > 0).then_some(first), ..Self::new(requested, honest) }
    }

    /// Rows of the first page, 0 before it was read.
    pub(super) fn first(&self) -> usize {
        self.first.unwrap_or(0)
    }

    /// Whether the first page was short, so that only the next one shows whether there are more.
    pub(super) fn is_short(&self) -> bool {
        self.first.is_some_and(|rows| rows < self.requested)
    }

    /// The length up to which a short page is known to be the end.
    ///
    /// One less than the longest page so far, and that page's own where nothing came behind it.
    pub(super) fn honest(&self) -> usize {
        self.honest
    }

    /// Takes a page of `rows` rows, `distinct` of them different, of which `new` were not seen before.
    ///
    /// Rows that come twice on one page make neither it nor the cap longer.
    pub(super) fn take(&mut self, rows: usize, distinct: usize, new: usize) -> Next {
        if rows == 0 {
            self.honest = self.honest.max(self.first());
            return Next::End;
        }
        let believed = rows <= self.honest && rows >= self.known && rows < self.requested;
        self.honest = self.honest.max(distinct.saturating_sub(1));
        if new == 0 {
            return Next::Repeats;
        }
        let Some(first) = self.first else {
            self.first = Some(distinct);
            return if believed { Next::End } else { Next::More };
        };
        if rows < first { Next::End } else { Next::More }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(requested: u32, pages: &[(usize, usize)]) -> Next {
        let mut follow = Pages::new(requested, 0);
        pages.iter().fold(Next::More, |_, &(rows, new)| follow.take(rows, rows, new))
    }

    #[test]
    fn a_page_that_is_shorter_than_the_first_ends_the_list() {
        assert_eq!(walk(100, &[(100, 100), (99, 99)]), Next::End);
        assert_eq!(walk(100, &[(100, 100), (0, 0)]), Next::End);
        assert_eq!(walk(10_000, &[(99, 99), (99, 99), (50, 50)]), Next::End);
        assert_eq!(walk(10_000, &[(0, 0)]), Next::End);
    }

    #[test]
    fn a_short_first_page_is_never_the_end_by_itself() {
        for cap in [1, 7, 25, 50, 83, 99, 100, 130, 250, 1_000, 9_999, 10_000] {
            assert_eq!(walk(10_000, &[(cap, cap)]), Next::More, "{cap}");
            assert_eq!(walk(10_000, &[(cap, cap), (cap, cap)]), Next::More, "{cap}");
            assert_eq!(walk(10_000, &[(cap, cap), (0, 0)]), Next::End, "{cap}");
        }
    }

    #[test]
    fn a_page_is_believed_up_to_the_longest_behind_which_nothing_came() {
        let mut before = Pages::new(10_000, 0);
        assert_eq!((before.take(99, 99, 99), before.take(0, 0, 0)), (Next::More, Next::End));
        let next = |rows| Pages::new(10_000, before.honest()).take(rows, rows, rows);
        assert_eq!((next(99), next(1)), (Next::End, Next::End));
        assert_eq!(next(100), Next::More);
    }

    #[test]
    fn a_page_of_fewer_rows_than_are_known_is_looked_behind_although_longer_ones_came_before() {
        let first = |rows| Pages::new(10_000, 999).knowing(333).take(rows, rows, rows);
        assert_eq!((first(332), first(25)), (Next::More, Next::More));
        assert_eq!((first(333), first(334)), (Next::End, Next::End));
    }

    #[test]
    fn rows_that_come_twice_on_a_page_make_no_cap_longer() {
        let mut follow = Pages::new(10_000, 0);
        assert_eq!(follow.take(105, 100, 100), Next::More);
        assert_eq!((follow.honest(), follow.first()), (99, 100));
        assert_eq!(follow.take(100, 100, 100), Next::More);
        assert_eq!(follow.honest(), 99);
    }

    #[test]
    fn a_tenant_that_ignores_the_page_number_is_noticed() {
        assert_eq!(walk(100, &[(100, 100), (100, 0)]), Next::Repeats);
    }
}
