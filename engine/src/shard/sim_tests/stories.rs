//! Found by seeds, told small.
