//! What an operation has done is looked at before it is committed.
//!
//! *Rule.* These run within a change, before its last transaction is put on the medium. What is not there is an error of kind "corrupted":
//! that transaction is rolled back, and the request goes to a fresh incarnation, once. The contents of files are on the medium by then, as
//! they are whenever a server dies in the middle of a write.
//!
//! *Why.* The audit ([`crate::audit`]) sees whether a transaction fits together, not whether it is the one that was asked for. A server with
//! one wrong instruction commits an empty one, or one about another file, and says that it is done.

use alloc::vec;

use rsext4::{Ext4Error, Ext4Result, FileName, InodeNumber};

use crate::device::BlockDevice;
use crate::disk::Mounted;

/// The bytes of a file from `offset` on are these.
pub(crate) fn has_bytes<D: BlockDevice>(
    disk: &mut Mounted<D>,
    inode: InodeNumber,
    offset: u64,
    data: &[u8],
) -> Ext4Result<()> {
    // At once: each call asks the device.
    let mut found = vec![0; data.len()];
    if disk.read_inode(inode, offset, &mut found)? == data.len() && found == data {
        return Ok(());
    }
    Err(Ext4Error::corrupted().with_operation("what was written is not there"))
}

/// A file is so long.
pub(crate) fn has_size<D: BlockDevice>(
    disk: &mut Mounted<D>,
    inode: InodeNumber,
    size: u64,
) -> Ext4Result<()> {
    if disk.inode(inode)?.size == size {
        return Ok(());
    }
    Err(Ext4Error::corrupted().with_operation("a file has another length than it was given"))
}

/// A name means this inode, or nothing.
pub(crate) fn is_named<D: BlockDevice>(
    disk: &mut Mounted<D>,
    parent: InodeNumber,
    name: FileName<'_>,
    inode: Option<InodeNumber>,
) -> Ext4Result<()> {
    if disk.lookup_child(parent, name)?.map(|info| info.number) == inode {
        return Ok(());
    }
    Err(Ext4Error::corrupted().with_operation("a name means something else than it was given"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fatal;
    use crate::audit::tests::{FEATURES, card, mkfs};
    use crate::device::Volume;
    use crate::disk::{Disk, Stop};
    use crate::server::OWNER;
    use protocols::files::Status;
    use rsext4::FilePermissions;
    use std::time::Duration;

    #[test]
    fn what_is_not_there_is_rolled_back_and_counts_as_damage() {
        let card = card(mkfs(256, FEATURES));
        let sectors = card.sectors();
        let mut disk = Disk::mount(Volume::new(card, 0, sectors), || Duration::from_hours(500_000)).unwrap();
        let root = disk.root().unwrap();
        let name = |name: &'static str| FileName::new(name.as_bytes()).unwrap();
        let permissions = FilePermissions::new(0o644).unwrap();
        let file = disk
            .change(|disk| {
                let made = disk.create_regular_file(OWNER, root, name("f"), permissions)?;
                disk.write_inode(made.number, 0, &[7; 1500])?;
                has_size(disk, made.number, 1500)?;
                has_bytes(disk, made.number, 0, &[7; 1500])?;
                is_named(disk, root, name("f"), Some(made.number))?;
                is_named(disk, root, name("g"), None)?;
                Ok(made.number)
            })
            .unwrap();
        let damaged = Err(Stop::Refused(Status::Damaged));
        let mut other = [7; 1500];
        other[1400] = 8;
        assert_eq!(disk.change(|disk| has_size(disk, file, 1501)), damaged);
        assert_eq!(disk.change(|disk| has_bytes(disk, file, 0, &other)), damaged);
        assert_eq!(disk.change(|disk| has_bytes(disk, file, 1, &[7; 1500])), damaged, "behind the end");
        assert_eq!(disk.change(|disk| is_named(disk, root, name("f"), Some(root))), damaged);
        assert_eq!(disk.change(|disk| is_named(disk, root, name("f"), None)), damaged);
        let lost = disk.change(|disk| {
            disk.write_inode(file, 1500, &[9; 600])?;
            has_size(disk, file, 1500)
        });
        assert_eq!(lost, damaged);
        assert_eq!(disk.inode(file).unwrap().size, 1500);
    }

    #[test]
    fn what_did_not_reach_the_medium_ends_the_server() {
        let mounted = || {
            let card = card(mkfs(256, FEATURES));
            let sectors = card.sectors();
            let volume = Volume::new(card, 0, sectors);
            (volume.clone(), Disk::mount(volume, || Duration::from_hours(500_000)).unwrap())
        };
        let (volume, mut disk) = mounted();
        let root = disk.root().unwrap();
        let permissions = FilePermissions::new(0o644).unwrap();
        let make = |disk: &mut Disk<_>, name: &'static str| {
            let name = FileName::new(name.as_bytes()).unwrap();
            disk.change(|disk| disk.create_regular_file(OWNER, root, name, permissions)).unwrap().number
        };
        // Two, since the second is not the last inode of its block: the one behind it is known, too.
        make(&mut disk, "e");
        let made = make(&mut disk, "f");
        assert_eq!(disk.is_committed(made, Some(0)), Ok(()));
        assert_eq!(disk.settle(|_| Ok(())), Ok(()), "nothing was to be changed");
        let unused = InodeNumber::new(made.raw() + 1).unwrap();
        let contradiction = |what| Err(Stop::Fatal(Fatal::Contradiction(what)));
        volume.believe_audit(false);
        assert_eq!(disk.change(|_| Ok(())), Ok(()), "a request that comes again is done");
        volume.believe_audit(true);
        let other = contradiction("what was committed of a file is not what was asked for");
        assert_eq!(disk.is_committed(unused, None), other);
        assert_eq!(disk.settle(|_| Ok(())), other, "nothing reaches the device any more");
        assert_eq!(mounted().1.change(|_| Ok(())), contradiction("a change was not committed"));
        let (_, mut disk) = mounted();
        let made = make(&mut disk, "f");
        assert_eq!(disk.is_committed(made, Some(1)), other);
    }
}
