//! [`Reach`]: how hosts and machines are connected to. [`Real`] is what every run uses; tests have their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::cluster::Host;
use kubitect_config::value::Name;
use kubitect_config::waiting::{AT_ONCE, in_threads};
use kubitect_config::{Cluster, Remote};

use crate::deadline::WithDeadline;
use crate::hypervisor::{Hosts, Hypervisor};
use crate::libvirt;
use crate::retry::Retrying;
use crate::ssh::{Sessions, Target, WaitLimits, wait};
use crate::{Error, Event, preflight};

/// A future with a result.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A future with the result of each of several machines, in their order.
pub type Waiting<'a> = Pin<Box<dyn Future<Output = Vec<Result<(), Error>>> + Send + 'a>>;

/// Connections to hosts and to the machines on them.
pub trait Reach: Send + Sync {
    /// Connects to libvirt on these hosts.
    fn hosts(&self, hosts: &[&Host]) -> Result<Hosts, Error>;

    /// Whether a machine answers at an address, on a network that the cluster shares with others.
    fn answers(&self, address: SocketAddr) -> bool {
        preflight::answers(address)
    }

    /// Logs in on a machine, within `deadline`.
    fn connect(&self, target: Target, deadline: Duration) -> BoxFuture<'_, Arc<dyn Remote>>;

    /// Waits until machines are ready, with events of each.
    fn wait<'a>(
        &'a self,
        machines: Vec<wait::Machine>,
        on_event: &'a (dyn Fn(Event) + Send + Sync),
    ) -> Waiting<'a>;
}

impl Hosts {
    /// Connects to all hosts that carry nodes of the cluster.
    ///
    /// The caller must resolve `~/` in configured key files: libraries do not read the environment.
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

    /// These hypervisors, whose calls get time limits and are repeated where libvirt is busy. For tests and for programs that
    /// have their own hypervisors.
    pub fn from_hypervisors(hypervisors: BTreeMap<Name, Arc<dyn Hypervisor>>) -> Self {
        let wrapped = |(name, libvirt): (Name, Arc<dyn Hypervisor>)| {
            let host = name.clone();
            let bounded = Arc::new(WithDeadline { host, libvirt });
            (name, Arc::new(Retrying(bounded)) as Arc<dyn Hypervisor>)
        };
        Self::of(hypervisors.into_iter().map(wrapped).collect())
    }
}

/// Connections by libvirt and SSH. One SSH connection to each machine stays open until this is dropped.
#[derive(Debug, Default)]
pub struct Real(Sessions);

impl Reach for Real {
    fn hosts(&self, hosts: &[&Host]) -> Result<Hosts, Error> {
        Hosts::connect_to(hosts.iter().copied())
    }

    fn connect(&self, target: Target, deadline: Duration) -> BoxFuture<'_, Arc<dyn Remote>> {
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
            let ready = wait::all_ready(machines, WaitLimits::default(), on_event);
            let store = |ready: wait::Ready| drop(self.0.insert(ready.session));
            let ready = ready.await.into_iter();
            ready.map(|ready| ready.map(store)).collect()
        })
    }
}
