//! As much of a flattened device tree as says where memory is.
//!
//! Rule: whoever made the tree, reading it ends, within its bytes and without a panic: every offset is checked, every step
//! goes on, and what is damaged is as if it were absent. `dtoolkit` reads whole trees; this reads one property, in the kernel,
//! whose every line must be trusted.
//!
//! # Resources
//! - Devicetree Specification, release v0.4: 5.2 (header), 5.4 (structure block), 2.3.5 (#address-cells), 3.4 (/memory).

use crate::ram::Ranges;

const MAGIC: u32 = 0xD00D_FEED;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;

/// Bytes of a header, and the most that a tree may have: a damaged length must not lead out of memory.
pub const HEADER_SIZE: usize = 40;
/// See [`HEADER_SIZE`].
pub const SIZE_MAX: usize = 1 << 20;

/// The size that a header claims, if it is a header.
pub fn size(header: &[u8]) -> Option<usize> {
    let claimed = word(header, 4)? as usize;
    (word(header, 0)? == MAGIC && (HEADER_SIZE..=SIZE_MAX).contains(&claimed)).then_some(claimed)
}

/// The memory that the tree describes; `None` if it is no tree or describes none.
#[inline(never)]
pub fn memory(tree: &[u8]) -> Option<Ranges> {
    let tree = tree.get(..size(tree)?)?;
    let structure = tree.get(word(tree, 8)? as usize..)?;
    let strings = tree.get(word(tree, 12)? as usize..)?;
    let mut walk = Walk { structure, at: 0 };
    let (mut depth, mut cells, mut in_memory) = (0u32, [2, 1], false);
    let mut found = Ranges::EMPTY;
    while let Some(token) = walk.word() {
        match token {
            BEGIN_NODE => {
                let name = walk.text()?;
                depth += 1;
                in_memory = depth == 2 && (name == b"memory" || name.starts_with(b"memory@"));
            }
            END_NODE => {
                depth = depth.checked_sub(1)?;
                in_memory = false;
            }
            PROPERTY => {
                let (length, name) = (walk.word()? as usize, walk.word()? as usize);
                let value = walk.bytes(length)?;
                match text(strings, name)? {
                    b"#address-cells" if depth == 1 => cells[0] = word(value, 0)? as usize,
                    b"#size-cells" if depth == 1 => cells[1] = word(value, 0)? as usize,
                    b"reg" if in_memory => ranges(value, cells, &mut found)?,
                    _ => {}
                }
            }
            NOP => {}
            _ => break,
        }
    }
    (!found.is_empty()).then_some(found)
}

/// Adds the pairs of address and size in `value`; numbers have one or two cells.
fn ranges(value: &[u8], cells: [usize; 2], found: &mut Ranges) -> Option<()> {
    if cells.iter().any(|cells| !(1..=2).contains(cells)) {
        return None;
    }
    let number = |at: usize, cells: usize| {
        let low = u64::from(word(value, at + 4 * (cells - 1))?);
        Some(if cells == 2 { u64::from(word(value, at)?) << 32 | low } else { low })
    };
    for at in (0..value.len()).step_by(4 * (cells[0] + cells[1])) {
        found.add(number(at, cells[0])?, number(at + 4 * cells[0], cells[1])?);
    }
    Some(())
}

/// A position in the structure block. Every step goes on by at least four bytes.
struct Walk<'a> {
    structure: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn word(&mut self) -> Option<u32> {
        let value = word(self.structure, self.at)?;
        self.at += 4;
        Some(value)
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let value = self.structure.get(self.at..self.at.checked_add(length)?)?;
        self.at = (self.at + length).next_multiple_of(4);
        Some(value)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let name = text(self.structure, self.at)?;
        self.bytes(name.len() + 1)?;
        Some(name)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn text(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    rest.get(..rest.iter().position(|&byte| byte == 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A tree with these cells and values of `reg` in its memory nodes, between properties and nodes that mean nothing here.
    fn tree(cells: [u32; 2], nodes: &[(&str, &[u32])]) -> Vec<u8> {
        let strings = b"#address-cells\0#size-cells\0reg\0";
        let mut structure: Vec<u32> = vec![BEGIN_NODE, 0];
        for (offset, value) in [(0, cells[0]), (15, cells[1])] {
            structure.extend([PROPERTY, 4, offset, value]);
        }
        structure.extend([BEGIN_NODE, u32::from_be_bytes(*b"cpus"), 0, PROPERTY, 4, 27, 7, END_NODE, NOP]);
        for (name, reg) in nodes {
            let mut name = name.as_bytes().to_vec();
            name.resize((name.len() + 1).next_multiple_of(4), 0);
            structure.push(BEGIN_NODE);
            structure.extend(name.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word)));
            structure.extend([PROPERTY, 4 * reg.len() as u32, 27]);
            structure.extend(*reg);
            structure.push(END_NODE);
        }
        structure.extend([END_NODE, 9]);
        let strings_at = HEADER_SIZE + 4 * structure.len();
        let header = [MAGIC, (strings_at + strings.len()) as u32, 40, strings_at as u32, 0, 17, 16, 0, 31, 0];
        let words = header.iter().chain(&structure).flat_map(|word| word.to_be_bytes());
        words.chain(*strings).collect()
    }

    fn found(tree: &[u8]) -> Vec<(u64, u64)> {
        memory(tree).map(|ranges| ranges.iter().collect()).unwrap_or_default()
    }

    #[test]
    fn memory_is_found_in_one_or_two_cells_and_in_several_nodes() {
        assert_eq!(found(&tree([1, 1], &[("memory@0", &[0, 0x3C00_0000])])), [(0, 0x3C00_0000)]);
        let large = [0, 0, 0x3B40_0000, 0, 0x4000_0000, 0xBC00_0000, 1, 0, 0x8000_0000];
        let expected = [(0, 0x3B40_0000), (0x4000_0000, 0xFC00_0000), (1 << 32, (1 << 32) + 0x8000_0000)];
        assert_eq!(found(&tree([2, 1], &[("memory@0", &large)])), expected);
        let two: [(&str, &[u32]); 2] = [("memory", &[0, 4096]), ("memory@4000", &[0x4000, 4096])];
        assert_eq!(found(&tree([1, 1], &two)), [(0, 4096), (0x4000, 0x5000)]);
    }

    #[test]
    fn what_is_no_memory_is_not_taken_for_it() {
        assert_eq!(found(&tree([1, 1], &[("memories", &[0, 4096]), ("mem", &[0, 4096])])), []);
        assert_eq!(found(&tree([3, 1], &[("memory", &[0, 0, 0, 4096])])), [], "three cells");
        assert_eq!(found(&tree([1, 1], &[("memory", &[0])])), [], "half a pair");
        assert_eq!(found(b"ATAG, not a tree"), []);
    }

    proptest! {
        #[test]
        fn a_damaged_tree_ends_without_a_panic(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = tree([2, 1], &[("memory@0", &[0, 0, 0x3B40_0000])]);
            for (place, value) in changes {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            let _ = memory(&bytes);
            bytes.truncate(cut.index(bytes.len() + 1));
            let _ = memory(&bytes);
        }

        #[test]
        fn any_bytes_end_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 48..512)) {
            let length = bytes.len() as u32;
            for (at, value) in [(0, MAGIC), (4, length), (8, 40), (12, 44)] {
                bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
            }
            let _ = memory(&bytes);
        }
    }
}
