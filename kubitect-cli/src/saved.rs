//! Plans that are saved, and carried out later if the plan of then is the same.

use std::path::{Path, PathBuf};

use kubitect_config::address::shown;
use kubitect_config::digest;
use kubitect_config::saved::{self, Configuration, SavedPhase, SavedPlan};

use crate::failure::Failure;
use crate::phase::Phase;
use crate::plan::Plan;
use crate::run::View;

impl From<saved::Error> for Failure {
    fn from(error: saved::Error) -> Self {
        match error {
            saved::Error::File {
                action,
                file,
                source,
            } => Self::io(action, Path::new(&file), source),
            other => Self::failed(other.to_string()),
        }
    }
}

impl View {
    /// A plan of this cluster in the form in which it is saved. It was made at `time` (RFC 3339) of the configuration in `file`;
    /// none: of standard input.
    pub fn to_save(
        &self,
        plan: &Plan,
        file: Option<PathBuf>,
        time: String,
    ) -> Result<SavedPlan, Failure> {
        let failed = |e| Failure::because("describe the site file", e);
        let phases = plan.phases.iter().zip(1..).map(|(phase, number)| {
            let rows = plan.steps().iter().filter(|row| row.phase == number);
            SavedPhase::new(&phase.to_string(), &decided(phase), rows.cloned().collect())
        });
        Ok(SavedPlan {
            format_version: saved::VERSION,
            kubitect: env!("CARGO_PKG_VERSION").to_owned(),
            time,
            cluster: self.cluster().name.to_string(),
            configuration: Configuration {
                file,
                sha256: digest::sha256(self.job.text.as_bytes()),
            },
            site: digest::of(&self.job.options.home.site()?).map_err(failed)?,
            phases: phases.collect(),
            notes: plan.notes().iter().map(|note| shown(note)).collect(),
        })
    }

    /// A failure with the differences, unless a plan of this cluster is exactly the one that was saved.
    pub fn is_as_saved(&self, saved: &SavedPlan, plan: &Plan) -> Result<(), Failure> {
        let now = self.to_save(plan, saved.configuration.file.clone(), String::new())?;
        let mut reasons = saved.differences(&now);
        let refused = plan.refused().iter();
        reasons.extend(refused.map(|reason| format!("refused now: {reason}")));
        match reasons.is_empty() {
            true => Ok(()),
            false => Err(Failure::Stale(reasons)),
        }
    }
}

/// All that is decided of a phase, as text to compare. Its form may change with the program's version, which is saved beside it.
fn decided(phase: &Phase) -> String {
    format!("{phase:?}")
}
