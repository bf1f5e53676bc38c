//! What requests cost in transfers of the device. Run with `--nocapture` for the table.

use crate::support::*;
use fs_core::DeviceCounters;

struct Meter {
    world: World,
    last: DeviceCounters,
    commits: u64,
}

impl Meter {
    fn spent(&mut self) -> (DeviceCounters, u64) {
        let now = self.world.server.as_ref().unwrap().device_counters();
        let commits = self.world.board.0.borrow().commits;
        let spent = DeviceCounters {
            reads: now.reads - self.last.reads,
            sectors_read: now.sectors_read - self.last.sectors_read,
            writes: now.writes - self.last.writes,
            sectors_written: now.sectors_written - self.last.sectors_written,
            flushes: now.flushes - self.last.flushes,
            contradictions: 0,
        };
        let committed = commits - self.commits;
        self.last = now;
        self.commits = commits;
        (spent, committed)
    }

    fn measure(&mut self, name: &str, op: &Op) -> DeviceCounters {
        self.world.ok(1, op);
        let (spent, commits) = self.spent();
        println!(
            "{name:24} reads {:3} ({:4} sectors)  writes {:2} ({:4} sectors)  flushes {}  commits {commits}",
            spent.reads, spent.sectors_read, spent.writes, spent.sectors_written, spent.flushes
        );
        spent
    }
}

fn meter(kib: u32) -> Meter {
    let world = World::new(&mkfs(kib, &[]));
    Meter { world, last: DeviceCounters::default(), commits: 0 }
}

#[test]
fn transfers() {
    for kib in [4 * 1024, 64 * 1024] {
        println!("card of {} MiB", kib / 1024);
        let mut m = meter(kib);
        m.world.server = Some(m.world.start().unwrap());
        let (mount, _) = m.spent();
        println!("mount: {mount:?}");
        assert!(mount.sectors_read < 1000, "a mount must not read the whole card");
        m.measure("mkdir", &Op::Mkdir("/d".into()));
        m.measure("create exclusive", &Op::Create(0, "/d/f".into()));
        let append = m.measure("append 512", &Op::Append(0, pattern(1, 512)));
        m.measure("append 512 again", &Op::Append(0, pattern(2, 512)));
        m.measure("append 4 KiB", &Op::Append(0, pattern(3, 4096)));
        m.measure("append 32 KiB", &Op::Append(0, pattern(4, 32768)));
        let over = m.measure("overwrite 4 KiB", &Op::Write(0, 0, pattern(5, 4096)));
        let read = m.measure("read 4 KiB", &Op::Read(0, 0, 4096));
        m.measure("read 32 KiB", &Op::Read(0, 0, 32768));
        m.measure("fsync", &Op::Fsync(0));
        let stat = m.measure("stat", &Op::Stat("/d/f".into()));
        m.measure("list", &Op::List("/d".into()));
        m.measure("truncate", &Op::Truncate(0, 100));
        m.measure("close", &Op::Close(0));
        m.measure("open", &Op::Open(0, RW, "/d/f".into()));
        m.measure("close", &Op::Close(0));
        m.measure("rename", &Op::Rename("/d/f".into(), "/g".into()));
        m.measure("unlink", &Op::Unlink("/g".into()));
        m.measure("rmdir", &Op::Rmdir("/d".into()));
        m.measure("unmount", &Op::Unmount);
        assert!(append.writes <= 8, "journal blocks are joined: {append:?}");
        assert!(over.flushes <= 2, "{over:?}");
        assert!(read.reads <= 8 && read.writes == 0, "{read:?}");
        assert!(stat.reads <= 8 && stat.writes == 0, "{stat:?}");
    }
}
