//! Polling until something is true of a cluster, with a deadline, and with a report of what is still missing.

use std::time::Duration;

use tokio::time::Instant;

/// The time between two polls.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Called with what is still missing, whenever that changes.
pub type OnWait<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Calls `check` until it returns `None` or the time is over. Returns `None` if nothing is missing any more, else what `check`
/// returned last. A call that has not returned at the deadline is dropped, so that a machine that hangs does not extend the time.
pub async fn wait(
    limit: Duration,
    on_wait: OnWait<'_>,
    check: impl AsyncFnMut() -> Option<String>,
) -> Option<String> {
    poll(POLL_INTERVAL, limit, on_wait, check).await
}

async fn poll(
    interval: Duration,
    limit: Duration,
    on_wait: OnWait<'_>,
    mut check: impl AsyncFnMut() -> Option<String>,
) -> Option<String> {
    let end = Instant::now() + limit;
    let mut reported = String::new();
    loop {
        let Ok(missing) = tokio::time::timeout_at(end, check()).await else {
            let last = if reported.is_empty() {
                "no answer"
            } else {
                &reported
            };
            return Some(last.to_owned());
        };
        let missing = missing?;
        if Instant::now() + interval >= end {
            return Some(missing);
        }
        if missing != reported {
            on_wait(&missing);
            reported = missing;
        }
        tokio::time::sleep(interval).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_waited_for_is_said_once_and_its_end_is_in_time() {
        let reported = std::sync::Mutex::new(Vec::new());
        let on_wait = |why: &str| reported.lock().unwrap().push(why.to_owned());
        let mut answers = ["a", "a", "b"].into_iter();
        let (hour, milli) = (Duration::from_secs(3600), Duration::from_millis(1));
        let left = poll(milli, hour, &on_wait, async || {
            answers.next().map(str::to_owned)
        });
        assert_eq!(left.await, None);
        let left = poll(hour, milli, &on_wait, async || Some("c".to_owned()));
        assert_eq!(left.await.as_deref(), Some("c"));
        assert_eq!(*reported.lock().unwrap(), ["a", "b"]);
    }

    /// A machine that hangs makes no time longer: within 30 s means 30 s.
    #[tokio::test]
    async fn a_look_that_hangs_is_given_up_when_the_time_is_over() {
        let (interval, limit) = (Duration::from_millis(1), Duration::from_millis(50));
        for answers in [0, 1] {
            let mut left = answers;
            let check = async || {
                if left == 0 {
                    std::future::pending::<()>().await;
                }
                left -= 1;
                Some("etcd has no leader".to_owned())
            };
            let ended = poll(interval, limit, &|_| (), check);
            let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
            let last = ["no answer", "etcd has no leader"][answers];
            assert_eq!(ended.unwrap().as_deref(), Some(last));
        }
    }
}
