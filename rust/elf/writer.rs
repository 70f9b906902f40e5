// SPDX-License-Identifier: GPL-2.0

//! The one way in which bytes reach the image: appended, little endian.

use super::Class;
use kernel::{alloc::flags::GFP_KERNEL_ACCOUNT, prelude::*};

/// Zeros to pad with.
const ZEROS: [u8; 256] = [0; 256];

/// Bytes of an image under construction, charged to the caller's memory cgroup.
///
/// Every method fails with `ENOMEM` alone.
pub(crate) struct Writer {
    class: Class,
    bytes: KVVec<u8>,
}

impl Writer {
    /// An empty image of that class.
    pub(crate) fn new(class: Class) -> Self {
        Self {
            class,
            bytes: KVVec::new(),
        }
    }

    pub(super) fn class(&self) -> Class {
        self.class
    }

    /// How many bytes were written.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets what was written, and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The bytes so far.
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The bytes written.
    pub(crate) fn into_bytes(self) -> KVVec<u8> {
        self.bytes
    }

    /// Makes room for `additional` bytes, so that appending them allocates once.
    pub(crate) fn reserve(&mut self, additional: usize) -> Result {
        Ok(self.bytes.reserve(additional, GFP_KERNEL_ACCOUNT)?)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result {
        Ok(self.bytes.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT)?)
    }

    pub(crate) fn u8(&mut self, value: u8) -> Result {
        self.bytes(&[value])
    }

    pub(crate) fn u16(&mut self, value: u16) -> Result {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> Result {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn i32(&mut self, value: i32) -> Result {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> Result {
        self.bytes(&value.to_le_bytes())
    }

    /// A `long` or an address: of 32 bits the lower ones, as where the kernel assigns it.
    pub(crate) fn word(&mut self, value: u64) -> Result {
        match self.class {
            Class::Elf32 => self.u32(value as u32),
            Class::Elf64 => self.u64(value),
        }
    }

    /// `count` zero bytes.
    pub(crate) fn zeros(&mut self, count: usize) -> Result {
        let mut left = count;
        while left > 0 {
            let piece = ZEROS.get(..left).unwrap_or(&ZEROS);
            self.bytes(piece)?;
            left = left.saturating_sub(piece.len());
        }
        Ok(())
    }

    /// Zeros up to a multiple of `alignment`, a power of two.
    pub(crate) fn align(&mut self, alignment: usize) -> Result {
        self.zeros(self.len().wrapping_neg() & alignment.wrapping_sub(1))
    }

    /// `bytes`, cut or filled with zeros to exactly `size`.
    pub(crate) fn fixed(&mut self, bytes: &[u8], size: usize) -> Result {
        let kept = bytes.get(..size).unwrap_or(bytes);
        self.bytes(kept)?;
        self.zeros(size.saturating_sub(kept.len()))
    }

    /// Writes `value` over the four bytes at `offset`, which were written before.
    pub(crate) fn patch_u32(&mut self, offset: usize, value: u32) {
        let end = offset.saturating_add(4);
        if let Some(place) = self.bytes.as_mut_slice().get_mut(offset..end) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }
}

#[kernel::prelude::kunit_tests(livecore_elf_writer)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_little_endian() -> Result {
        let mut w = Writer::new(Class::Elf64);
        w.u8(0x01)?;
        w.u16(0x0302)?;
        w.u32(0x07060504)?;
        w.u64(0x0f0e0d0c0b0a0908)?;
        let bytes = w.into_bytes();
        assert!(bytes
            .iter()
            .enumerate()
            .all(|(i, b)| usize::from(*b) == i + 1));
        assert_eq!(bytes.len(), 15);
        Ok(())
    }

    #[test]
    fn words_are_as_long_as_the_class_has_them() -> Result {
        let mut w = Writer::new(Class::Elf32);
        w.word(0xffff_ffff_0403_0201)?;
        assert!(&w.into_bytes()[..] == [1, 2, 3, 4]);
        let mut w = Writer::new(Class::Elf64);
        w.word(0x0807_0605_0403_0201)?;
        assert!(&w.into_bytes()[..] == [1, 2, 3, 4, 5, 6, 7, 8]);
        Ok(())
    }

    #[test]
    fn alignment_pads_with_zeros_and_only_where_needed() -> Result {
        let mut w = Writer::new(Class::Elf64);
        w.align(4)?;
        assert_eq!(w.len(), 0);
        w.u8(0xff)?;
        w.align(4096)?;
        assert_eq!(w.len(), 4096);
        w.align(4096)?;
        assert_eq!(w.len(), 4096);
        assert!(w.into_bytes().iter().skip(1).all(|b| *b == 0));
        Ok(())
    }

    #[test]
    fn fixed_cuts_and_fills() -> Result {
        let mut w = Writer::new(Class::Elf64);
        w.fixed(b"abcdef", 4)?;
        w.fixed(b"x", 3)?;
        assert!(&w.into_bytes()[..] == b"abcdx\0\0");
        Ok(())
    }

    #[test]
    fn patch_stays_in_bounds() -> Result {
        let mut w = Writer::new(Class::Elf64);
        w.u64(0)?;
        w.patch_u32(4, 0xffff_ffff);
        w.patch_u32(5, 1);
        assert!(&w.into_bytes()[..] == [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        Ok(())
    }
}
