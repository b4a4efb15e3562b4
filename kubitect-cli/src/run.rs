//! [`View`] observes a cluster, [`Run`] changes it. Programs that use this library begin with them.

mod report;

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use kubitect_config::edit::Edit;
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Draft, KeyJudge, Problem, Site};
use kubitect_provision::host_lock::{Holder, HostLocks};

use kubitect_provision::blocking::on_this_thread;
use kubitect_provision::status::machines;

use crate::event::{Ending, Event};
use crate::failure::Failure;
use crate::home::{ClusterDir, Lock};
use crate::hosts;
use crate::job::{Job, Options, check_findings, no_errors};
use crate::pipeline::{self, until_cancelled};
use crate::plan::{Plan, check};
use crate::status::{self, ActiveRun, Machine, Status};

/// A wanted cluster, and the text of its configuration.
#[derive(Debug, Clone)]
pub struct Wanted(Draft);

impl Wanted {
    /// Reads a configuration from a file. Key files that it names are not checked.
    pub fn read(file: &Path, site: &Site) -> Result<Self, Failure> {
        // `./` before it: a program's file may be named `-`, which does not mean standard input here.
        let named = Path::new(".").join(file);
        let file = if file.is_absolute() { file } else { &named };
        let (name, text) = kubitect_config::read(file).map_err(Failure::config)?;
        let name = name.strip_prefix("./").unwrap_or(&name);
        Self::parse(text, name, site, &|_, _| None)
    }

    /// A configuration from a text, as of a repository, a database or a form. Problems call it `name`; `judge` checks the key files
    /// that it names.
    pub fn parse(text: String, name: &str, site: &Site, judge: KeyJudge) -> Result<Self, Failure> {
        let draft = Draft::parse(text, name.to_owned(), site, judge);
        draft.map(Self).map_err(Failure::config)
    }

    /// The configuration that the last run of this cluster was to apply, also where that run stopped half-way: the next one goes on
    /// with it.
    pub fn stored(name: &Label, options: &Options) -> Result<Self, Failure> {
        let dir = options.home.cluster(name);
        let path = match dir.wanted() {
            path if path.exists() => path,
            _ => dir.applied(),
        };
        if let (false, [(host, _), ..]) = (path.exists(), &dir.left_out()?[..]) {
            return Err(Failure::failed(format!(
                "look at {name}: it was removed, but for what it has on host {host}, which was left out; `kubitect destroy {name}` \
                 removes that, too, once the host is back"
            )));
        }
        if !path.exists() {
            return Err(Failure::failed(format!(
                "look at {name}: there is no {}; `kubitect plan` with the cluster's own file tells what libvirt has of it",
                path.display()
            )));
        }
        // Nobody edits this file, so an error in it has another cause than in a cluster file, and other words.
        let draft = Draft::stored(&path, &options.site);
        Ok(Self(draft.map_err(|e| hosts::unreadable(&path, &e))?))
    }

    /// The cluster. A version that the text leaves out is that of a new cluster; a [`View`] puts in the one that the cluster has.
    pub fn cluster(&self) -> &Cluster {
        self.0.cluster()
    }

    /// The text.
    pub fn text(&self) -> &str {
        self.0.text()
    }

    /// The warnings about the text.
    pub fn warnings(&self) -> &[Problem] {
        self.0.warnings()
    }
}

/// A cluster that is observed. It changes nothing.
///
/// A function that is not `async` may call libvirt, and blocks meanwhile.
pub struct View {
    pub(crate) job: Job,
    is_stored: bool,
    /// Marks its plans.
    id: Arc<()>,
}

kubitect_config::debug_fields!(View, job);

impl View {
    /// Connects to the hosts of a cluster, and to its former ones. With a host that can't be reached there is no plan; all else is
    /// shown without it.
    pub fn connect(wanted: Wanted, options: Options) -> Result<Self, Failure> {
        Ok(Self {
            job: Job::new(options, &wanted.0)?,
            is_stored: wanted.0.is_stored(),
            id: Arc::default(),
        })
    }

    /// The wanted cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.job.cluster
    }

    /// The cluster's folder.
    pub fn folder(&self) -> &ClusterDir {
        &self.job.dir
    }

    /// The edits since the configuration that was applied last; none where none was ever applied.
    pub fn edits(&self) -> Result<Option<Vec<Edit>>, Failure> {
        let applied = self.job.applied()?;
        Ok(applied.map(|applied| self.job.edits(&applied)))
    }

    /// The plan, with what the hosts lack for it. A failure where a host can't be reached: a machine on it would be planned again.
    pub fn plan(&self) -> Result<Plan, Failure> {
        self.job.all_reached()?;
        let events = &self.job.options.events;
        self.job.lost.iter().for_each(|lost| events.warn(lost));
        let applied = self.job.applied()?;
        let mut plan = Plan::look(&self.job, applied.as_ref())?;
        plan.made_by = Some(Arc::clone(&self.id));
        Ok(plan)
    }

    /// How the cluster is. A host or machine that can't be asked is a problem in it; the others are asked all the same.
    pub async fn status(&self) -> Result<Status, Failure> {
        let observe = async {
            let applied = self.job.applied()?;
            status::observe(&self.job, applied.as_ref()).await
        };
        let mut status = until_cancelled(&self.job.options.cancel, observe).await?;
        if self.is_stored {
            status.mark_unfinished(&self.job.dir);
        }
        Ok(status)
    }

    /// The run that works on the cluster now, of this folder or of another one.
    pub fn active_run(&self) -> Option<ActiveRun> {
        ActiveRun::on(&self.job.fleet)
    }

    /// The wanted machines, as libvirt has them, and a sentence for each host that can't be reached.
    pub fn machines(&self) -> (Vec<Machine>, Vec<String>) {
        machines(&self.job.cluster, &self.job.hosts)
    }

    /// A failure if the hosts lack something for the plan; what is doubtful is reported as warnings.
    pub fn check_findings(&self, plan: &Plan) -> Result<(), Failure> {
        check_findings(&plan.findings, &self.job.options.events)
    }
}

/// A cluster that is changed. While this exists, no other run works on the cluster, whichever folder that run belongs to.
#[must_use = "the cluster is held only while this is"]
pub struct Run {
    pub(crate) view: View,
    // Dropped before the folder's lock: fields are dropped in their order.
    on_hosts: HostLocks,
    _lock: Lock,
}

kubitect_config::debug_fields!(Run, view, on_hosts);

impl Deref for Run {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

impl Run {
    /// Connects to the hosts of a cluster, and takes the cluster for this run.
    pub fn connect(wanted: Wanted, options: Options) -> Result<Self, Failure> {
        let view = View::connect(wanted, options)?;
        view.job.all_reached()?;
        Self::take(view)
    }

    /// The same with only the hosts that can be reached: for work that needs no plan, as a snapshot or a stop.
    pub fn connect_to_reached(wanted: Wanted, options: Options) -> Result<Self, Failure> {
        Self::take(View::connect(wanted, options)?)
    }

    fn take(view: View) -> Result<Self, Failure> {
        let job = &view.job;
        let _lock = job.dir.lock()?;
        let (me, take_over) = (Holder::this(&job.dir), job.options.take_over);
        let on_hosts = HostLocks::take(&job.cluster.name, &job.hosts, &me, take_over)?;
        Ok(Self {
            view,
            on_hosts,
            _lock,
        })
    }

    /// Carries out a plan that this run has made: exactly the steps that it shows. An empty plan brings the files on this machine
    /// up to date.
    ///
    /// Needs a runtime with several threads. It blocks its thread until the work ends or is cancelled by [`Options::cancel`]. A
    /// failure undoes nothing: the next run observes what there is, and goes on.
    ///
    /// A run carries out one plan at a time, and each plan once; both are checked by the compiler:
    ///
    /// ```compile_fail,E0499
    /// # async fn twice(mut run: kubitect_cli::Run, plans: [kubitect_cli::Plan; 2]) {
    /// let [first, second] = plans;
    /// let _ = tokio::join!(run.apply(first), run.apply(second));
    /// # }
    /// ```
    /// ```compile_fail,E0382
    /// # async fn again(mut run: kubitect_cli::Run, plan: kubitect_cli::Plan) {
    /// let _ = run.apply(plan).await;
    /// let _ = run.apply(plan).await;
    /// # }
    /// ```
    pub async fn apply(&mut self, plan: Plan) -> Result<(), Failure> {
        let job = &self.view.job;
        let is_own = plan
            .made_by
            .as_ref()
            .is_some_and(|by| Arc::ptr_eq(by, &self.view.id));
        if !is_own {
            return Err(Failure::failed(format!(
                "apply the plan to {}: it is of another run; plan with the one that applies",
                job.cluster.name
            )));
        }
        let ending = match plan.is_empty() {
            true => Ending::Unchanged,
            false => Ending::Applied,
        };
        job.options.carry_out(&job.cluster.name, ending, async {
            check(&plan)?;
            no_errors(&plan.findings)?;
            pipeline::apply(job, &plan, &self.on_hosts).await
        })
    }
}

impl Options {
    /// Does work on this thread to its end, and sends the last event. A caller can't drop the work half-way, only cancel it by
    /// [`Options::cancel`]: a change that is cut off between two of its steps would need a repair.
    pub(crate) fn carry_out(
        &self,
        cluster: &Label,
        ending: Ending,
        work: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        self.events.begin();
        let result = on_this_thread(work).unwrap_or_else(|e| Err(e.into()));
        self.events.end(match &result {
            Ok(()) => Event::Done {
                cluster: cluster.to_string(),
                ending,
            },
            Err(Failure::Interrupted) => Event::Cancelled,
            Err(failure) => Event::Failed {
                kind: failure.kind(),
                why: failure.to_string(),
            },
        });
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power::Switch;
    use crate::removal::Removal;

    /// Programs that reconcile clusters use `tokio::spawn`. This compiles only if the work is `Send`.
    #[allow(dead_code)]
    fn work_can_be_spawned(
        [mut run, mut other]: [Run; 2],
        [view, another]: [View; 2],
        (plan, removal, switch): (Plan, Removal, Switch),
    ) {
        fn spawn<T: Send + 'static>(_: T) {}
        fn is_shared<T: Send + Sync + 'static>() {}
        spawn(async move { run.apply(plan).await });
        spawn(async move { view.status().await.map(drop) });
        spawn(async move { other.snapshot(None).await });
        spawn(async move { another.answers().await });
        spawn(removal.carry_out());
        spawn(switch.carry_out());
        is_shared::<(Run, View, Plan, Options, Status, Failure)>();
    }

    #[test]
    fn a_configuration_may_be_a_text_and_standard_input_is_never_read() {
        let site = Site::default();
        let judge: KeyJudge = &|_, _| None;
        let wrong = Wanted::parse("hosts: 1".to_owned(), "from git", &site, judge).unwrap_err();
        assert!(wrong.to_string().contains("from git"), "{wrong}");
        let missing = Wanted::read(Path::new("-"), &site).unwrap_err();
        assert!(
            missing.to_string().starts_with("failed to read"),
            "{missing}"
        );
    }
}
