//! messengers
