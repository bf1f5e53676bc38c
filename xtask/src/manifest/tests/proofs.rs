//! Messages about what the build cannot prove: calls, deadlines, control, rights.

use super::*;

#[test]
fn the_call_graph_and_deadlines() {
    expect(&[
        (
            &[("priority = 16", "priority = 20")],
            "38: \"fs\" (20) calls \"block\" (20), whose priority is not higher\n  \
             remedy: raise \"block\" above 20 or lower \"fs\"",
        ),
        (
            &[("serves = \"block\"", "serves = \"block\"\ncalls = { files = { deadline_ms = 100 } }")],
            "28: calls go in a circle: \"block\" (20) -> \"fs\" (16) -> \"block\" (20)\n  \
             remedy: remove one of these calls: let the lower component be notified instead",
        ),
        (
            &[("calls = { block", "calls = { files = { deadline_ms = 100 }, block")],
            "38: calls go in a circle: \"fs\" (16) -> \"fs\" (16)\n  \
             remedy: remove one of these calls: let the lower component be notified instead",
        ),
        (
            &[("deadline_ms = 1000", "deadline_ms = 25.999")],
            "38: \"fs\" waits 25.999 ms for `block`, but \"block\" may take 26 ms (max_service 6 + restart_bound 20)\n  \
             remedy: write `deadline_ms` of at least 26",
        ),
        (
            &[("deadline_ms = 2000", "deadline_ms = 93")],
            "46: \"client\" waits 93 ms for `files`, but \"fs\" may take 94 ms (max_service 8 + restart_bound 60 + 26 for \
             what it calls)\n  remedy: write `deadline_ms` of at least 94",
        ),
    ]);
    assert_eq!(defects(&[("deadline_ms = 2000", "deadline_ms = 94")]), Vec::<String>::new());
    assert_eq!(defects(&[("deadline_ms = 1000", "deadline_ms = 26")]), Vec::<String>::new());
}

#[test]
fn priorities_and_sizes() {
    expect(&[
        (
            &[("priority = 8", "priority = 0")],
            "43: the priority of \"client\" is 0\n  remedy: write 1 (lowest) to 31",
        ),
        (
            &[("priority = 31", "priority = 32")],
            "5: the priority of \"root\" is 32\n  remedy: write 1 (lowest) to 31",
        ),
        (
            &[("stack = \"64K\"", "stack = \"1M\"")],
            "36: `stack` of \"fs\" is 1M\n  remedy: write at most `stack = \"1016K\"`",
        ),
        (
            &[("stack = \"64K\"", "stack = \"0\"")],
            "36: `stack` of \"fs\" is 0\n  remedy: write at least `stack = \"4K\"`",
        ),
        (
            &[("heap = \"64K\"", "heap = \"63K\"")],
            "25: `heap` of \"block\" is 63K\n  remedy: write a multiple of 4096 bytes, such as `heap = \"64K\"`",
        ),
        (
            &[("arena = \"64K\"", "arena = \"60K\"")],
            "26: `arena` of \"block\" is 60K\n  remedy: write a multiple of 8192 bytes, such as `arena = \"64K\"`",
        ),
        (
            &[("arena = \"64K\"", "arena = \"129M\"")],
            "26: `arena` of \"block\" is 129M\n  remedy: write at most `arena = \"128M\"`",
        ),
    ]);
}

#[test]
fn control() {
    expect(&[(
        &[("serves = \"files\"", "serves = \"files\"\ncontrols = [\"client\"]"), (", \"client\"]", "]")],
        "38: \"fs\" is to control \"client\"\n  remedy: remove `controls`: only \"root\" and \"rs\" control components",
    )]);
    let found = defects(&[("checkpoint = \"4K\"", "calls = { block = { deadline_ms = 100 } }")]);
    assert!(found.contains(
        &"16: \"rs\" calls `block`\n  remedy: remove the call: who restarts others must wait for none of them".into()
    ));
    expect(&[
        (
            &[("[\"block\", \"fs\", \"client\"]", "[\"root\", \"block\", \"fs\", \"client\"]")],
            "11: \"rs\" is to control \"root\"\n  remedy: remove it: the death of root resets the board",
        ),
        (
            &[("priority = 20", "priority = 30")],
            "22: \"rs\" controls \"block\", whose priority is not lower\n  \
             remedy: lower it below 30: a loop there must not stop its own detection",
        ),
        (
            &[(", \"client\"]", "]")],
            "41: nobody controls \"client\", so nobody starts it\n  remedy: add \"client\" to the `controls` of \"rs\"",
        ),
        (
            &[("controls = [\"rs\"]", "controls = [\"rs\", \"client\"]")],
            "41: both \"root\" and \"rs\" control \"client\"\n  remedy: remove it from one of the `controls`",
        ),
        (
            &[("group = [\"fs\"]", "group = [\"rs\"]")],
            "30: the group of \"block\" has a member that \"rs\" does not control\n  \
             remedy: name components with the same controller only",
        ),
    ]);
}

#[test]
fn policies() {
    expect(&[
        (
            &[(
                "parameters = { files = 3 }\npolicy = { heartbeat_ms = 2, hang_ms = 5, restart_bound_ms = 10 }\n",
                "",
            )],
            "41: component \"client\" lacks `policy`\n  \
             remedy: add `policy = { heartbeat_ms = 2, hang_ms = 5, restart_bound_ms = 10 }`",
        ),
        (
            &[("hang_ms = 5, max_service_ms = 8", "max_service_ms = 8")],
            "39: the policy of component \"fs\" lacks `hang_ms`\n  remedy: add `hang_ms = 5`",
        ),
        (
            &[("hang_ms = 5, max_service_ms = 8", "hang_ms = 0, max_service_ms = 8")],
            "39: \"fs\" gets heartbeats but may use no CPU time\n  remedy: write `hang_ms` greater than 0",
        ),
        (
            &[("max_service_ms = 8, ", "")],
            "39: \"fs\" serves, but its policy has no `max_service_ms`\n  \
             remedy: add `max_service_ms = 6`: the longest that a request may be in service",
        ),
        (
            &[("backoff_first_ms = 0.5", "backoff_first_ms = 2000")],
            "39: the back-off of \"fs\" begins above its limit\n  remedy: raise `backoff_max_ms`",
        ),
        (
            &[("backoff_first_ms = 0.5", "intensity_window_ms = 0")],
            "39: the intensity of \"fs\" has no window\n  remedy: write `intensity_window_ms` greater than 0",
        ),
        (
            &[("backoff_first_ms = 0.5", "state_tries = 0")],
            "39: \"fs\" may never keep its state\n  remedy: write `state_tries` greater than 0",
        ),
    ]);
}

#[test]
fn rights_to_reset_and_inject() {
    expect(&[(
        &[("notifies = [\"rs\"]", "rights = [\"reset\"]")],
        "47: \"client\" may reset the board\n  remedy: leave `reset` to \"root\" and \"rs\"",
    )]);
    let inject = changed(&[("notifies = [\"rs\"]", "rights = [\"inject\"]")]);
    let found = |file: &str, text: &str| read_as(file, text).err().map(|defects| defects.to_string());
    for allowed in ["demo", "test", "test-storm", "bench", "campaign-1", "shell"] {
        assert_eq!(found(&format!("system/{allowed}.toml"), &inject), None);
    }
    assert_eq!(
        found("system/golden.toml", &inject).unwrap(),
        "system/golden.toml:47: \"client\" may inject faults, but the manifest is called `golden`\n  \
         remedy: remove `inject`, or name the manifest after its purpose: demo, test, bench, campaign, shell"
    );
    assert_eq!(
        found("system/demo.toml", &format!("real_card = true\n{inject}")).unwrap(),
        "system/demo.toml:48: \"client\" may inject faults on a real card\n  remedy: remove `inject` or `real_card`"
    );
    assert_eq!(
        found(
            "system/demo.toml",
            &inject.replace("serves = \"files\"", "rights = [\"inject\"]\nserves = \"files\"")
        )
        .unwrap(),
        "system/demo.toml:48: both \"fs\" and \"client\" may inject faults\n  remedy: leave `inject` to one component"
    );
}
