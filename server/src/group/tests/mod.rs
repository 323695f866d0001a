//! The groups' machine under scripts, over its whole state table, and against random orders of events.

mod bench;
mod hosted;
mod memory_log;
mod model;
mod scale;
mod script;
mod table;

use super::partition_of;

#[test]
fn groups_lie_where_java_would_put_them() {
    // hashCode() of these: 0, 158 455 506, 1 382 682 413, and -1 906 497 762, which loses its sign bit.
    assert_eq!(partition_of("", 50), 0);
    assert_eq!(partition_of("console-consumer-12345", 50), 6);
    assert_eq!(partition_of("payments", 50), 13);
    assert_eq!(partition_of("my-group", 50), 36);
}
