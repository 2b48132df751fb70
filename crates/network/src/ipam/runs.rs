//! Numbers that are free, in runs.

use std::collections::BTreeMap;

/// A set of numbers, kept as the first and last of each run. With it the lowest free address is
/// found at once, however many are in use: a full pool is no run at all, an empty one is one.
#[derive(Debug)]
pub(super) struct Runs(BTreeMap<u128, u128>);

impl Runs {
    /// All from `low` to `high`; nothing if they are the wrong way round.
    pub(super) fn new(low: u128, high: u128) -> Runs {
        Runs((low <= high).then_some((low, high)).into_iter().collect())
    }

    /// Takes the lowest.
    pub(super) fn take_lowest(&mut self) -> Option<u128> {
        let (first, last) = self.0.pop_first()?;
        if first < last {
            self.0.insert(first + 1, last);
        }
        Some(first)
    }

    /// Takes this one; false if it is not there.
    pub(super) fn take(&mut self, number: u128) -> bool {
        let before = self.0.range(..=number).next_back();
        let Some((&first, &last)) = before.filter(|(_, last)| **last >= number) else {
            return false;
        };
        self.0.remove(&first);
        if first < number {
            self.0.insert(first, number - 1);
        }
        if number < last {
            self.0.insert(number + 1, last);
        }
        true
    }

    /// Puts one back; that it is there already changes nothing.
    pub(super) fn put(&mut self, number: u128) {
        let (mut first, mut last) = (number, number);
        if let Some((&of, &to)) = self.0.range(..=number).next_back() {
            if to >= number {
                return;
            }
            if to + 1 == number {
                first = of;
            }
        }
        if let Some(to) = number.checked_add(1).and_then(|next| self.0.remove(&next)) {
            last = to;
        }
        self.0.insert(first, last);
    }

    /// How many there are, at most `u64::MAX`.
    pub(super) fn count(&self) -> u64 {
        let count = |(first, last): (&u128, &u128)| (last - first).saturating_add(1);
        let all = self.0.iter().map(count).fold(0, u128::saturating_add);
        u64::try_from(all).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_part_and_join() {
        let mut runs = Runs::new(1, 9);
        for (change, number, want) in [
            ("take", 5, &[(1, 4), (6, 9)][..]),
            ("take", 5, &[(1, 4), (6, 9)]),
            ("take", 1, &[(2, 4), (6, 9)]),
            ("take", 9, &[(2, 4), (6, 8)]),
            ("put", 5, &[(2, 8)]),
            ("put", 5, &[(2, 8)]),
            ("put", 10, &[(2, 8), (10, 10)]),
            ("put", 9, &[(2, 10)]),
            ("lowest", 2, &[(3, 10)]),
            ("take", 11, &[(3, 10)]),
            ("put", 1, &[(1, 1), (3, 10)]),
            ("lowest", 1, &[(3, 10)]),
        ] {
            match change {
                "take" => drop(runs.take(number)),
                "put" => runs.put(number),
                _ => assert_eq!(runs.take_lowest(), Some(number)),
            }
            let got: Vec<(u128, u128)> = runs.0.iter().map(|(a, b)| (*a, *b)).collect();
            assert_eq!(got, want, "{change} {number}");
        }
        assert_eq!((runs.count(), Runs::new(2, 1).count()), (8, 0));
        assert_eq!(Runs::new(0, u128::MAX).count(), u64::MAX);
    }
}
