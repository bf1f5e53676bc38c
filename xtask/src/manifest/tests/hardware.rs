//! Messages about devices, interrupt lines and register rules.

use super::*;

#[test]
fn what_can_be_mapped() {
    let map = |device: &str| format!("emmc = {{ mapped = true }}, {device} = {{ mapped = true }}, gpio");
    let mapped = |device: &str| defects(&[("emmc = { mapped = true }, gpio", &map(device))]);
    assert_eq!(mapped("sdhost"), Vec::<String>::new());
    assert_eq!(
        mapped("sdhots"),
        ["29: board raspi3b has no device `sdhots`\n  remedy: write `sdhost`, or another of the devices: "
            .to_owned()
            + &super::super::diagnostic::list(board().devices.iter().map(|device| device.name.as_str()))]
    );
    assert_eq!(
        mapped("power"),
        [
            "29: the device `power` is reserved: the kernel resets the board on root's behalf\n  remedy: remove it"
        ]
    );
    let rules = "\n  remedy: write `rules` for the registers that are needed instead of `mapped`";
    assert_eq!(
        mapped("usb"),
        [format!(
            "29: the device `usb` cannot be mapped: usb at offset 0x500 starts DMA of its channels, from and to any address{rules}"
        )]
    );
    assert_eq!(
        mapped("arm-timer"),
        [
            format!(
                "29: the device `arm-timer` cannot be mapped: interrupt-controller at offset 0x0 re-routes the interrupts of every device{rules}"
            ),
            format!(
                "29: the device `arm-timer` cannot be mapped: `interrupt-controller` lies in the same page and is not \"block\"'s{rules}"
            ),
            format!(
                "29: the device `arm-timer` cannot be mapped: doorbells at offset 0x0 re-routes signals to the video core{rules}"
            ),
            format!(
                "29: the device `arm-timer` cannot be mapped: `doorbells` lies in the same page and is not \"block\"'s{rules}"
            ),
            format!(
                "29: the device `arm-timer` cannot be mapped: mailbox at offset 0x20 starts DMA by the video core, to any address{rules}"
            ),
            format!(
                "29: the device `arm-timer` cannot be mapped: `mailbox` lies in the same page and is not \"block\"'s{rules}"
            ),
            format!(
                "29: the device `arm-timer` cannot be mapped: it begins at 0x3f00b400, within a page{rules}"
            ),
        ]
    );
}

#[test]
fn owners_of_devices_and_lines() {
    expect(&[
        (
            &[("serves = \"files\"", "serves = \"files\"\ndevices = { emmc = { mapped = true } }")],
            "38: the device `emmc` belongs to \"block\" already\n  \
             remedy: give each device to one component; others call its driver",
        ),
        (
            &[("serves = \"files\"", "serves = \"files\"\nirqs = { emmc = { storm = 9, window_ms = 9 } }")],
            "38: the interrupt line `emmc` belongs to \"block\" already\n  remedy: give each line to one component",
        ),
        (
            &[("irqs = { emmc", "irqs = { aux")],
            "28: the interrupt line `aux` is reserved: the kernel's trace line (mini-UART) and both auxiliary SPIs share it\n  \
             remedy: remove it",
        ),
        (
            &[("irqs = { emmc", "irqs = { emcm")],
            "28: board raspi3b has no interrupt line `emcm`\n  remedy: write `emmc`, or another of the lines: \
             `system-timer-1`, `system-timer-3`, `usb`, `aux`, `i2c`, `spi0`, `sdhost`, `uart0`, `emmc`, `mailbox`",
        ),
    ]);
}

#[test]
fn register_rules() {
    expect(&[
        (
            &[(
                "emmc = { mapped = true }",
                "emmc = { mapped = true, rules = [{ offset = 0, read = true }] }",
            )],
            "29: the device `emmc` is mapped and has rules, which a mapping by-passes\n  remedy: remove `mapped` or `rules`",
        ),
        (
            &[("emmc = { mapped = true }", "emmc = {}")],
            "29: the device `emmc` is neither mapped nor has it rules\n  \
             remedy: write `{ mapped = true }` or `{ rules = [{ offset = 0x00, read = true }] }`",
        ),
        (
            &[("offset = 0x0C", "offset = 0x0E")],
            "29: the rule for offset 0xe of `gpio` names no register\n  remedy: write a multiple of 4 below 0x1000",
        ),
        (
            &[("offset = 0x0C", "offset = 0x1000")],
            "29: the rule for offset 0x1000 of `gpio` names no register\n  remedy: write a multiple of 4 below 0x1000",
        ),
        (
            &[("offset = 0x0C", "offset = 0xFFFF_FFFF_FFFF_FFFC")],
            "29: the rule for offset 0xfffffffffffffffc of `gpio` names no register\n  \
             remedy: write a multiple of 4 below 0x1000",
        ),
        (
            &[(", read = true, write = true", "")],
            "29: the rule for offset 0xc of `gpio` allows nothing\n  remedy: add `read = true` or `write = true`",
        ),
        (
            &[(
                "gpio = { rules = [{",
                "mailbox = { rules = [{ offset = 0x20, write = true }] }, gpio = { rules = [{",
            )],
            "29: the rule for offset 0x20 of `mailbox` lets a component start DMA to any address\n  \
             remedy: leave those bits out of its mask, and drive the device without DMA",
        ),
    ]);
    expect(&[(
        &[("mask = 0x0F", "mask = 0x0F, zero = 0x18")],
        "29: `zero` of a rule of `gpio` is 0x18: no 32-bit set, or bits that the mask has already\n  \
         remedy: write bits that may be written as zeros and are not in the mask",
    )]);
    let read_only = "mailbox = { rules = [{ offset = 0x20, read = true }] }, gpio = { rules = [{";
    assert_eq!(defects(&[("gpio = { rules = [{", read_only)]), Vec::<String>::new());
}

#[test]
fn too_many_of_a_kind() {
    let repeat =
        |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(", ");
    let rules = repeat(16, &|n| format!("{{ offset = {}, read = true }}", 4 * n));
    let found = defects(&[("gpio = { rules = [", &format!("gpio = {{ rules = [{rules}, "))]);
    assert_eq!(
        found,
        [
            "29: \"block\" has 17 register rules\n  remedy: write at most 16, or map a page that is free of hazards"
        ]
    );
    let devices = repeat(3, &|n| format!("{} = {{ mapped = true }}", ["sdhost", "spi0", "i2c0"][n]));
    let found = defects(&[("devices = { emmc", &format!("devices = {{ {devices}, emmc"))]);
    assert_eq!(found, ["29: \"block\" has 5 devices\n  remedy: name at most 4"]);
    let lines = ["usb", "i2c", "spi0", "sdhost"];
    let irqs = repeat(4, &|n| format!("{} = {{ storm = 1, window_ms = 1 }}", lines[n]));
    let found = defects(&[("irqs = { emmc", &format!("irqs = {{ {irqs}, emmc"))]);
    assert_eq!(found, ["28: \"block\" has 5 interrupt lines\n  remedy: name at most 4"]);
}
