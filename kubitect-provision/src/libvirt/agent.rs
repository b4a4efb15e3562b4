//! Requests to a domain's guest agent.

use kubitect_config::value::Label;
use serde_json::json;

use super::Libvirt;
use crate::error::Source;

/// How long an agent may take to answer, in seconds.
const PATIENCE: i32 = 30;

impl Libvirt {
    /// Adds a key to a user's `authorized_keys`, unless it is in it. QEMU's guest agent can do that since release 5.2.
    pub(super) fn authorize(
        &self,
        name: &Label,
        user: &str,
        public_key: &str,
    ) -> Result<(), Source> {
        let command = json!({
            "execute": "guest-ssh-add-authorized-keys",
            "arguments": {"username": user, "keys": [public_key]},
        });
        let domain = self.domain(name)?;
        domain.qemu_agent_command(&command.to_string(), PATIENCE, 0)?;
        Ok(())
    }
}
