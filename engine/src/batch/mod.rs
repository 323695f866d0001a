//! What is in the bytes a producer sent?
