//! The machines' systems are checked for what kubelets of the wanted Kubernetes need, before any node is changed.

use kubitect_config::cluster::Role;
use kubitect_config::value::Label;
use kubitect_config::variables;
use kubitect_config::waiting::side_by_side;

use super::kubernetes::Kubernetes;
use super::stage::Stage;
use crate::Error;
use crate::control;

impl Kubernetes<'_> {
    /// An error, if a kubelet of the wanted Kubernetes would not start on a machine of this stage. Before the first node of an
    /// upgrade all machines are asked: an upgrade that fails at a later node would leave that node without a kubelet. Each
    /// machine is asked once in a run.
    pub(super) async fn check_systems(&mut self, stage: &Stage) -> Result<(), Error> {
        let wanted = &self.cluster.kubernetes.version;
        if !variables::needs_cgroup2(wanted, &self.cluster.addons.kubespray) {
            return Ok(());
        }
        let names: Vec<Label> = match stage {
            Stage::Create => {
                let nodes = self.cluster.nodes.iter();
                let nodes = nodes.filter(|node| node.role != Role::LoadBalancer);
                nodes.map(|node| node.name.clone()).collect()
            }
            Stage::JoinMaster(name) => vec![name.clone()],
            Stage::JoinWorkers(names) => names.clone(),
            Stage::Snapshot | Stage::Upgrade { .. } => {
                let present = self.present(&[]).into_iter();
                present.filter(|name| self.is_wanted(name)).collect()
            }
            Stage::Leave { .. }
            | Stage::Members
            | Stage::LabelsAndTaints(_)
            | Stage::Addons
            | Stage::ReturnToService(_) => Vec::new(),
        };
        let this = &*self;
        let asked = names
            .iter()
            .filter(|name| !this.checked_systems.contains(*name));
        let looks = asked.map(|name| async move {
            let machine = this.connect(name).await?;
            let fits = control::has_cgroup2(&machine)
                .await
                .map_err(|e| Error::because(format!("look at the system of {name}"), e))?;
            Ok::<_, Error>((!fits).then(|| name.as_str()))
        });
        let mut unfit = Vec::new();
        for look in side_by_side(looks).await {
            unfit.extend(look?);
        }
        if !unfit.is_empty() {
            return Err(Error::failed(format!(
                "go on with Kubernetes {wanted}: its kubelets do not start on {}, whose systems have cgroups of version 1. Replace \
                 these machines by others with a newer distro (docs/repairing.md, \"Another distro\"), or set \
                 addons.kubespray.kubelet_fail_cgroup_v1: false",
                unfit.join(", ")
            )));
        }
        self.checked_systems.extend(names);
        Ok(())
    }
}
