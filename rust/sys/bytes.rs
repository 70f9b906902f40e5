// SPDX-License-Identifier: GPL-2.0

//! Bytes that are owned, and can be cut into parts which are owned one by one: one allocation
//! for what many threads write at the same time.

use core::{
    ops::{Deref, DerefMut},
    ptr::NonNull,
    slice,
};
use kernel::{
    alloc::{
        flags::{GFP_KERNEL_ACCOUNT, __GFP_ZERO},
        Flags,
    },
    prelude::*,
    sync::Arc,
};

/// The allocation that bytes are in.
#[expect(dead_code, reason = "is kept, and freed")]
enum Block {
    Vector(KVVec<u8>),
    Pages(VVec<u8>),
}

/// A part of an allocation, or all of it.
///
/// # Invariants
///
/// From `start` on there are `len` bytes of the block, initialised, and of no other [`Bytes`].
pub(crate) struct Bytes {
    block: Arc<Block>,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: The bytes are this value's alone, as those of a `KVVec<u8>` are.
unsafe impl Send for Bytes {}
// SAFETY: As above.
unsafe impl Sync for Bytes {}

impl Bytes {
    /// `len` bytes of `block` from `start` on.
    ///
    /// # Safety
    ///
    /// They are bytes of the block, initialised, and used nowhere else.
    unsafe fn new(block: Block, start: *mut u8, len: usize, flags: Flags) -> Result<Self> {
        // INVARIANT: As the caller says.
        Ok(Self {
            block: Arc::new(block, flags)?,
            start: NonNull::new(start).ok_or(ENOMEM)?,
            len,
        })
    }

    /// `len` bytes, all zero.
    pub(crate) fn zeroed(len: usize, flags: Flags) -> Result<Self> {
        let mut memory = KVVec::with_capacity(len, flags | __GFP_ZERO)?;
        let start = memory.as_mut_ptr();
        // SAFETY: There is room for `len`, which was zeroed, and the vector stays empty.
        unsafe { Self::new(Block::Vector(memory), start, len, flags) }
    }

    /// The same, many: in pages, where the slab would round up to a power of two.
    pub(crate) fn zeroed_pages(len: usize) -> Result<Self> {
        let mut memory = VVec::with_capacity(len, GFP_KERNEL_ACCOUNT | __GFP_ZERO)?;
        let start = memory.as_mut_ptr();
        // SAFETY: As above.
        unsafe { Self::new(Block::Pages(memory), start, len, GFP_KERNEL_ACCOUNT) }
    }

    /// Takes over the bytes of a vector.
    pub(crate) fn from_vec(mut memory: KVVec<u8>) -> Result<Self> {
        let (start, len) = (memory.as_mut_ptr(), memory.len());
        // SAFETY: These are the vector's elements, which nobody looks at any more.
        unsafe { Self::new(Block::Vector(memory), start, len, GFP_KERNEL_ACCOUNT) }
    }

    /// Cuts off the first `len` bytes, or all if there are not as many.
    pub(crate) fn split_to(&mut self, len: usize) -> Self {
        let len = len.min(self.len);
        // INVARIANT: These bytes are given away by the lines below.
        let front = Self {
            block: self.block.clone(),
            start: self.start,
            len,
        };
        // SAFETY: Not further than the end of our bytes.
        self.start = unsafe { self.start.add(len) };
        self.len = self.len.saturating_sub(len);
        front
    }

    /// Keeps the first `len` bytes alone.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Takes `next` in if it is what follows in memory; gives it back if not.
    pub(crate) fn join(&mut self, next: Self) -> Result<(), Self> {
        // SAFETY: Not further than the end of our bytes.
        let end = unsafe { self.start.add(self.len) };
        if !Arc::ptr_eq(&self.block, &next.block) || end != next.start {
            return Err(next);
        }
        // INVARIANT: The bytes of `next`, which is no more, follow ours.
        self.len = self.len.saturating_add(next.len);
        Ok(())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: By the type invariant; the block lives as long as `self`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: As above, and they are of no other `Bytes`.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[kernel::prelude::kunit_tests(livecore_bytes)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_disjoint_and_join_in_order_alone() -> Result {
        let mut rest = Bytes::zeroed(10, GFP_KERNEL)?;
        assert!(rest.iter().all(|byte| *byte == 0));
        let mut one = rest.split_to(4);
        let mut two = rest.split_to(4);
        assert_eq!(rest.len(), 2);
        one.fill(1);
        two.fill(2);
        assert!(*rest == [0, 0]);
        let Err(rest) = one.join(rest) else {
            return Err(EINVAL);
        };
        assert!(one.join(two).is_ok());
        assert!(*one == [1, 1, 1, 1, 2, 2, 2, 2]);
        assert!(one.join(rest).is_ok());
        assert_eq!(one.len(), 10);
        one.truncate(3);
        let Err(_) = one.join(Bytes::zeroed(1, GFP_KERNEL)?) else {
            return Err(EINVAL);
        };
        assert_eq!(one.split_to(99).len(), 3);
        Ok(())
    }

    #[test]
    fn a_vector_keeps_its_bytes() -> Result {
        let bytes = Bytes::from_vec(KVVec::from_elem(7, 5, GFP_KERNEL)?)?;
        assert!(*bytes == [7; 5]);
        Ok(())
    }
}
