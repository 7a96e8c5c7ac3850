//! A heap whose least element is on top. Each node has four children, which lie side by side: half as deep as a heap of
//! two, and no more cache lines to read on a level.

const CHILDREN: usize = 4;

/// A heap, the least first.
pub(super) struct Heap<T>(Vec<T>);

impl<T: Ord + Copy> Heap<T> {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(super) fn first(&self) -> Option<&T> {
        self.0.first()
    }

    #[inline]
    pub(super) fn push(&mut self, item: T) {
        self.0.push(item);
        self.rise(self.0.len() - 1);
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        if self.0.is_empty() {
            return None;
        }
        let first = self.0.swap_remove(0);
        if !self.0.is_empty() {
            self.sink(0);
        }
        Some(first)
    }

    /// Takes everything out, in no order.
    pub(super) fn take(&mut self) -> Vec<T> {
        std::mem::take(&mut self.0)
    }

    /// Takes all of `items` in at once: cheaper than one after the other.
    pub(super) fn fill(&mut self, items: impl Iterator<Item = T>) {
        self.0.extend(items);
        self.order();
    }

    /// Takes those out that are not `kept`.
    pub(super) fn retain(&mut self, kept: impl Fn(&T) -> bool) {
        self.0.retain(kept);
        self.order();
    }

    fn order(&mut self) {
        for node in (0..self.0.len().div_ceil(CHILDREN)).rev() {
            self.sink(node);
        }
    }

    #[inline]
    fn rise(&mut self, mut node: usize) {
        let item = self.0[node];
        while node > 0 {
            let parent = (node - 1) / CHILDREN;
            if self.0[parent] <= item {
                break;
            }
            self.0[node] = self.0[parent];
            node = parent;
        }
        self.0[node] = item;
    }

    fn sink(&mut self, mut node: usize) {
        let item = self.0[node];
        loop {
            let children = CHILDREN * node + 1;
            let last = self.0.len().min(children + CHILDREN);
            let Some(least) = (children..last).min_by_key(|child| self.0[*child]) else { break };
            if item <= self.0[least] {
                break;
            }
            self.0[node] = self.0[least];
            node = least;
        }
        self.0[node] = item;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(heap: &mut Heap<u64>) -> Vec<u64> {
        std::iter::from_fn(|| heap.pop()).collect()
    }

    #[test]
    fn what_goes_in_comes_out_in_order() {
        for len in 0..200_u64 {
            let items: Vec<u64> = (0..len).map(|n| n * 7919 % 101).collect();
            let mut expected = items.clone();
            expected.sort_unstable();

            let mut heap = Heap::with_capacity(0);
            items.iter().for_each(|item| heap.push(*item));
            assert_eq!(sorted(&mut heap), expected, "one by one");

            heap.push(50);
            heap.fill(items.iter().copied());
            let mut sum = [&expected[..], &[50]].concat();
            sum.sort_unstable();
            assert_eq!(sorted(&mut heap), sum, "all at once");

            heap.fill(items.iter().copied());
            heap.retain(|item| item % 3 != 0);
            expected.retain(|item| item % 3 != 0);
            assert_eq!(sorted(&mut heap), expected, "those that stay");
        }
    }
}
