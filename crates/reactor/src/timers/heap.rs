//! A heap whose least element is on top. Each node has four children, which lie side by side: half as deep as a heap of
//! two, and no more cache lines to read on a level.

const CHILDREN: usize = 4;

/// A heap, the least first.
pub(super) struct Heap<T>(Vec<T>);

impl<T: Ord + Copy> Heap<T> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
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

    /// Gives everything to `items`, in no order.
    pub(super) fn move_to(&mut self, items: &mut Vec<T>) {
        items.append(&mut self.0);
    }

    /// Takes those out of `items` that are `near`, all at once: cheaper than one after the other.
    pub(super) fn take_from(&mut self, items: &mut Vec<T>, near: impl Fn(&T) -> bool) {
        let mut at = 0;
        while let Some(item) = items.get(at) {
            if near(item) {
                self.0.push(items.swap_remove(at));
            } else {
                at += 1;
            }
        }
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

            let mut heap = Heap::new();
            items.iter().for_each(|item| heap.push(*item));
            assert_eq!(sorted(&mut heap), expected, "one by one");

            let mut rest = items.clone();
            heap.push(50);
            heap.take_from(&mut rest, |item| *item < 50);
            assert!(rest.iter().all(|item| *item >= 50));
            let (near, far) = expected.split_at(expected.partition_point(|item| *item < 50));
            assert_eq!(sorted(&mut heap), [near, &[50]].concat(), "all at once");
            rest.sort_unstable();
            assert_eq!(rest, far);
        }
    }
}
