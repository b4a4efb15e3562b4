//! What a plan says of the time in which the API does not answer.

use crate::shape::Shape;
use crate::truth::{finished, planned};

/// The second master's join takes the API down, because of two members of etcd both are needed; the third one's does not.
pub fn second_member() {
    let mut shape = Shape::base();
    shape.masters = vec![1];
    let (_scratch, stage) = finished(&shape);
    for (masters, marked) in [
        (vec![1, 2, 3], &["outage", "none"][..]),
        (vec![2], &["outage"]),
        (vec![2, 3, 4], &["outage", "none", "none"]),
    ] {
        let wanted = Shape {
            masters: masters.clone(),
            ..shape.clone()
        };
        let plan = planned(&stage, &wanted);
        let rows = plan["changes"].as_array().unwrap().iter();
        let joins = rows.filter(|row| {
            row["kind"] == "node" && row["details"].as_str().unwrap().starts_with("joins: ")
        });
        let joins: Vec<_> = joins.collect();
        let disruptions: Vec<_> = joins.iter().map(|row| &row["disruption"]).collect();
        assert_eq!(disruptions, marked, "{masters:?}");
        let first = joins[0]["details"].as_str().unwrap();
        assert!(first.contains("until it serves"), "{first}");
    }
    stage.end();
}
