//! networks, pools, volumes and domains as plain data.
