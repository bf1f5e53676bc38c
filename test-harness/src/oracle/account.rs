//! The judge of what the kernel holds: nothing of the dead, and of the living what the build says.
//!
//! A leak is seen by nobody until something is used up, which takes longer than a run. So the injector says now and then what is
//! held ([`injector_core::Account`]), and here it is compared:
//!
//! | what | must be |
//! |---|---|
//! | pages of a component that runs | what its image, stack and tables need, to the page; with a heap no more than with all of it |
//! | pages of one that is dead | none |
//! | address-space identifiers | one for each component that runs |
//! | calls queued or in service | one for each component that waits for the end of a call |

use crate::system::{Memory, Slot};
use abi::PAGE_SIZE;
use injector_core::Account;

/// Everything that is held and must not be, or is not held and must be.
pub fn judge(account: &Account, slots: &[Slot]) -> Vec<String> {
    let mut findings: Vec<_> = slots.iter().filter_map(|slot| pages(account, slot)).collect();
    let running = account.running.count_ones();
    if u32::from(account.asids) != running {
        findings
            .push(format!("{} address-space identifiers are in use, by {running} components", account.asids));
    }
    if account.calls != account.callers {
        findings.push(format!(
            "{} calls are queued or in service, and {} components wait for the end of one",
            account.calls, account.callers
        ));
    }
    findings
}

fn pages(account: &Account, slot: &Slot) -> Option<String> {
    let held = u64::from(*account.pages.get(usize::from(slot.slot))?);
    if account.running >> slot.slot & 1 == 0 {
        return (held > 0).then(|| format!("{} is dead and holds {held} pages", slot.name));
    }
    let Memory { needed, heap } = slot.memory?;
    let needed = needed / PAGE_SIZE as u64;
    let is_right = if heap > 0 { held <= needed } else { held == needed };
    let most = if heap > 0 { " at most" } else { "" };
    (!is_right).then(|| format!("{} holds {held} pages, and needs {needed}{most}", slot.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(slot: u8, name: &str, pages: u64, heap: u64) -> Slot {
        let memory = Some(Memory { needed: pages * PAGE_SIZE as u64, heap: heap * PAGE_SIZE as u64 });
        Slot { slot, name: name.to_owned(), image: None, build_id: None, elf: None, memory }
    }

    fn slots() -> [Slot; 3] {
        [slot(0, "rs", 10, 0), slot(1, "fs", 20, 8), Slot { memory: None, ..slot(2, "spare", 0, 0) }]
    }

    fn good() -> Account {
        let mut account = Account { asids: 3, callers: 1, calls: 1, running: 0b111, ..Account::default() };
        account.pages[..3].copy_from_slice(&[10, 15, 99]);
        account
    }

    #[test]
    fn what_is_needed_may_be_held() {
        assert_eq!(judge(&good(), &slots()), [""; 0]);
        let mut dead = Account { asids: 2, running: 0b101, ..good() };
        dead.pages[1] = 0;
        assert_eq!(judge(&dead, &slots()), [""; 0]);
    }

    #[test]
    fn leaks_are_named() {
        let found = |account: Account| judge(&account, &slots()).join("; ");
        let mut account = good();
        account.pages[..2].copy_from_slice(&[11, 21]);
        assert_eq!(
            found(account),
            "rs holds 11 pages, and needs 10; fs holds 21 pages, and needs 20 at most"
        );
        let dead = Account { asids: 3, running: 0b101, ..good() };
        assert_eq!(
            found(dead),
            "fs is dead and holds 15 pages; 3 address-space identifiers are in use, by 2 components"
        );
        let twice = Account { calls: 2, ..good() };
        assert_eq!(
            found(twice),
            "2 calls are queued or in service, and 1 components wait for the end of one"
        );
    }
}
