//! [`Reach`]: by which way hosts and machines are reached. [`Real`] is the way of every run; tests have their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::cluster::Host;
use kubitect_config::value::Name;
use kubitect_config::waiting::{AT_ONCE, in_threads};
use kubitect_config::{Cluster, Remote};

use crate::again::Patient;
use crate::deadline::Bounded;
use crate::hypervisor::{Hosts, Hypervisor};
use crate::libvirt;
use crate::ssh::{Patience, Sessions, Target, wait};
use crate::{Error, Event, preflight};

/// What takes its time.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// What becomes of each of several machines that are waited for, in their order.
pub type Waiting<'a> = Pin<Box<dyn Future<Output = Vec<Result<(), Error>>> + Send + 'a>>;

/// The hosts, and the machines on them, by whatever way they are reached.
pub trait Reach: Send + Sync {
    /// Connects to libvirt on these hosts.
    fn hosts(&self, hosts: &[&Host]) -> Result<Hosts, Error>;

    /// Whether somebody answers at an address, on a network where others are.
    fn answers(&self, address: SocketAddr) -> bool {
        preflight::answers(address)
    }

    /// Logs in on a machine, within `deadline`.
    fn connect(&self, target: Target, deadline: Duration) -> Doing<'_, Arc<dyn Remote>>;

    /// Waits until machines can be worked with, with events of each.
    fn wait<'a>(
        &'a self,
        machines: Vec<wait::Machine>,
        on_event: &'a (dyn Fn(Event) + Send + Sync),
    ) -> Waiting<'a>;
}

impl Hosts {
    /// Connects to all hosts that carry nodes of the cluster.
    ///
    /// `~/` in a configured key file must be resolved by the caller: libraries do not read the environment.
    pub fn connect(cluster: &Cluster) -> Result<Self, Error> {
        Self::connect_to(cluster.used_hosts())
    }

    /// Connects to these hosts, side by side.
    pub fn connect_to<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Result<Self, Error> {
        let hosts: Vec<_> = hosts.into_iter().collect();
        let connected = in_threads(AT_ONCE, &hosts, |host| {
            libvirt::connect(&host.name, &host.connection)
        });
        let mut hypervisors: BTreeMap<Name, Arc<dyn Hypervisor>> = BTreeMap::new();
        for (host, hypervisor) in hosts.iter().zip(connected) {
            hypervisors.insert(host.name.clone(), hypervisor?);
        }
        Ok(Self::from_hypervisors(hypervisors))
    }

    /// These hypervisors, each with a deadline for its calls and looked at again where it refuses; for tests and for programs
    /// that bring their own.
    pub fn from_hypervisors(hypervisors: BTreeMap<Name, Arc<dyn Hypervisor>>) -> Self {
        let patient = |(name, libvirt): (Name, Arc<dyn Hypervisor>)| {
            let host = name.clone();
            let bounded = Arc::new(Bounded { host, libvirt });
            (name, Arc::new(Patient(bounded)) as Arc<dyn Hypervisor>)
        };
        Self::of(hypervisors.into_iter().map(patient).collect())
    }
}

/// libvirt's own connections, and SSH: one connection a machine is held while this is.
#[derive(Debug, Default)]
pub struct Real(Sessions);

impl Reach for Real {
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
        machines: Vec<wait::Machine>,
        on_event: &'a (dyn Fn(Event) + Send + Sync),
    ) -> Waiting<'a> {
        Box::pin(async move {
            let ready = wait::all_ready(machines, Patience::default(), on_event);
            let held = |ready: wait::Ready| drop(self.0.hold(ready.session));
            let ready = ready.await.into_iter();
            ready.map(|ready| ready.map(held)).collect()
        })
    }
}
