//! [`Sessions`]: one connection a machine, held open and shared by all that a run asks of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::session::{Session, Target};
use crate::Error;

/// How long a connection that is held may take to show that it is alive.
const ALIVE: Duration = Duration::from_secs(10);

/// The connections of a run, by the machines' names.
#[derive(Default)]
pub struct Sessions(Mutex<BTreeMap<String, Arc<Session>>>);

kubitect_config::shown_by!(Sessions);

impl Sessions {
    /// A connection to a machine: the one that is held, if it is alive and leads there; else a new one, within `deadline`.
    pub async fn get(&self, target: Target, deadline: Duration) -> Result<Arc<Session>, Error> {
        let end = Instant::now() + deadline;
        let held = self.held(&target);
        if let Some(session) = held
            && let Ok(output) = session.run(&["true"], deadline.min(ALIVE)).await
            && output.success()
        {
            return Ok(session);
        }
        Ok(self
            .hold(Session::connect(target, end.saturating_duration_since(Instant::now())).await?))
    }

    /// Holds a connection, in the place of the one that was held to the same machine.
    pub fn hold(&self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(session.target().machine.clone(), Arc::clone(&session));
        session
    }

    fn held(&self, target: &Target) -> Option<Arc<Session>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = held.get(&target.machine)?;
        let own = session.target();
        let same = own.address == target.address
            && own.user == target.user
            && own.host_key.key_data() == target.host_key.key_data()
            && own.private_key.public_key().key_data()
                == target.private_key.public_key().key_data()
            && own.jump == target.jump;
        same.then(|| Arc::clone(session))
    }
}
