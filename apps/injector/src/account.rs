//! What the kernel holds for whom at one moment: nothing may be left of the dead.
//!
//! *Role.* The injector takes it down, the host compares it with what must be: that nothing is leaked is seen in no other way before
//! something is used up.
//!
//! *Rule.* It is of one moment: if somebody else ran while it was taken, it is taken again.

use abi::record::{Activity, Counters, SlotInfo, SlotState};
use abi::{PAGE_SIZE, SLOTS_MAX, SlotId};
use serde::{Deserialize, Serialize};

/// What the kernel holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Account {
    /// Address-space identifiers in use.
    pub asids: u8,
    /// Slots that wait for the end of a call.
    pub callers: u8,
    /// Calls queued or in service.
    pub calls: u8,
    /// Slots that run, a bit each.
    pub running: u32,
    /// Pages of each slot's bank in use, of those that run or are dead: loading is neither.
    pub pages: [u16; SLOTS_MAX],
}

impl Account {
    /// Longest encoding in bytes: postcard makes a number of 16 bits three bytes at most, one of 32 five.
    pub const ENCODED_MAX: usize = 3 + 5 + 3 * SLOTS_MAX;

    /// Takes an account of what `counters` and `look` see; `None` if somebody else ran meanwhile.
    pub fn take<E>(
        mut counters: impl FnMut() -> Result<Counters, E>,
        mut look: impl FnMut(SlotId) -> Result<SlotInfo, E>,
    ) -> Option<Self> {
        let before = counters().ok()?;
        let mut account = Self {
            asids: before.asids as u8,
            calls: (before.queued + before.in_service) as u8,
            ..Self::default()
        };
        for (slot, pages) in (0..).zip(&mut account.pages) {
            let Ok(info) = look(slot) else { break };
            if [SlotState::Running as u32, SlotState::Dead as u32].contains(&info.state) {
                *pages = (info.memory_used / PAGE_SIZE as u64) as u16;
            }
            account.running |= u32::from(info.state == SlotState::Running as u32) << slot;
            let calls = [Activity::Queued as u32, Activity::InService as u32];
            account.callers += u8::from(calls.contains(&info.activity));
        }
        let after = counters().ok()?;
        let nobody_ran = (before.switches, before.interrupts) == (after.switches, after.interrupts);
        nobody_ran.then_some(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    fn info(state: SlotState, activity: Activity, pages: u64) -> SlotInfo {
        SlotInfo {
            state: state as u32,
            activity: activity as u32,
            memory_used: pages * PAGE_SIZE as u64,
            ..SlotInfo::new_zeroed()
        }
    }

    #[test]
    fn an_account_is_of_one_moment() {
        let slots = [
            info(SlotState::Running, Activity::Receiving, 3),
            info(SlotState::Dead, Activity::None, 0),
            info(SlotState::Running, Activity::InService, 300),
            info(SlotState::Loading, Activity::None, 7),
        ];
        let look = |slot: SlotId| slots.get(usize::from(slot)).copied().ok_or(());
        let counters = Counters { asids: 2, queued: 1, in_service: 1, ..Counters::default() };
        let account = Account::take(|| Ok(counters), look).unwrap();
        assert_eq!((account.asids, account.callers, account.calls, account.running), (2, 1, 2, 0b101));
        assert_eq!(account.pages[..4], [3, 0, 300, 0]);
        let mut switches = 0;
        let restless = || {
            switches += 1;
            Ok(Counters { switches, ..counters })
        };
        assert_eq!(Account::take(restless, look), None);
    }
}
