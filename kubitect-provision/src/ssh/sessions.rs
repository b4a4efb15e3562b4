//! [`Sessions`]: one open connection for each machine, shared by all commands of a run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::session::{Session, Target};
use crate::Error;

/// The time limit of the test whether an open connection still works.
const ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The connections of a run, by the machines' names.
#[derive(Default)]
pub struct Sessions(Mutex<BTreeMap<String, Arc<Session>>>);

kubitect_config::debug_fields!(Sessions);

impl Sessions {
    /// A connection to a machine: the open one, if it works and has the same target; else a new one, within `deadline`.
    pub async fn get(&self, target: Target, deadline: Duration) -> Result<Arc<Session>, Error> {
        let end = Instant::now() + deadline;
        let open = self.open(&target);
        if let Some(session) = open
            && let Ok(output) = session.run(&["true"], deadline.min(ALIVE_TIMEOUT)).await
            && output.success()
        {
            return Ok(session);
        }
        Ok(self
            .insert(Session::connect(target, end.saturating_duration_since(Instant::now())).await?))
    }

    /// Stores a connection, in the place of an earlier one to the same machine.
    pub fn insert(&self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(session.target().machine.clone(), Arc::clone(&session));
        session
    }

    fn open(&self, target: &Target) -> Option<Arc<Session>> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get(&target.machine)?;
        let current = session.target();
        let same = current.address == target.address
            && current.user == target.user
            && current.host_key.key_data() == target.host_key.key_data()
            && current.private_key.public_key().key_data()
                == target.private_key.public_key().key_data()
            && current.jump == target.jump;
        same.then(|| Arc::clone(session))
    }
}
