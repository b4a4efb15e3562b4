//! Machines to [`Facts`](kubitect_config::Facts): waits for them and asks them.
