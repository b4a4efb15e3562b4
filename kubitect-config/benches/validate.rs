//! How long it takes to parse and validate a file with many workers. The promise: 25 ms for 1,000 workers, and linear growth.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kubitect_config::{Site, parse};

/// A cluster file with this many workers, each with the usual keys.
fn file(workers: usize) -> String {
    let mut text = String::from(
        "hosts:\n  - name: localhost\n    connection:\n      type: local\ncluster:\n  name: large\n  network:\n    \
         mode: nat\n    cidr: 10.0.0.0/8\n  nodes:\n    loadBalancer:\n      instances:\n        - id: 1\n    master:\n      \
         instances:\n        - id: 1\n        - id: 2\n        - id: 3\n    worker:\n      default:\n        labels:\n          \
         rook: true\n      instances:\n",
    );
    for n in 1..=workers {
        let (high, low) = (n / 250, n % 250 + 1);
        writeln!(
            text,
            "        - id: {n}\n          ip: 10.1.{high}.{low}\n          mac: 52:54:00:01:{high:02x}:{low:02x}\n          \
             cpu: 4\n          ram: 8\n          labels:\n            zone: zone-{}",
            n % 3
        )
        .expect("a String takes all");
    }
    text + "kubernetes:\n  version: v1.23.7\n  kubespray:\n    version: v2.19.0\naddons:\n  kubespray:\n    \
            kube_service_addresses: 192.168.0.0/18\n    kube_pods_subnet: 172.16.0.0/12\n"
}

fn validate(criterion: &mut Criterion) {
    let site = Site::default();
    let mut group = criterion.benchmark_group("validate");
    for workers in [250, 500, 1000, 2000] {
        let text = file(workers);
        let nodes = parse(&text, "large.yaml", &site)
            .expect("it is valid")
            .cluster
            .nodes
            .len();
        assert_eq!(nodes, workers + 4);
        group.throughput(Throughput::Elements(workers as u64));
        group.bench_with_input(
            BenchmarkId::new("workers", workers),
            &text,
            |bencher, text| {
                bencher.iter(|| parse(black_box(text), "large.yaml", &site));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, validate);
criterion_main!(benches);
