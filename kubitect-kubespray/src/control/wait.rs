//! Waiting for something that a cluster does by itself, saying all the while what it lacks.

use std::time::Duration;

use tokio::time::Instant;

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_secs(2);

/// Who hears why something is not yet so, whenever that changes.
pub type Waits<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Looks until nothing is missing, or the time is over: then what is missing still. A look that is not answered by then is given up:
/// a machine that hangs makes the time no longer.
pub async fn wait(
    limit: Duration,
    waits: Waits<'_>,
    look: impl AsyncFnMut() -> Option<String>,
) -> Option<String> {
    wait_at(LOOK, limit, waits, look).await
}

async fn wait_at(
    pause: Duration,
    limit: Duration,
    waits: Waits<'_>,
    mut look: impl AsyncFnMut() -> Option<String>,
) -> Option<String> {
    let end = Instant::now() + limit;
    let mut said = String::new();
    loop {
        let Ok(missing) = tokio::time::timeout_at(end, look()).await else {
            let last = if said.is_empty() { "no answer" } else { &said };
            return Some(last.to_owned());
        };
        let missing = missing?;
        if Instant::now() + pause >= end {
            return Some(missing);
        }
        if missing != said {
            waits(&missing);
            said = missing;
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_waited_for_is_said_once_and_its_end_is_in_time() {
        let said = std::sync::Mutex::new(Vec::new());
        let waits = |why: &str| said.lock().unwrap().push(why.to_owned());
        let mut looks = ["a", "a", "b"].into_iter();
        let (hour, milli) = (Duration::from_secs(3600), Duration::from_millis(1));
        let left = wait_at(milli, hour, &waits, async || {
            looks.next().map(str::to_owned)
        });
        assert_eq!(left.await, None);
        let left = wait_at(hour, milli, &waits, async || Some("c".to_owned()));
        assert_eq!(left.await.as_deref(), Some("c"));
        assert_eq!(*said.lock().unwrap(), ["a", "b"]);
    }

    /// A machine that hangs makes no time longer: within 30 s means 30 s.
    #[tokio::test]
    async fn a_look_that_hangs_is_given_up_when_the_time_is_over() {
        let (pause, limit) = (Duration::from_millis(1), Duration::from_millis(50));
        for answers in [0, 1] {
            let mut left = answers;
            let look = async || {
                if left == 0 {
                    std::future::pending::<()>().await;
                }
                left -= 1;
                Some("etcd has no leader".to_owned())
            };
            let ended = wait_at(pause, limit, &|_| (), look);
            let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
            let last = ["no answer", "etcd has no leader"][answers];
            assert_eq!(ended.unwrap().as_deref(), Some(last));
        }
    }
}
