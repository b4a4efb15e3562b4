//! kubespray
