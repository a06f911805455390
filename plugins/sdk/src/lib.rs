//! The safe kit for plugins.
