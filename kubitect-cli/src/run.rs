//! [`View`] and [`Run`]: a cluster looked at, and one that is made what is wanted. The page that programs begin with.

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
use crate::job::{Job, Options, fit, unfit};
use crate::pipeline::{self, until_cancelled};
use crate::plan::{Plan, check};
use crate::status::{self, AtWork, Machine, Status};

/// A cluster that is wanted, with the text that says so.
#[derive(Debug, Clone)]
pub struct Wanted(Draft);

impl Wanted {
    /// Reads a configuration from a file. Key files that it names are not looked at.
    pub fn read(file: &Path, site: &Site) -> Result<Self, Failure> {
        // To a program a file of this name is one; standard input is its own.
        let named = Path::new(".").join(file);
        let file = if file.is_absolute() { file } else { &named };
        let (name, text) = kubitect_config::read(file).map_err(Failure::config)?;
        let name = name.strip_prefix("./").unwrap_or(&name);
        Self::parse(text, name, site, &|_, _| None)
    }

    /// A configuration that is a text: from a repository, a database, a form. Problems name it `name`; `judge` looks at the key
    /// files that it names, and says what is wrong with one.
    pub fn parse(text: String, name: &str, site: &Site, judge: KeyJudge) -> Result<Self, Failure> {
        let draft = Draft::parse(text, name.to_owned(), site, judge);
        draft.map(Self).map_err(Failure::config)
    }

    /// What a run was to make last of the cluster of this name: it may have stopped half-way, and the next one goes on with it.
    pub fn kept(name: &Label, options: &Options) -> Result<Self, Failure> {
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
        // It is no file that somebody is at work on: what is wrong with it has another cause.
        let draft = Draft::kept(&path, &options.site);
        Ok(Self(draft.map_err(|e| hosts::unreadable(&path, &e))?))
    }

    /// The cluster. Versions that the text leaves out are those of a new one, until a [`View`] has seen what it has.
    pub fn cluster(&self) -> &Cluster {
        self.0.cluster()
    }

    /// The text.
    pub fn text(&self) -> &str {
        self.0.text()
    }

    /// What is doubtful in the text.
    pub fn warnings(&self) -> &[Problem] {
        self.0.warnings()
    }
}

/// A cluster that is looked at. Nothing is changed by it.
///
/// Where a function is not `async`, libvirt is asked, which blocks.
pub struct View {
    pub(crate) job: Job,
    is_kept: bool,
    /// Tells its plans from those of others.
    id: Arc<()>,
}

kubitect_config::shown_by!(View, job);

impl View {
    /// Connects to the hosts of a cluster, and to those that carried it before. Without one that can't be reached nothing is planned;
    /// all else is shown.
    pub fn connect(wanted: Wanted, options: Options) -> Result<Self, Failure> {
        Ok(Self {
            job: Job::new(options, &wanted.0)?,
            is_kept: wanted.0.is_kept(),
            id: Arc::default(),
        })
    }

    /// The cluster that is wanted.
    pub fn cluster(&self) -> &Cluster {
        &self.job.cluster
    }

    /// The cluster's folder.
    pub fn folder(&self) -> &ClusterDir {
        &self.job.dir
    }

    /// What differs from the configuration that was applied last; none, where none ever was.
    pub fn edits(&self) -> Result<Option<Vec<Edit>>, Failure> {
        let applied = self.job.applied()?;
        Ok(applied.map(|applied| self.job.edits(&applied)))
    }

    /// What is to be done, and what stands in its way on the hosts; a failure where one of them can't be reached.
    pub fn plan(&self) -> Result<Plan, Failure> {
        self.job.all_reached()?;
        let events = &self.job.options.events;
        self.job.lost.iter().for_each(|lost| events.warn(lost));
        let applied = self.job.applied()?;
        let mut plan = Plan::look(&self.job, applied.as_ref())?;
        plan.made_by = Some(Arc::clone(&self.id));
        Ok(plan)
    }

    /// How the cluster is. What can't be asked is a problem in it, and the rest is asked all the same.
    pub async fn status(&self) -> Result<Status, Failure> {
        let look = async {
            let applied = self.job.applied()?;
            status::look(&self.job, applied.as_ref()).await
        };
        let mut status = until_cancelled(&self.job.options.cancel, look).await?;
        if self.is_kept {
            status.compare(&self.job.dir);
        }
        Ok(status)
    }

    /// The run that is at work on the cluster, if one is: of this folder, or of another one.
    pub fn at_work(&self) -> Option<AtWork> {
        AtWork::on(&self.job.fleet)
    }

    /// The machines that are wanted, as libvirt has them, and a sentence for each host that can't be reached.
    pub fn machines(&self) -> (Vec<Machine>, Vec<String>) {
        machines(&self.job.cluster, &self.job.hosts)
    }

    /// A failure if the hosts do not fit the plan; what is doubtful is told as warnings.
    pub fn fit(&self, plan: &Plan) -> Result<(), Failure> {
        fit(&plan.findings, &self.job.options.events)
    }
}

/// A cluster that is worked on: while this is held, no other run is, of whatever folder.
#[must_use = "the cluster is held only while this is"]
pub struct Run {
    pub(crate) view: View,
    // Given back before the folder's own lock is.
    on_hosts: HostLocks,
    _lock: Lock,
}

kubitect_config::shown_by!(Run, view, on_hosts);

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

    /// The same, with the hosts that can be reached: for what is done to machines as they are. Nothing is planned without a host.
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

    /// Carries out a plan that this run has made: exactly the list that it shows. An empty one brings the files of this machine up
    /// to date.
    ///
    /// Needs a runtime of several threads: it is done on the thread that waits for it, to its end or until [`Options::cancel`] asks
    /// it to stop. Nothing is undone on a failure; the next run goes on from there.
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
        let made_here = plan
            .made_by
            .as_ref()
            .is_some_and(|by| Arc::ptr_eq(by, &self.view.id));
        if !made_here {
            return Err(Failure::failed(format!(
                "apply the plan to {}: it is of another run; plan with the one that applies",
                job.cluster.name
            )));
        }
        let done = match plan.is_empty() {
            true => Ending::Unchanged,
            false => Ending::Applied,
        };
        job.options.carry_out(&job.cluster.name, done, async {
            check(&plan)?;
            unfit(&plan.findings)?;
            pipeline::apply(job, &plan, &self.on_hosts).await
        })
    }
}

impl Options {
    /// Does work on this thread to its end, and tells how it ended. So whoever waits for it may do so on any thread, and can't drop
    /// it half-way: it is asked to stop by [`Options::cancel`].
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

    /// Programs that reconcile clusters begin with `tokio::spawn`. It compiles, or it does not.
    #[allow(dead_code)]
    fn work_can_be_spawned(
        [mut run, mut other]: [Run; 2],
        [view, another]: [View; 2],
        (plan, removal, switch): (Plan, Removal, Switch),
    ) {
        fn spawned<T: Send + 'static>(_: T) {}
        fn shared<T: Send + Sync + 'static>() {}
        spawned(async move { run.apply(plan).await });
        spawned(async move { view.status().await.map(drop) });
        spawned(async move { other.snapshot(None).await });
        spawned(async move { another.words().await });
        spawned(removal.carry_out());
        spawned(switch.carry_out());
        shared::<(Run, View, Plan, Options, Status, Failure)>();
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
