use super::*;

/// Walks a list of numbers page by page, as a client does.
fn walk(count: u32, limit: usize) -> Vec<Vec<u32>> {
    let mut pages = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let after: Option<u32> = decode_cursor(cursor.as_deref()).unwrap();
        let rest = (0..count).filter(|number| after.is_none_or(|after| *number > after));
        let page = Page::cut(rest.take(limit + 1).collect(), limit, |number| *number);
        pages.push(page.data);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return pages;
        }
    }
}

#[test]
fn pages_hold_each_item_once() {
    assert_eq!(walk(0, 2), [Vec::<u32>::new()]);
    assert_eq!(walk(2, 2), [vec![0, 1]]);
    assert_eq!(walk(5, 2), [vec![0, 1], vec![2, 3], vec![4]]);
}

#[test]
fn limits_and_cursors_are_checked() {
    assert_eq!(page_limit(None, 100, 1000).unwrap(), 100);
    assert_eq!(page_limit(Some(1000), 100, 1000).unwrap(), 1000);
    for limit in [0, 1001] {
        assert_eq!(page_limit(Some(limit), 100, 1000).unwrap_err().slug(), "invalid-query");
    }
    for cursor in ["", "!", "bm9uc2Vuc2U"] {
        assert_eq!(decode_cursor::<u32>(Some(cursor)).unwrap_err().slug(), "invalid-cursor", "{cursor}");
    }
}
