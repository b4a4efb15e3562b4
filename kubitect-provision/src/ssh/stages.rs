//! cloud-init's stages, as it calls them itself, and how they are waited for.

/// Succeeds when cloud-init's last stage has ended, and else gives up after so many seconds, or when the stage is not this one
/// any more. Prints the stage that cloud-init is in.
pub(super) const DONE: &str = r#"
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

/// cloud-init's stages, in their order, as it calls them in `status.json`, and what each does.
const STAGES: [(&str, &str); 4] = [
    ("init-local", "looks for its data, sets up the network"),
    ("init", "makes disks, users and keys"),
    ("modules-config", "sets the system up"),
    ("modules-final", "updates and installs packages"),
];

/// What is said while cloud-init is in this stage.
pub(super) fn told(stage: &str) -> String {
    let known = STAGES.iter().zip(1..).find(|((name, _), _)| *name == stage);
    match known {
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
            told("modules-config"),
            "SSH answers, cloud-init sets the system up (modules-config, stage 3 of 4)"
        );
        for stage in ["", "\u{1b}[2J", "later"] {
            assert_eq!(told(stage), "SSH answers, cloud-init is at work");
        }
    }
}
