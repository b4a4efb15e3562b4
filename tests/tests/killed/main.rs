//! Whole runs of the program in a world in memory: killed at each of their points, with playbooks that fail, and on random
//! clusters. Not run by the test harness: it starts itself as the program, in a process that it can kill.

#![expect(
    clippy::unwrap_used,
    reason = "in helpers, too, what can't be done fails the test"
)]

mod ansible;
mod away;
mod begun;
mod broken;
mod degraded;
mod demands;
mod driver;
mod edits;
mod embedded;
mod etcd;
mod etcd_plays;
mod frames;
mod guest;
mod halves;
mod homes;
mod joins;
mod kubelet;
mod kubernetes;
mod left;
mod living;
mod logs;
mod machine;
mod members;
mod networks;
mod outages;
mod pages;
mod picture;
mod place;
mod plays;
mod power;
mod program;
mod releases;
mod removed;
mod restored;
mod returns;
mod saved;
mod sequences;
mod shape;
mod stage;
mod state;
mod stopped;
mod truth;
mod upgrade_plays;
mod upgrades;
#[path = "../../../examples/embed/verbs.rs"]
mod verbs;
mod waiting;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    if let Some(folder) = std::env::var_os(program::WORLD) {
        return program::main(&PathBuf::from(folder));
    }
    // As with the harness: a part of the names of the tests to run.
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let filter = filter.unwrap_or_default();
    let (test, part) = filter.split_once('=').unwrap_or((&filter, ""));
    let mut good = true;
    if "killed_at_each_point".contains(test) {
        good &= driver::all(part);
    }
    let alone: &[(&str, fn())] = &[
        ("masters_come_and_go", members::all),
        ("goes_on_with_what_is_left", left::all),
        ("two_folders_take_turns_with_a_cluster", homes::all),
        ("each_run_leaves_a_complete_log", logs::all),
        ("failures_say_where_to_look", logs::failures),
        ("debug_shows_calls_and_no_secrets", logs::debug),
        ("saved_plans_are_done_as_they_are", saved::all),
        ("plans_of_everyday_edits_are_a_screen", edits::all),
        ("machines_are_asked_side_by_side", waiting::side_by_side),
        ("a_program_of_ones_own", embedded::all),
        ("a_run_is_watched_on_terminals", frames::all),
        ("what_the_pages_say_is_run", pages::all),
        ("half_done_kubeadm_is_repeated", halves::kubeadm),
        ("half_done_work_is_waited_for", halves::running_leftovers),
        (
            "half_done_upgrades_go_on",
            upgrades::upgrades_that_stop_half_way,
        ),
        (
            "what_a_killed_run_took_from_masters_comes_back",
            members::taken_away,
        ),
        (
            "half_done_upgrades_do_not_go_back",
            upgrades::upgrades_do_not_go_back,
        ),
        (
            "half_done_creations_do_not_go_back",
            upgrades::creations_do_not_go_back,
        ),
        (
            "an_upgrade_that_loses_a_master_goes_on",
            upgrades::upgrades_that_lose_a_master,
        ),
        (
            "an_upgrade_that_loses_the_first_master_goes_on",
            upgrades::upgrades_that_lose_the_first_master,
        ),
        (
            "a_creation_that_loses_a_master_is_made_again",
            halves::creations_that_lose_a_master,
        ),
        (
            "an_upgrade_that_exchanges_a_master_goes_on",
            upgrades::upgrades_that_exchange_a_master,
        ),
        (
            "an_upgrade_leaves_etcd_its_majority",
            upgrades::upgrades_without_a_majority,
        ),
        ("who_leaves_unheard_is_drained", halves::unreachable_leaves),
        ("releases_get_what_they_need", releases::all),
        (
            "edits_of_what_has_begun_are_not_taken_in_silence",
            begun::edits,
        ),
        ("actions_cover_what_the_plan_does", begun::actions),
        (
            "who_leaves_is_asked_while_nobody_else_serves",
            begun::exchanges,
        ),
        ("a_plan_names_what_an_upgrade_takes_away", removed::all),
        ("connections_come_back", halves::connections),
        (
            "workers_that_join_together_count_each_by_itself",
            halves::workers_together,
        ),
        (
            "pods_without_another_place_stay",
            halves::unschedulable_pods,
        ),
        (
            "a_node_just_upgraded_takes_the_next_ones_pods",
            halves::late_taints,
        ),
        ("the_last_workers_leave_to_masters", halves::last_workers),
        ("a_plan_reloads_what_is_reloaded", truth::balancers),
        ("a_plan_says_what_is_disturbed", truth::disruptions),
        ("a_plan_refuses_each_cause_once", truth::causes),
        ("a_plan_foresees_what_budgets_keep", truth::budgets),
        (
            "a_plan_says_when_etcd_lacks_a_majority",
            outages::second_member,
        ),
        ("a_plan_names_what_nothing_follows", truth::notes),
        ("a_plan_restarts_the_holder_last", truth::holder_last),
        (
            "a_plan_brings_back_what_lost_all_definitions",
            truth::definitions_gone,
        ),
        (
            "a_plan_that_stopped_is_what_status_shows",
            stopped::stopped_half_way,
        ),
        ("a_plan_says_what_becomes_of_own_files", truth::own_files),
        ("power_is_switched_in_order", power::in_order),
        ("power_that_is_killed_goes_on", power::killed),
        ("power_comes_back_without_what_is_broken", degraded::start),
        (
            "a_scale_up_that_failed_blinds_nothing",
            degraded::failed_scale_up,
        ),
        ("a_host_that_is_away_hides_no_other", away::host),
        ("a_broken_key_hides_one_machine", away::broken_key),
        ("a_plan_that_fails_hides_nothing", away::unplanned),
        ("broken_files_are_not_taken_for_none", broken::all),
        ("sequences_of_everything_at_once", sequences::at_once),
        ("sequences_of_exchanges", sequences::exchanged),
        ("sequences_over_unfinished_runs", sequences::over_unfinished),
        ("sequences_of_hosts", sequences::hosts),
        ("snapshots_are_taken_at_any_time", power::snapshots),
        ("a_cluster_goes_back_to_its_snapshot", returns::all),
        ("consoles_are_read", power::consoles),
        ("who_is_off_is_not_logged_in_on", power::logins),
        (
            "timeouts_are_the_sites_or_the_command_lines",
            power::timeouts,
        ),
        ("status_waits_until_all_is_well", power::waited_for),
        (
            "status_waits_no_longer_for_what_hangs",
            stopped::waits_in_vain,
        ),
        (
            "a_plan_that_hangs_is_interrupted_twice",
            stopped::interrupted_twice,
        ),
    ];
    let chosen = alone.iter().filter(|(name, _)| name.contains(test));
    good &= run_all(chosen.copied().collect());
    if "random_clusters_become_others".contains(test) {
        good &= living::all(part.parse().ok());
    }
    match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Runs independent tests side by side, and reports the result and the time of each; false if one failed.
fn run_all(all: Vec<(&str, fn())>) -> bool {
    let ends = driver::side_by_side(all, |(name, run)| {
        let began = Instant::now();
        let good = std::panic::catch_unwind(run).is_ok();
        let word = if good { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({} s)", began.elapsed().as_secs());
        good
    });
    ends.into_iter().all(|good| good)
}
