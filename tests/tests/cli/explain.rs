//! `explain`: what a problem means, and how to repair it.

use crate::env::TestEnv;

#[test]
fn a_problem_is_explained_with_an_example_and_what_to_do() {
    let env = TestEnv::new();
    let said = env.run(&["explain", "address-duplicate"]).code(0);
    assert_eq!(said.stderr, "");
    for part in [
        "address-duplicate\n\nTwo machines",
        "An example:\n\n    cluster:\n",
        "              ip: 192.168.113.10\n",
        "\nWhat to do: Give each machine an address of its own",
    ] {
        assert!(said.stdout.contains(part), "no `{part}` in {said:?}");
    }
    let json = env.run(&["explain", "masters-even", "-o", "json"]).code(0);
    let json = json.json();
    assert_eq!(json["formatVersion"], 1);
    assert_eq!(json["code"], "masters-even");
    assert_eq!(json["mend"], "Take 1, 3 or 5.");
}

#[test]
fn all_are_listed_and_a_mistyped_one_is_guessed() {
    let env = TestEnv::new();
    let said = env.run(&["explain"]).code(0);
    assert!(said.stdout.lines().count() > 90);
    assert!(
        said.stdout
            .contains("\nyaml-tab                A line is indented with a tab.\n")
    );
    let json = env.run(&["explain", "-o", "json"]).code(0).json();
    assert!(json["problems"]["yaml-tab"]["mend"].is_string());
    let bare = env.run(&["explain", "missing"]).code(0);
    for code in ["error[missing]", "[missing]", "warning[missing]"] {
        assert_eq!(env.run(&["explain", code]).code(0).stdout, bare.stdout);
    }
    let none = env.run(&["explain", "nope"]).code(1);
    assert!(!none.stderr.contains("did you mean"), "{none:?}");
    env.run(&["explain", "adress-duplicate"])
        .code(1)
        .tells(&["did you mean `address-duplicate`?"]);
}

/// A code can be asked for in the form in which `validate` prints it.
#[test]
fn the_codes_of_validate_are_explained() {
    let env = TestEnv::new();
    env.write("bad.yaml", "hosts: []\nclustr: {}\n");
    let json = env
        .run(&["validate", "-c", "bad.yaml", "-o", "json"])
        .json();
    let problems = json["problems"].as_array().unwrap();
    assert!(problems.len() > 1);
    for problem in problems {
        env.run(&["explain", problem["code"].as_str().unwrap()])
            .code(0);
    }
}
