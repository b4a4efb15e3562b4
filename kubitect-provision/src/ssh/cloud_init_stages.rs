//! cloud-init's stages, by the names in its `status.json`, and the script that waits for the last one.

/// Succeeds once cloud-init's last stage has ended. Fails after so many seconds (first argument), or once the stage is no longer
/// this one (second argument). Prints the current stage.
pub(super) const WAIT_SCRIPT: &str = r#"
left=$1
stage=$2
while [ "$left" -gt 0 ] && [ ! -s /run/cloud-init/result.json ] && [ "$stage" = "$2" ]; do
  sleep 1
  left=$((left - 1))
  stage=$(sed -n 's/^.*"stage": *"\([a-z-]*\)".*$/\1/p' /run/cloud-init/status.json 2>/dev/null | head -n 1)
done
echo "$stage"
[ -s /run/cloud-init/result.json ]
"#;

/// cloud-init's stages, in order, by their names in `status.json`, and what each does.
const STAGES: [(&str, &str); 4] = [
    ("init-local", "looks for its data, sets up the network"),
    ("init", "makes disks, users and keys"),
    ("modules-config", "sets the system up"),
    ("modules-final", "updates and installs packages"),
];

/// The message while cloud-init is in this stage.
pub(super) fn message(stage: &str) -> String {
    let found = STAGES.iter().zip(1..).find(|((name, _), _)| *name == stage);
    match found {
        Some(((name, does), number)) => {
            format!(
                "SSH answers, cloud-init {does} ({name}, stage {number} of {})",
                STAGES.len()
            )
        }
        None => "SSH answers, cloud-init is at work".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_said_with_its_number_and_an_unknown_one_is_not_repeated() {
        assert_eq!(
            message("modules-config"),
            "SSH answers, cloud-init sets the system up (modules-config, stage 3 of 4)"
        );
        for stage in ["", "\u{1b}[2J", "later"] {
            assert_eq!(message(stage), "SSH answers, cloud-init is at work");
        }
    }
}
