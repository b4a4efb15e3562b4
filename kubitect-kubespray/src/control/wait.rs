//! Waiting for something that a cluster does by itself, saying all the while what it lacks.

use std::time::Duration;

use tokio::time::Instant;

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_secs(2);

/// Who hears why something is not yet so, whenever that changes.
pub type Waits<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Looks until nothing is missing, or the time is over: then what is missing still.
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
        let missing = look().await?;
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
}
