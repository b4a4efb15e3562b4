//! [`World`]: all that commands reach outside of this machine's own files.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::Remote;
use kubitect_config::cluster::{Host, Kubernetes};
use kubitect_kubespray::{OnEvent, Tools};
use kubitect_provision::hypervisor::Hosts;
use kubitect_provision::ssh::{Patience, Sessions, Target, wait};
use kubitect_provision::{Error, Event};

/// What takes its time, of Kubespray.
pub type Preparing<'a> =
    Pin<Box<dyn Future<Output = Result<Tools, kubitect_kubespray::Error>> + Send + 'a>>;

/// What takes its time, of machines.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// The hosts, the machines on them and Kubespray, by whatever way they are had.
pub trait World: Send + Sync {
    /// Connects to libvirt on these hosts.
    fn hosts(&self, hosts: &[&Host]) -> Result<Hosts, Error>;

    /// Logs in on a machine, within `deadline`.
    fn connect(&self, target: Target, deadline: Duration) -> Doing<'_, Arc<dyn Remote>>;

    /// Waits until machines can be worked with, telling of each.
    fn wait<'a>(
        &'a self,
        machines: Vec<wait::Machine<'a>>,
        on_event: &'a (dyn Fn(Event) + Send + Sync),
    ) -> Doing<'a, ()>;

    /// Brings a release of Kubespray and its Ansible to this machine, under `share`.
    fn prepare<'a>(
        &'a self,
        kubernetes: &'a Kubernetes,
        share: &'a Path,
        on_event: OnEvent<'a>,
    ) -> Preparing<'a>;
}

/// The world as it is. One connection a machine is held while this is.
#[derive(Default)]
pub struct Real(Sessions);

impl World for Real {
    fn hosts(&self, hosts: &[&Host]) -> Result<Hosts, Error> {
        Hosts::connect_to(hosts.iter().copied())
    }

    fn connect(&self, target: Target, deadline: Duration) -> Doing<'_, Arc<dyn Remote>> {
        Box::pin(async move {
            let session = self.0.get(target, deadline).await?;
            Ok(session as Arc<dyn Remote>)
        })
    }

    fn wait<'a>(
        &'a self,
        machines: Vec<wait::Machine<'a>>,
        on_event: &'a (dyn Fn(Event) + Send + Sync),
    ) -> Doing<'a, ()> {
        Box::pin(async move {
            let ready = wait::all_ready(machines, Patience::default(), on_event);
            for ready in ready.await? {
                self.0.hold(ready.session);
            }
            Ok(())
        })
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
