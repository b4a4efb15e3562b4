//! The status of balancers in memory: their servers, and the holder of the virtual address.

use std::collections::BTreeMap;
use std::sync::Arc;

use kubitect_config::Remote;
use kubitect_config::cluster::{Node, Role};
use kubitect_config::remote::{BoxError, BoxFuture, Machines};
use kubitect_config::value::Label;
use kubitect_lb::{render, roll_out, status};

use crate::cluster::{cluster, label};
use crate::fake::{Fake, world};

struct Logins(BTreeMap<Label, Fake>);

impl Machines for Logins {
    fn connect<'a>(&'a self, name: &'a Label) -> BoxFuture<'a, Arc<dyn Remote>> {
        let remote = self
            .0
            .get(name)
            .cloned()
            .map(|own| Arc::new(own) as Arc<dyn Remote>);
        Box::pin(async move { Ok(remote.ok_or("no route to host")?) })
    }

    fn note(&self, _: &Node, _: &str) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test]
async fn who_has_the_virtual_address_and_who_could_not_take_it_is_shown() {
    let (cluster, facts) = cluster(2, 3, 2);
    let rendered = render(&cluster, &facts).unwrap();
    let (world, remotes) = world(&rendered);
    roll_out(&rendered, &remotes, &|_| {}).await.unwrap();
    let logins = Logins(remotes.clone());
    let nodes: Vec<_> = cluster.role(Role::LoadBalancer).collect();
    let look = async || status(&cluster, &facts, &nodes, &logins).await;

    let well = look().await;
    assert_eq!(well.problems, [""; 0]);
    let shown = well.to_string();
    for line in [
        "  keepalived  local-k8s-cluster-lb-1 MASTER, has the virtual address\n",
        "  keepalived  local-k8s-cluster-lb-2 BACKUP\n",
    ] {
        assert!(shown.contains(line), "no `{line}` in {shown}");
    }
    let json = serde_json::to_value(&well).unwrap();
    assert_eq!(json[0]["keepalived"]["state"], "master");
    assert_eq!(json[1]["keepalived"]["holdsAddress"], false);

    let lb = |id: u8| label(&format!("local-k8s-cluster-lb-{id}"));
    let problem = async |part: &str| {
        let problems = look().await.problems;
        assert!(
            problems.iter().any(|own| own.contains(part)),
            "no `{part}` in {problems:?}"
        );
    };
    world.lock().unwrap().faults.insert(lb(2));
    problem("the virtual address 192.168.113.99: local-k8s-cluster-lb-2: keepalived is in FAULT")
        .await;
    world.lock().unwrap().faults.clear();
    world.lock().unwrap().split = true;
    problem("local-k8s-cluster-lb-1 and local-k8s-cluster-lb-2 have it at the same time").await;
    world.lock().unwrap().split = false;
    world.lock().unwrap().holder = None;
    problem("no balancer has it").await;

    // Where only one of them answers, the others are not asked after.
    world.lock().unwrap().holder = Some(lb(1));
    let few = |name: &Label| {
        let entry = remotes.get_key_value(name).unwrap();
        Logins(BTreeMap::from([(entry.0.clone(), entry.1.clone())]))
    };
    let problems = status(&cluster, &facts, &nodes, &few(&lb(1)))
        .await
        .problems;
    assert_eq!(problems, ["local-k8s-cluster-lb-2: no route to host"]);
    // A backup hears the holder, which does not answer.
    let problems = status(&cluster, &facts, &nodes, &few(&lb(2)))
        .await
        .problems;
    assert_eq!(problems, ["local-k8s-cluster-lb-1: no route to host"]);
    world.lock().unwrap().holder = None;
    let problems = status(&cluster, &facts, &nodes, &few(&lb(2)))
        .await
        .problems;
    assert_eq!(
        problems[1..],
        ["the virtual address 192.168.113.99: none of those that answer has it"]
    );
}
