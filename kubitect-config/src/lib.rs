//! Kubitect's configuration: from YAML text to a complete and consistent [`Cluster`].
//!
//! The crate is pure: it opens no connection, starts no program and reads no environment. `Cluster` and [`Facts`]
//! are the types that all other Kubitect crates share. Text becomes a tree with positions, is checked against the JSON
//! Schema ([`schema`]), read into raw types in which everything is optional, and validated. Each step reports all problems that
//! it finds, so that a person can repair a file in one go.
//!
//! ```
//! use kubitect_config::{Site, cluster::Role, parse};
//!
//! let text = "
//! hosts:
//!   - name: localhost
//!     connection: { type: local }
//! cluster:
//!   name: demo
//!   network: { mode: nat, cidr: 192.168.113.0/24 }
//!   nodes:
//!     master:
//!       instances:
//!         - { id: 1, ip: 192.168.113.10 }
//! kubernetes:
//!   version: v1.23.7
//! ";
//! let cluster = parse(text, "cluster.yaml", &Site::default())?.cluster;
//! let master = cluster.role(Role::Master).next().expect("one was given");
//! assert_eq!(master.name.as_str(), "demo-master-1");
//! // Values that the file omits get their defaults: here, the newest Kubespray that sets up this Kubernetes.
//! assert_eq!(cluster.kubernetes.kubespray.version.to_string(), "v2.21.0");
//!
//! // All problems come at once, each with its position and what to do.
//! let error = parse(&text.replace("id: 1", "id: '-'").replace("nat", "net"), "cluster.yaml", &Site::default());
//! let problems = error.expect_err("two mistakes").problems().to_vec();
//! assert_eq!(problems[0].path, "cluster.network.mode");
//! assert_eq!((problems[0].line, problems[0].column), (7, 20));
//! assert_eq!(problems[1].path, "cluster.nodes.master.instances[0].id");
//! # Ok::<(), kubitect_config::Error>(())
//! ```

pub mod address;
mod ansible;
pub mod block;
pub mod check;
pub mod cluster;
mod debug_fields;
mod defaults;
pub mod digest;
mod draft;
pub mod edit;
pub mod error;
pub mod explain;
mod facts;
pub mod file;
pub mod images;
pub mod jump;
mod keys;
mod load;
mod older;
mod omitted_versions;
pub mod policy;
pub mod presets;
mod problem;
mod raw;
mod refusal;
pub mod release;
pub mod remote;
mod report;
pub mod row;
pub mod saved;
mod schema;
mod secret;
pub mod secrets;
pub mod service_ranges;
mod site;
mod structure;
pub mod text;
pub mod timeouts;
mod tree;
pub mod uri;
mod validate;
pub mod value;
pub mod variables;
pub mod waiting;
pub mod watch;
pub mod yaml;

pub use cluster::Cluster;
pub use draft::Draft;
pub use error::{Error, chain};
pub use facts::{Facts, NodeFacts};
pub use keys::{KeyFinding, KeyJudge, KeyUse};
pub use load::{Parsed, load, load_stored, parse, parse_with_keys, problems_at_hop, read};
pub use problem::{Excerpt, Problem, Severity};
pub use refusal::{Refusal, RefusalKind};
pub use remote::Remote;
pub use schema::{schema, schema_draft_07, site_schema};
pub use site::{Site, SiteImage, SiteKubespray, SiteProxy};
