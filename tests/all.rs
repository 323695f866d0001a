//! Behaviour of the whole broker, one behaviour a file.
