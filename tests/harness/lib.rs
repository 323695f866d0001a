//! Everything the behaviour tests need to start, feed, kill and ask a broker.
