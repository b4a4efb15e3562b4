//! The files on this machine that a finished cluster is used by: its kubeconfig, and the person's own kubeconfig and known hosts.

use kubitect_config::value::Label;
use kubitect_kubespray::kubeconfig;
use kubitect_provision::ssh;

use crate::failure::{Failure, Kind};
use crate::job::{Job, Options};
use crate::personal;
use crate::plan::Plan;

/// Brings the files of a finished cluster on this machine up to date.
///
/// A master that can't be asked is a failure only where the kubeconfig is missing and the masters can be logged in on: an older
/// kubeconfig still works. That another machine answers in a master's place is a failure always.
pub async fn update_local_files(job: &Job, plan: &Plan) -> Result<(), Failure> {
    let Options { home, events, .. } = &job.options;
    let conf = job.dir.kubeconfig();
    let missing = !conf.exists();
    let unrecovered = match job.recover_keys(&job.cluster) {
        Ok(true) => {
            note_recovered(job);
            None
        }
        Ok(false) => None,
        Err(why) => Some(Failure::from(why)),
    };
    let reached = job.access(&[])?;
    let found = reached.as_ref();
    let all_known = found.is_some_and(|(_, facts)| job.has_all(facts));
    if !all_known && (missing || job.cluster.guest.add_to_known_hosts) {
        events.warn(format!(
            "the machines' keys in {} or their addresses are not all known any more, so that the kubeconfig may not be fetched, \
             and your known_hosts are not brought up to date{}",
            job.dir.ssh().display(),
            unrecovered.map(|why| format!(" ({why})")).unwrap_or_default()
        ));
    }
    if let Some((keys, facts)) = reached {
        let cluster = &job.cluster.name;
        let connect = async |name: &Label| Ok(job.login(&facts, &keys, name).await?);
        let fetched = kubeconfig::fetch_into(&job.cluster, &facts, &conf, connect).await;
        match fetched.map_err(|e| Failure::because("fetch the kubeconfig", e)) {
            Ok(true) => events.note(format!("{cluster}: fetched the kubeconfig")),
            Ok(false) => {}
            // Another machine answers at the master's address, or its kubeconfig was tampered with: never only a warning.
            Err(error) if error.kind() == Kind::Untrusted || (missing && all_known) => {
                return Err(error);
            }
            Err(error) if missing => {
                events.warn(format!("the kubeconfig was not fetched: {error}"));
            }
            Err(error) => events.warn(format!(
                "the kubeconfig that is here was not compared with the cluster's: {error}"
            )),
        }
        let not_added = job.update_known_hosts(&facts, &keys).await?;
        not_added.iter().for_each(|why| events.warn(why));
    }
    job.remove_old_keys()?;
    if job.cluster.kubernetes.merge_kubeconfig
        && let Some(ours) = personal::read_optional(&conf)?
    {
        personal::merge(&home.kubeconfig()?, &job.cluster.name, &ours)?;
    }
    if let Some(path) = &plan.personal.unmerges {
        personal::unmerge(path, &job.cluster.name, &conf)?;
    }
    if let Some(path) = &plan.personal.forgets {
        ssh::known_hosts::remove(path, &job.cluster.name)
            .map_err(|e| Failure::because("remove the machines from your known_hosts", e))?;
    }
    Ok(())
}

/// Says that lost keys were recovered.
pub fn note_recovered(job: &Job) {
    job.options.events.note(format!(
        "{}: brought back keys that were lost, from the machines' seeds and by their agents",
        job.cluster.name
    ));
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use kubitect_config::Remote;
    use kubitect_config::cluster::{Host, Kubernetes};
    use kubitect_config::remote::{self, Output};
    use kubitect_kubespray::OnEvent;
    use kubitect_provision::hypervisor::Hosts;
    use kubitect_provision::ssh::{Keys, Target, wait};
    use kubitect_provision::{Error, Event};

    use super::*;
    use crate::event::Events;
    use crate::home::Home;
    use crate::world::{BoxFuture, Checking, Preparing, Reach, Waiting, World};

    /// The masters' administrator kubeconfig; none: no machine answers.
    #[derive(Clone)]
    struct Masters(Arc<Mutex<Option<String>>>);

    /// In place of a kubeconfig: another machine answers.
    const OTHER_MACHINE: &str = "somebody else";

    fn nothing<T>() -> Result<T, Error> {
        Err(Error::MissingInput {
            missing: "nobody answers".to_owned(),
        })
    }

    impl Remote for Masters {
        fn run<'a>(&'a self, argv: &'a [&'a str], _: Duration) -> remote::BoxFuture<'a, Output> {
            let conf = match argv.contains(&"--raw=/readyz") {
                true => "ok".to_owned(),
                false => {
                    assert_eq!(argv.last(), Some(&kubitect_kubespray::ADMIN_CONF));
                    self.0.lock().unwrap().clone().unwrap()
                }
            };
            Box::pin(async move {
                Ok(Output {
                    status: 0,
                    stdout: conf.into_bytes(),
                    stderr: Vec::new(),
                })
            })
        }

        fn put<'a>(
            &'a self,
            _: &'a str,
            _: &'a [u8],
            _: u32,
            _: Duration,
        ) -> remote::BoxFuture<'a, ()> {
            Box::pin(async { Ok(nothing()?) })
        }
    }

    impl Reach for Masters {
        fn hosts(&self, _: &[&Host]) -> Result<Hosts, Error> {
            nothing()
        }

        fn connect(&self, _: Target, _: Duration) -> BoxFuture<'_, Arc<dyn Remote>> {
            let conf = self.0.lock().unwrap().clone();
            Box::pin(async move {
                match conf.as_deref() {
                    Some(OTHER_MACHINE) => Err(Error::HostKey {
                        machine: "master".to_owned(),
                        address: "10.77.0.11".to_owned(),
                        wanted: "SHA256:a".to_owned(),
                        found: "SHA256:b".to_owned(),
                    }),
                    Some(_) => Ok(Arc::new(self.clone()) as Arc<dyn Remote>),
                    None => nothing(),
                }
            })
        }

        fn wait<'a>(
            &'a self,
            machines: Vec<wait::Machine>,
            _: &'a (dyn Fn(Event) + Send + Sync),
        ) -> Waiting<'a> {
            Box::pin(async move { machines.iter().map(|_| nothing()).collect() })
        }
    }

    impl World for Masters {
        fn check<'a>(&'a self, kubernetes: &'a Kubernetes, share: &'a Path) -> Checking<'a> {
            Box::pin(kubitect_kubespray::check_for(kubernetes, share))
        }

        fn prepare<'a>(
            &'a self,
            kubernetes: &'a Kubernetes,
            share: &'a Path,
            on_event: OnEvent<'a>,
        ) -> Preparing<'a> {
            Box::pin(kubitect_kubespray::prepare(kubernetes, share, on_event))
        }
    }

    /// As kubeadm writes it, with this certificate.
    fn admin(certificate: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: admin\nclusters:\n- name: kubernetes\n  cluster: \
             {{server: 'https://127.0.0.1:6443', certificate-authority-data: Q0E=}}\ncontexts:\n- name: admin\n  \
             context: {{cluster: kubernetes, user: admin}}\nusers:\n- name: admin\n  user: \
             {{client-certificate-data: {certificate}, client-key-data: S0VZ}}\n"
        )
    }

    #[tokio::test]
    async fn the_kubeconfig_follows_the_clusters_own() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), None).unwrap();
        let text = include_str!("../../../tests/tests/cli/cluster.yaml")
            .replace("[DIR]", "/x")
            .replace("{id: 1}", "{id: 1, ip: 10.77.0.21}");
        let parsed = kubitect_config::parse(&text, "x", &kubitect_config::Site::default());
        let mut cluster = parsed.unwrap().cluster;
        // The test must not write into the home of whoever runs it.
        cluster.guest.add_to_known_hosts = false;
        cluster.kubernetes.merge_kubeconfig = false;
        let masters = Masters(Arc::new(Mutex::new(None)));
        let shown = Arc::new(Mutex::new(String::new()));
        let events = Events::new({
            let shown = Arc::clone(&shown);
            move |event| *shown.lock().unwrap() += &format!("{event}\n")
        });
        let mut options = Options::new(home.clone(), events).unwrap();
        options.world = Arc::new(masters.clone());
        let job = Job::without_hosts(options, cluster, text);
        job.dir.create().unwrap();
        Keys::ensure(&job.dir.ssh(), &job.cluster, None).unwrap();
        let machines = kubitect_provision::plan::Plan {
            cluster: job.cluster.name.clone(),
            changes: Vec::new(),
        };
        let none = std::collections::BTreeMap::new();
        let files = std::collections::BTreeMap::new();
        let plan = Plan::new(&job.cluster, machines, Vec::new(), &none, &files, None);
        let plan = plan.unwrap();
        let shown = || std::mem::take(&mut *shown.lock().unwrap());
        let stored = || std::fs::read_to_string(job.dir.kubeconfig()).unwrap();

        let error = update_local_files(&job, &plan).await.unwrap_err();
        assert!(error.to_string().contains("nobody answers"), "{error}");
        for (certificate, line) in [("T05F", true), ("T05F", false), ("VFdP", true)] {
            *masters.0.lock().unwrap() = Some(admin(certificate));
            update_local_files(&job, &plan).await.unwrap();
            assert_eq!(shown().contains("fetched the kubeconfig"), line);
            assert!(stored().contains(certificate), "{}", stored());
        }
        // A kubeconfig that was tampered with, or another machine at the address, is a failure also of a run without changes.
        let before = stored();
        let with_program = admin("T05F").replace(
            "client-key-data: S0VZ",
            "client-key-data: S0VZ, exec: {command: sh}",
        );
        for (conf, why) in [
            (with_program.as_str(), "users[0].user.exec"),
            (OTHER_MACHINE, "SHA256:b"),
        ] {
            *masters.0.lock().unwrap() = Some(conf.to_owned());
            let error = update_local_files(&job, &plan).await.unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(stored(), before);
        }
        // Keys of removed machines are deleted, those of the others stay.
        let hosts = job.dir.ssh().join("hosts");
        let stay = std::fs::read(hosts.join("demo-master-1")).unwrap();
        for name in ["demo-worker-9", "demo-worker-9.pub"] {
            std::fs::write(hosts.join(name), "gone").unwrap();
        }
        *masters.0.lock().unwrap() = Some(admin("VFdP"));
        update_local_files(&job, &plan).await.unwrap();
        assert!(!hosts.join("demo-worker-9").exists());
        assert!(!hosts.join("demo-worker-9.pub").exists());
        assert_eq!(std::fs::read(hosts.join("demo-master-1")).unwrap(), stay);
        shown();
        // No master answers: the kubeconfig on this machine stays as it is, with a warning.
        *masters.0.lock().unwrap() = None;
        update_local_files(&job, &plan).await.unwrap();
        let shown = shown();
        assert!(
            shown.contains("warning: the kubeconfig that is here was not compared"),
            "{shown}"
        );
        assert_eq!(stored(), before);
    }
}
