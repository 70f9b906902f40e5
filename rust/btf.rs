// SPDX-License-Identifier: GPL-2.0

//! The kernel's own description of its types: `Documentation/bpf/btf.rst`.
//!
//! MODVERSIONS is off in the kernels that we know, and some structures are private to
//! `fs/proc/`: whether what was compiled in is what runs, only BTF can tell.

use kernel::prelude::*;

const MAGIC: u16 = 0xeb9f;
/// Size of a `struct btf_type`, in bytes.
const TYPE_SIZE: usize = 12;
/// Size of a `struct btf_member`, in bytes.
const MEMBER_SIZE: usize = 12;

const KIND_ARRAY: u32 = 3;
const KIND_INT: u32 = 1;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_ENUM64: u32 = 19;

/// How deep anonymous structures and unions are searched.
const MAX_DEPTH: u32 = 8;

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes.get(offset..offset.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// A BTF blob.
pub(crate) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type is, by its id, which counts from 1.
    index: KVVec<u32>,
}

/// A structure of the kernel.
#[derive(Clone, Copy)]
pub(crate) struct Structure(Type);

impl Structure {
    /// Its size, in bytes.
    pub(crate) fn size(self) -> u32 {
        self.0.size
    }
}

/// A `struct btf_type`.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    info: u32,
    /// Or the id of another type.
    size: u32,
    /// Where what follows it starts.
    rest: usize,
}

impl Type {
    fn kind(&self) -> u32 {
        self.info >> 24 & 0x1f
    }

    fn count(&self) -> usize {
        (self.info & 0xffff) as usize
    }

    fn is_composite(&self) -> bool {
        matches!(self.kind(), KIND_STRUCT | KIND_UNION)
    }

    /// How many bytes follow it; `None` for a kind that we do not know.
    fn rest_size(&self) -> Option<usize> {
        Some(match self.kind() {
            KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
            KIND_ARRAY => 12,
            KIND_STRUCT | KIND_UNION => self.count().checked_mul(MEMBER_SIZE)?,
            KIND_ENUM | KIND_FUNC_PROTO => self.count().checked_mul(8)?,
            KIND_DATASEC | KIND_ENUM64 => self.count().checked_mul(12)?,
            1..=18 => 0,
            _ => return None,
        })
    }
}

impl<'a> Btf<'a> {
    /// Reads the index of types; `EINVAL` if this is not BTF.
    pub(crate) fn parse(blob: &'a [u8]) -> Result<Self> {
        let (types, strings) = Self::sections(blob).ok_or(EINVAL)?;
        let mut this = Self {
            types,
            strings,
            index: KVVec::new(),
        };
        let mut offset = 0usize;
        while let Some(found) = this.type_at(offset) {
            this.index.push(u32::try_from(offset)?, GFP_KERNEL)?;
            let Some(rest) = found.rest_size() else {
                break;
            };
            offset = found.rest.saturating_add(rest);
        }
        Ok(this)
    }

    fn sections(blob: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        if u16_at(blob, 0)? != MAGIC {
            return None;
        }
        let header_size = u32_at(blob, 4)? as usize;
        let section = |at: usize| -> Option<&'a [u8]> {
            let start = header_size.checked_add(u32_at(blob, at)? as usize)?;
            let size = u32_at(blob, at.checked_add(4)?)? as usize;
            blob.get(start..start.checked_add(size)?)
        };
        Some((section(8)?, section(16)?))
    }

    fn type_at(&self, offset: usize) -> Option<Type> {
        Some(Type {
            name: u32_at(self.types, offset)?,
            info: u32_at(self.types, offset.checked_add(4)?)?,
            size: u32_at(self.types, offset.checked_add(8)?)?,
            rest: offset.checked_add(TYPE_SIZE)?,
        })
    }

    fn by_id(&self, id: u32) -> Option<Type> {
        let place = self.index.get((id as usize).checked_sub(1)?)?;
        self.type_at(*place as usize)
    }

    fn is_named(&self, name: u32, wanted: &[u8]) -> bool {
        let rest = self.strings.get(name as usize..).unwrap_or(&[]);
        rest.starts_with(wanted) && rest.get(wanted.len()) == Some(&0)
    }

    /// Finds a structure that has members.
    pub(crate) fn structure(&self, name: &[u8]) -> Option<Structure> {
        let mut types = self
            .index
            .iter()
            .filter_map(|place| self.type_at(*place as usize));
        types
            .find(|t| t.kind() == KIND_STRUCT && t.count() > 0 && self.is_named(t.name, name))
            .map(Structure)
    }

    /// The byte offset of a member of a structure, anonymous members seen through.
    pub(crate) fn offset_of(&self, structure: Structure, member: &[u8]) -> Option<u32> {
        Some(self.bit_offset(structure.0, member, 0)? / 8)
    }

    fn bit_offset(&self, composite: Type, member: &[u8], depth: u32) -> Option<u32> {
        let bitfields = composite.info >> 31 != 0;
        for index in 0..composite.count() {
            let at = composite
                .rest
                .checked_add(index.checked_mul(MEMBER_SIZE)?)?;
            let name = u32_at(self.types, at)?;
            let type_id = u32_at(self.types, at.checked_add(4)?)?;
            let mut offset = u32_at(self.types, at.checked_add(8)?)?;
            if bitfields {
                offset &= 0xff_ffff;
            }
            if self.is_named(name, member) {
                return Some(offset);
            }
            if name == 0 && depth < MAX_DEPTH {
                let inner = self.by_id(type_id)?;
                let found = inner
                    .is_composite()
                    .then(|| self.bit_offset(inner, member, depth.saturating_add(1)))
                    .flatten();
                if let Some(found) = found {
                    return offset.checked_add(found);
                }
            }
        }
        None
    }
}

#[kernel::prelude::kunit_tests(livecore_btf)]
mod tests {
    use super::*;

    /// `struct outer { int first; struct { int second; }; }`, after an int and an enum.
    fn blob() -> Result<KVec<u8>> {
        const STRINGS: &[u8] = b"\0int\0outer\0first\0second\0";
        let types: &[u32] = &[
            1,
            1 << 24,
            4,
            0x20, // [1] int
            0,
            6 << 24 | 1,
            4,
            1,
            7, // [2] enum of one
            0,
            4 << 24 | 1,
            4,
            17,
            1,
            0, // [3] struct { int second; }
            5,
            4 << 24 | 2,
            8,
            11,
            1,
            0,
            0,
            3,
            32, // [4] struct outer
        ];
        let types_size = types.len() as u32 * 4;
        let header = [
            0x0001_eb9f,
            24,
            0,
            types_size,
            types_size,
            STRINGS.len() as u32,
        ];
        let mut blob = KVec::new();
        for word in Iterator::chain(header.iter(), types) {
            blob.extend_from_slice(&word.to_le_bytes(), GFP_KERNEL)?;
        }
        blob.extend_from_slice(STRINGS, GFP_KERNEL)?;
        Ok(blob)
    }

    #[test]
    fn members_are_found_through_anonymous_structures() -> Result {
        let blob = blob()?;
        let btf = Btf::parse(&blob)?;
        let outer = btf.structure(b"outer").ok_or(ENOENT)?;
        assert_eq!(btf.offset_of(outer, b"first"), Some(0));
        assert_eq!(btf.offset_of(outer, b"second"), Some(4));
        assert_eq!(outer.size(), 8);
        Ok(())
    }

    #[test]
    fn what_is_not_there_is_not_found() -> Result {
        let blob = blob()?;
        let btf = Btf::parse(&blob)?;
        let outer = btf.structure(b"outer").ok_or(ENOENT)?;
        assert_eq!(btf.offset_of(outer, b"third"), None);
        assert!(btf.structure(b"oute").is_none());
        assert!(btf.structure(b"int").is_none());
        Ok(())
    }

    #[test]
    fn broken_blobs_are_refused() -> Result {
        let blob = blob()?;
        assert!(Btf::parse(&[]).is_err());
        assert!(Btf::parse(&blob[1..]).is_err());
        // Cut anywhere, it never finds more than there is.
        for end in 0..blob.len() {
            assert!(Btf::parse(&blob[..end]).is_err());
        }
        Ok(())
    }
}
