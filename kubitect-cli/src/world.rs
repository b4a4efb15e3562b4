//! [`World`]: all that commands reach outside of this machine's own files.

use std::path::Path;
use std::pin::Pin;

use kubitect_config::check::Check;
use kubitect_config::cluster::Kubernetes;
use kubitect_kubespray::{OnEvent, Tools};

pub use kubitect_provision::reach::{Doing, Reach, Real, Waiting};

/// What takes its time, of Kubespray.
pub type Preparing<'a> =
    Pin<Box<dyn Future<Output = Result<Tools, kubitect_kubespray::Error>> + Send + 'a>>;

/// The hosts, the machines on them and Kubespray, by whatever way they are had.
pub trait World: Reach {
    /// Looks whether this machine has what a release of Kubespray is brought here and run with.
    fn check<'a>(&'a self, kubernetes: &'a Kubernetes, share: &'a Path) -> Checking<'a>;

    /// Brings a release of Kubespray and its Ansible to this machine, under `share`.
    fn prepare<'a>(
        &'a self,
        kubernetes: &'a Kubernetes,
        share: &'a Path,
        on_event: OnEvent<'a>,
    ) -> Preparing<'a>;
}

/// What takes its time, of looking at this machine.
pub type Checking<'a> = Pin<Box<dyn Future<Output = Vec<Check>> + Send + 'a>>;

/// The world as it is.
impl World for Real {
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
