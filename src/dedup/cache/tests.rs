use super::*;
use crate::dedup::{Frame, Journal};
use crate::event::{Lane, RulesHash};

/// Writes a block of ten offsets into a journal of its own segments.
fn write(cache: &Cache, partition: i32, first: i64) -> Journal {
    let lane = Lane { topic: "t".into(), topic_id: "id".into(), partition };
    let mut journal = Journal::open(cache, &lane).unwrap();
    let frame = Frame { first, next: first + 10, rules: RulesHash(0), occurrences: vec![] };
    journal.append(&frame, 0).unwrap();
    // Times of files are as fine as the system's clock ticks.
    std::thread::sleep(std::time::Duration::from_millis(20));
    journal
}

fn names(dir: &Path) -> Vec<String> {
    let folders = folders(dir).unwrap();
    folders.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn copies_that_nobody_uses_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let open =
        || Cache::open(&CacheSettings { dir: dir.path().to_owned(), memory: 0, budget: 1 << 20 }).unwrap();
    let (own, living, ended) = (open(), open(), open());
    let held = write(&own, 0, 0);
    for cache in [&ended, &own, &living] {
        drop(write(cache, 0, 0));
        drop(write(cache, 1, 0));
    }
    // It knows nothing of what came before.
    drop(write(&own, 2, 0));
    drop(write(&living, 2, 50));
    let ended_dir = ended.dir().to_owned();
    drop(ended);

    let (now_ms, much_later_ms) = (0, i64::MAX);
    own.sweep(now_ms);
    assert_eq!((names(own.dir()).len(), names(&ended_dir).len()), (3, 2), "all were just written");
    own.sweep(much_later_ms);
    assert_eq!(names(own.dir()), ["t-0-id", "t-2-id"], "it is held, or there is no other");
    assert_eq!(names(living.dir()).len(), 3, "its process lives, and has the latest");
    assert!(names(&ended_dir).is_empty());
    drop(held);
    own.sweep(much_later_ms);
    assert_eq!(names(own.dir()), ["t-2-id"]);
}
