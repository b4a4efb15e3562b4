//! The warnings of a plan about API versions that an upgrade removes: the clients that still use them. And that the plan asks for
//! nothing else.

use serde_json::Value;

use crate::shape::Shape;
use crate::stage::{Run, Stage, scratch};

const REQUESTED: &str = "apiserver_requested_deprecated_apis{group=\"batch\",removed_release=\"1.25\",resource=\"cronjobs\",subresource=\"\",version=\"v1beta1\"} 1\n";
const WRITTEN: &str = "poddisruptionbudgets.policy\tdefault\tweb\thelm=policy/v1beta1\n\
    poddisruptionbudgets.policy\tdefault\tnew\thelm=policy/v1\n\
    podsecuritypolicies.policy\t\topen\u{1b}[2J\tkubectl=policy/v1beta1\n";

pub fn all() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let base = Shape::base();
    let made = stage.apply(&base, None);
    assert_eq!(made.code, Some(0), "{}", made.said);
    stage.place().with(|state, _| {
        state.kube.requested = REQUESTED.to_owned();
        state.kube.written = WRITTEN.to_owned();
    });
    let to = |release| Shape {
        release,
        ..base.clone()
    };
    let newer = to(["v1.26.13", "v2.23.3"]);
    let found = findings(&stage, &newer);
    let of = |what: &str| {
        let mut own = found.iter().filter(|line| line.starts_with(what));
        own.next().unwrap_or_else(|| panic!("no {what}: {found:?}"))
    };
    let jobs = of(
        "batch/v1beta1 of cronjobs: goes away with v1.25, and an API server was asked for it; batch/v1 takes",
    );
    assert!(jobs.ends_with("/deprecation-guide/#v1-25"), "{jobs}");
    of(
        "policy/v1beta1 of poddisruptionbudgets: goes away with v1.25; written in it: default/web (by helm); ",
    );
    let policies = of("policy/v1beta1 of podsecuritypolicies: ");
    assert!(
        policies.contains("nothing takes its place") && !policies.contains('\u{1b}'),
        "{policies}"
    );
    assert_eq!(found.len(), 3, "{found:?}");
    // People see the warnings before the question, and they never prevent a run.
    let said = run(&stage, &newer, &["plan"]);
    assert_eq!(said.code, Some(4), "{}", said.said);
    assert!(
        said.said
            .contains("warning: policy/v1beta1 of poddisruptionbudgets"),
        "{}",
        said.said
    );
    // An upgrade to v1.24 removes none, and no master is asked.
    assert_eq!(findings(&stage, &to(["v1.24.6", "v2.20.0"])), [""; 0]);
    // Masters that do not answer do not delay the plan.
    stage.place().with(|state, _| {
        for master in ["demo-master-1", "demo-master-2", "demo-master-3"] {
            state.guests.get_mut(master).unwrap().deaf = true;
        }
    });
    let found = findings(&stage, &newer);
    assert!(
        found.len() == 1 && found[0].contains("could not be found out"),
        "{found:?}"
    );
    stage.end();
}

fn run(stage: &Stage, shape: &Shape, arguments: &[&str]) -> Run {
    let file = stage.want(shape);
    stage.run(&[arguments, &["--config", &file]].concat(), None)
}

/// The warnings of the plan, without those about hosts.
fn findings(stage: &Stage, shape: &Shape) -> Vec<String> {
    let plan = run(stage, shape, &["plan", "-o", "json"]);
    let mut values = serde_json::Deserializer::from_str(&plan.said).into_iter::<Value>();
    let plan = values.next().unwrap().unwrap();
    let findings = plan["findings"].as_array().unwrap().iter();
    let line = |own: &Value| {
        format!(
            "{}; {}",
            own["message"].as_str().unwrap(),
            own["help"].as_str().unwrap()
        )
    };
    let lines = findings.map(line);
    lines
        .filter(|line| line.contains("API version") || line.contains(" goes away "))
        .collect()
}
